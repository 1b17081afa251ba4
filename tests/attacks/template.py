"""An honest tiny candidate with places where hostile code can strike, and the record of an attack.

The task pays 0.5 for action 1 and nothing for action 0, for five steps: learnt, it scores 2.5. The
hostile code knows everything an attacker could hope to know: paths, ports, process ids and
addresses of the victim world (`world.py`) are written into its source. What it must not know, the
secrets, it has to steal; `leak` carries a loot out in the text of an error, which the referee
returns, and `proof` shows that something forbidden was possible.
"""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

HORIZON = 5
ENVS = 16
HONEST_SCORE = 2.5

# How hostile code begins: what it may use without a word, and the guard that lets it strike once.
PRELUDE = '''\
import atexit, ctypes, mmap, os, signal, socket, struct, subprocess, sys, tempfile, threading, time

LIBC = ctypes.CDLL(None, use_errno=True)
LOOT, STRUCK = [], []
HERE = __file__
_ARM = os.uname().machine != "x86_64"
_CALLS = {
    "unshare": (272, 97), "mount": (165, 40), "chroot": (161, 51), "setns": (308, 268),
    "shmget": (29, 194), "io_uring_setup": (425, 425), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "add_key": (248, 217), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "memfd_create": (319, 279),
    "open_by_handle_at": (304, 265), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "fsopen": (430, 430), "open_tree": (428, 428),
    "clone3": (435, 435), "mq_open": (240, 180), "pidfd_send_signal": (424, 424),
}


def call(name, *arguments):
    """Make a system call by number, past whatever was done to the C library's functions."""
    ctypes.set_errno(0)
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = LIBC.syscall(ctypes.c_long(_CALLS[name][_ARM]), *given)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def leak(loot):
    LOOT.append(loot if isinstance(loot, str) else bytes(loot).decode(errors="replace"))


def proof():
    leak("@PROOF_A@" + "@PROOF_B@")


def attack():
__CODE__


def strike():
    if STRUCK:
        return
    STRUCK.append(True)
    try:
        attack()
    except BaseException as error:
        print("the attack failed:", type(error).__name__, error, flush=True)
    if LOOT:
        raise RuntimeError("loot: " + " ".join(LOOT))


def in_thread():
    thread = threading.Thread(target=strike, daemon=True)
    thread.start()
    thread.join(2)
    if LOOT:
        raise RuntimeError("loot: " + " ".join(LOOT))


def in_child():
    pid = os.fork()
    if pid == 0:
        try:
            strike()
        finally:
            os._exit(0)
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline and not os.waitpid(pid, os.WNOHANG)[0]:
        time.sleep(0.01)


'''

ENV = """\
import sys

import gymnasium as gym
import torch
from simverse.core.env import SimEnv

#prelude#
# True in the process that serves held-out environments, where no policy was ever imported.
EVALUATING = "candidate.train" not in sys.modules


class Tiny(SimEnv):
    def __init__(self, config, num_envs, device, dtype):
        super().__init__(device=device, dtype=dtype)
        self.num_envs = self._resolve_num_envs(num_envs, config)
        self.generator = torch.Generator().manual_seed(int(config.seed))
        self.max_steps = config.max_steps
        self.register_buffer("steps", torch.zeros(self.num_envs, dtype=torch.int64))
        self.register_buffer("done", torch.zeros(self.num_envs, dtype=torch.bool))
        self.paid = torch.zeros(self.num_envs)

    action_space = gym.spaces.Discrete(2)
    observation_space = gym.spaces.Box(0, 1, (1, 1, 2))

    def observe(self):
        return torch.rand(self.num_envs, 1, 1, 2, generator=self.generator)

    def reset(self):
        pass  #reset#
        self._reset_episode_state()
        self.paid = torch.zeros(self.num_envs)
        return {"obs": self.observe(), "done": self.done.clone()}

    def step(self, actions):
        pass  #step#
        actions = self._normalize_single_agent_actions(actions)
        reward = 0.5 * (actions == 1).to(self.dtype)
        self.steps += 1
        self.done |= self.steps >= 5
        self.paid += reward
        success = (self.paid >= 2.5) & self.done
        info = {"success": success, "episode_return": self.paid.clone()}
        return {"obs": self.observe(), "done": self.done.clone()}, reward, self.done.clone(), info


def create_env(config, *, num_envs=None, device="cpu", dtype=torch.float32):
    pass  #create_env#
    return Tiny(config, num_envs, device, dtype)


pass  #import env#
"""

