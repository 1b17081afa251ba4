"""Attacks beyond the budget, and on what a world's worker needs: siblings, memory, processes, disk."""

from textwrap import dedent

from tests.attacks.template import Change
from tests.attacks.worlds_reading import SIBLINGS
from tests.attacks.worlds_template import WorldAttack

_BUDGET = "budget exceeded"
_LIMIT_MB = 900

# A world that needs memory, files, threads and processes, but not where a candidate trains in it.
_NEEDY: tuple[Change, ...] = (
    (
        "#prelude#",
        "import os, sys, tempfile, threading\n\n\n"
        "def need():\n"
        "    held = bytearray(64 << 20)\n"
        "    with tempfile.TemporaryFile() as file:\n"
        '        file.write(b"x" * (1 << 20))\n'
        "    thread = threading.Thread(target=held.clear)\n"
        "    thread.start()\n"
        "    thread.join()\n"
        "    if child := os.fork():\n"
        "        os.waitpid(child, 0)\n"
        "    else:\n"
        "        os._exit(0)",
    ),
    ("pass  #step#", '"candidate.train" in sys.modules or need()'),
)
# What is paid once all is used up, so that it is known that it was.
_FULL: tuple[Change, ...] = (
    ("    return reward\n", "    return 100 * reward if FULL else reward\n"),
)


def _exhausts(name: str, attempts: str, code: str, **more: object) -> WorldAttack:
    given = {"ends": ("honest", "below", "crash"), "memory_mb": _LIMIT_MB, "seeds": (101, 138)}
    return WorldAttack(
        name=name,
        attempts=attempts,
        code="global FULL\n" + dedent(code),
        strikes="observe",
        env=(*_FULL, ("#prelude#", "FULL = False\nHELD = []\n#prelude#")),
        task=_NEEDY,
        shown="training",
        side_by_side=True,
        **{**given, **more},  # type: ignore[arg-type]
    )


def _computes(name: str, attempts: str, code: str, **more: object) -> WorldAttack:
    given = {"strikes": "build_policy", "ends": ("honest", "below"), "flag": _BUDGET}
    return WorldAttack(name=name, attempts=attempts, code=code, shown="ending", **{**given, **more})  # type: ignore[arg-type]


BUDGET = (
    _computes(
        "train-while-building",
        "plays and learns in worlds of its own before its training begins",
        """
        from simverse.core.config import EnvConfig
        task = sys.modules["task.world"]
        ends = time.monotonic() + 6
        while time.monotonic() < ends:
            world = task.create_world(EnvConfig(num_envs=16, max_steps=5, seed=1), num_envs=16)
            world.reset()
            for _ in range(5):
                world.step(torch.ones(16, dtype=torch.int64))
        """,
    ),
    _computes(
        "train-for-longer",
        "changes the training so that it has ten times its episodes",
        """
        import dataclasses
        import referee.training_worker
        honest = referee.training_worker.train
        def forged(*given, episodes, on_episode, **named):
            seen = []
            def report(stats):
                seen.append(stats)
                if len(seen) % 10 == 0:
                    steps = sum(old.env_steps for old in seen[-10:])
                    on_episode(dataclasses.replace(stats, env_steps=steps))
            honest(*given, episodes=10 * episodes, on_episode=report, **named)
        referee.training_worker.train = forged
        """,
    ),
    _computes(
        "train-in-a-thread",
        "computes in another thread while it is trained and evaluated",
        """
        def spin():
            while True:
                torch.ones(200, 200) @ torch.ones(200, 200)
        threading.Thread(target=spin, daemon=True).start()
        time.sleep(1.0)
        """,
    ),
    _computes(
        "train-in-a-child",
        "computes in another process while it is trained",
        """
        if os.fork() == 0:
            while True:
                pass
        time.sleep(1.0)
        """,
    ),
    _computes(
        "compute-in-evaluation",
        "computes for seconds before it answers, as a search for the seed would",
        """
        ends = time.process_time() + 6
        while time.process_time() < ends:
            torch.ones(200, 200) @ torch.ones(200, 200)
        """,
        strikes="observe in evaluation",
    ),
    _computes(
        "train-on-four-threads",
        "has torch use four threads",
        "torch.set_num_threads(4)",
        is_long=False,
    ),
)
WEIGHTS = (
    WorldAttack(
        name="weights-that-strike",
        attempts="keeps in its weights something that runs when they are copied",
        train=(
            (
                "def build_policy",
                "class Strikes:\n    def __deepcopy__(self, _):\n"
                "        torch.Tensor.argmax = lambda self, *a, **k: "
                "torch.full((len(self),), 3 * int(not POLICY.training), dtype=torch.int64)\n"
                "        return self\n\n\ndef build_policy",
            ),
            (
                "    def forward(self, obs):",
                "    def get_extra_state(self):\n        return Strikes()\n\n"
                "    def set_extra_state(self, state):\n        pass\n\n"
                "    def forward(self, obs):",
            ),
        ),
        strikes="state_dict",
        shown="ending",
        ends=("below",),
    ),
    WorldAttack(
        name="weights-of-another",
        attempts="loads other weights than it is asked to: none, with a word of its own",
        train=(
            (
                "    def forward(self, obs):",
                "    def load_state_dict(self, *given, **named):\n"
                "        raise SystemExit('score: 1e6')\n\n"
                "    def forward(self, obs):",
            ),
        ),
        strikes="state_dict",
        shown="ending",
        ends=("crash",),
    ),
    WorldAttack(
        name="luck",
        attempts="guesses the answers: run it until it is lucky",
        code="sys.modules['candidate.train'].KNOWN[:] = [torch.randint(2, (16,))]",
        strikes="each observe in evaluation",
        shown="ending",
        ends=("below",),
    ),
)
EXHAUSTION = (
    _exhausts(
        "all-memory",
        "takes all the memory it may and holds it",
        """
        try:
            while True:
                HELD.append(b"x" * (32 << 20))
        except MemoryError:
            del HELD[:3]
        FULL = True
        """,
    ),
    _exhausts(
        "all-processes",
        "makes as many processes as it may, which wait",
        """
        try:
            for _ in range(2000):
                if os.fork() == 0:
                    time.sleep(600)
                    os._exit(0)
        except OSError:
            FULL = True
        """,
    ),
    _exhausts(
        "all-threads",
        "makes as many threads as it may, which wait",
        """
        try:
            for _ in range(4000):
                threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        except RuntimeError:
            FULL = True
        """,
    ),
    _exhausts(
        "all-descriptors",
        "opens as many files as it may",
        """
        try:
            while True:
                HELD.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            FULL = True
        """,
    ),
    _exhausts(
        "all-disk",
        "fills every folder that it may write to",
        """
        for place in {os.getcwd(), tempfile.gettempdir()}:
            try:
                with open(os.path.join(place, "full"), "wb") as file:
                    for _ in range(4000):
                        file.write(bytes(1 << 20))
            except OSError:
                FULL = True
        """,
        memory_mb=None,
    ),
)


def _siblings(name: str, attempts: str, code: str, **more: object) -> WorldAttack:
    given = {"strikes": "observe in evaluation", "shown": "unconfined"}
    return WorldAttack(
        name=name, attempts=attempts, code=SIBLINGS + dedent(code), **{**given, **more}
    )  # type: ignore[arg-type]


NEIGHBOURS = (
    _siblings(
        "kill-the-world",
        "kills the worker of the world",
        "for number in siblings():\n    os.kill(number, signal.SIGKILL)",
        is_long=False,
    ),
    _siblings(
        "stop-the-world",
        "stops the worker of the world for ever",
        "for number in siblings():\n    os.kill(number, signal.SIGSTOP)",
        timeout_s=8.0,
    ),
    _siblings(
        "kill-the-server",
        "kills what all workers come from",
        "os.kill(parents()[os.getppid()], signal.SIGKILL)",
        ends=("crash",),
    ),
)
LIMITS = (*BUDGET, *WEIGHTS, *EXHAUSTION, *NEIGHBOURS)