TRAIN = """\
import torch
from torch import nn

#prelude#


class Policy(nn.Module):
    def __init__(self, size, actions):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(size, 16), nn.Tanh())
        self.logits, self.value = nn.Linear(16, actions), nn.Linear(16, 1)

    def forward(self, obs):
        pass  #forward#
        hidden = self.body(obs)
        return self.logits(hidden), self.value(hidden)


def build_policy(obs_space, action_space):
    pass  #build_policy#
    c, h, w = obs_space.shape
    return Policy(c * h * w, action_space.n)


def training_overrides(*, num_envs, max_steps, device):
    pass  #overrides#
    return {"lr": 0.05}


pass  #import train#
"""

# Where hostile code can strike: the file, the place in it, and the line put there.
PLACES: Mapping[str, tuple[str, str, str]] = {
    "import": ("env", "import env", "strike()"),
    "import of train": ("train", "import train", "strike()"),
    "create_env": ("env", "create_env", "strike()"),
    "reset": ("env", "reset", "strike()"),
    "step in training": ("env", "step", "EVALUATING or strike()"),
    "step in evaluation": ("env", "step", "EVALUATING and strike()"),
    "build_policy": ("train", "build_policy", "strike()"),
    "forward": ("train", "forward", "strike()"),
    "forward in evaluation": ("train", "forward", "self.training or strike()"),
    "training_overrides": ("train", "overrides", "strike()"),
    "exit": ("env", "import env", "atexit.register(strike)"),
    "thread": ("env", "create_env", "in_thread()"),
    "forked child": ("env", "step", "STRUCK or (STRUCK.append(1), STRUCK.clear(), in_child())"),
}

Change = tuple[str, str]
Damage = Literal[
    "files", "planted", "contact", "bystander", "process", "secret", "proof", "referee",
    "score", "solved", "next", "hang", "flood", "unstable", "kernel",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A hostile candidate, what it does to those who trust it, and what must come of it."""

    name: str
    attempts: str
    """What it tries, for people."""
    code: str = ""
    """Statements, run where it `strikes`; `@NAME@` stands for a fact about the victim world."""
    strikes: str = "import"
    """A key of `PLACES`, or words for where the changes below work."""
    env: tuple[Change, ...] = ()
    """Texts of `ENV` to replace."""
    train: tuple[Change, ...] = ()
    copy: Literal["workers", "naive"] = "workers"
    """The unconfined copy: the same workers without confinement, or the naive scorer."""
    shows: Damage
    """What the attack must do to the unconfined copy, else it proves nothing."""
    ends: tuple[str, ...] = ("honest",)
    """How it may end when confined. `honest`: scored exactly as the honest control is."""
    flag: str | None = None
    """Words of the flag that must be raised if it is scored; empty for any flag."""
    seeds: tuple[int, ...] = (101,)
    memory_mb: int | None = None
    timeout_s: float = 30.0
    """After that the service is killed, as the daemon kills it."""
    optional: str = ""
    """Why the damage may fail to show on some machines (an old kernel, an ordinary user)."""
    is_long: bool = False
    """Left out of the short form."""


def sources(attack: Attack, facts: Mapping[str, str]) -> dict[str, str]:
    """Return the candidate's two files."""
    texts = {"env": ENV, "train": TRAIN}
    for name, changes in (("env", attack.env), ("train", attack.train)):
        for old, new in changes:
            assert old in texts[name], f"{attack.name}: {old!r} is not in {name}.py"
            texts[name] = texts[name].replace(old, new)
    if attack.code:
        # Elsewhere the changes above have put the call.
        name, place, line = PLACES.get(attack.strikes, ("env", "", ""))
        code = textwrap.indent(textwrap.dedent(attack.code).strip("\n"), "    ")
        texts[name] = texts[name].replace("#prelude#", PRELUDE.replace("__CODE__", code), 1)
        if place:
            texts[name] = texts[name].replace(f"pass  #{place}#", line)
    for fact, value in {**facts, "ENVS": str(ENVS)}.items():
        texts = {name: text.replace(f"@{fact}@", value) for name, text in texts.items()}
    return texts


def write(folder: Path, texts: Mapping[str, str]) -> Path:
    """Write a candidate's files; return their folder."""
    folder.mkdir(parents=True)
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text)
    return folder
