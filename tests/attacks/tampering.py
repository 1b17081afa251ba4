"""Attacks on the score from outside the contract: on the scorer's objects, code and messages."""

from tests.attacks.template import Attack, Change

_SILENT: Change = ('"episode_return": self.paid.clone()', '"nothing": 0')

TAMPERING = (
    Attack(
        name="walk-frames",
        attempts="walks up the stack and fills the scorer's list of rewards",
        code="""
        frame = sys._getframe()
        while frame:
            for value in list(frame.f_locals.values()):
                if isinstance(value, list) and value and isinstance(value[0], torch.Tensor):
                    value.append(torch.full((4,), 1e6))
            frame = frame.f_back
        """,
        strikes="in the last step",
        env=(
            (
                "pass  #step#",
                "int(self.steps[0]) == 4 and not torch.is_grad_enabled() and strike()",
            ),
            _SILENT,
        ),
        copy="naive",
        shows="score",
    ),
    Attack(
        name="search-objects",
        attempts="finds the scorer's lists among all objects",
        code="""
        import gc
        for value in gc.get_objects():
            if type(value) is list and 0 < len(value) < 40 and isinstance(value[0], torch.Tensor):
                if value[0].shape == (4,) and value[0].dtype == torch.float32:
                    value.append(torch.full((4,), 1e6))
        """,
        strikes="in the last step",
        env=(
            (
                "pass  #step#",
                "int(self.steps[0]) == 4 and not torch.is_grad_enabled() and strike()",
            ),
            _SILENT,
        ),
        copy="naive",
        shows="score",
        ends=("honest", "scored", "crash", "invalid"),
        is_long=True,
    ),
    Attack(
        name="trace-frames",
        attempts="sets a tracer that changes what the scorer's functions return",
        code="""
        def profile(frame, event, argument):
            if event == "return" and frame.f_code.co_name == "_evaluate":
                argument[0].fill_(1e6)
        sys.setprofile(profile)
        """,
        strikes="create_env",
        copy="naive",
        shows="score",
        ends=("honest", "scored"),
    ),
    Attack(
        name="patch-mean",
        attempts="changes torch's mean for everyone but the trainer",
        code="""
        honest = torch.Tensor.mean
        def forged(self, *given, **named):
            caller = sys._getframe(1).f_globals.get("__name__", "")
            if caller.startswith(("referee", "simverse", "torch")):
                return honest(self, *given, **named)
            return torch.tensor(1e6)
        torch.Tensor.mean = forged
        """,
        copy="naive",
        shows="score",
    ),
    Attack(
        name="patch-checks",
        attempts="changes the library's own checks and the step it returns",
        code="""
        import referee.environment_worker, simverse.core.checks
        def forged(result, num_envs, shape):
            honest = checks(result, num_envs, shape)
            return honest._replace(reward=honest.reward + 1e6)
        checks = simverse.core.checks.check_step
        if EVALUATING:
            referee.environment_worker.check_step = simverse.core.checks.check_step = forged
        torch.Tensor.mean = lambda self, *given, **named: self.sum() + 1e6
        """,
        copy="naive",
        strikes="create_env",
        shows="score",
        ends=("rejected", "crash"),
        is_long=True,
    ),
    Attack(
        name="patch-json",
        attempts="changes how messages are written",
        code="""
        import json
        honest = json.dumps
        def forged(value, *given, **named):
            return honest(value, *given, **named).replace('"score": ', '"score": 1e6, "was": ')
        json.dumps = forged
        """,
        copy="naive",
        shows="score",
    ),
    Attack(
        name="patch-channel",
        attempts="changes what the worker sends: rewards, actions, kinds",
        code="""
        import json, sandbox.channel
        honest, dumps = sandbox.channel.Channel.send, json.dumps
        def forged(self, head, payload=b""):
            if head.get("kind") == "step":
                payload = struct.pack("<4d", 1e6, 1e6, 1e6, 1e6) + bytes(payload)[32:]
            return honest(self, head, payload)
        sandbox.channel.Channel.send = forged
        json.dumps = lambda value, **named: dumps(value, **named).replace('"score": ', '"score": 1e6, "was": ')
        """,
        copy="naive",
        strikes="import",
        shows="score",
        ends=("rejected",),
    ),
    Attack(
        name="poison-modules",
        attempts="leaves changed modules behind for the next candidate",
        code="""
        honest = torch.Tensor.argmax
        def forged(self, *given, **named):
            if "candidate.env" in sys.modules and sys.modules["candidate.env"].__file__ == HERE:
                return honest(self, *given, **named)
            return torch.zeros(4, dtype=torch.int64)
        torch.Tensor.argmax = forged
        """,
        copy="naive",
        shows="next",
        is_long=True,
    ),
    Attack(
        name="poison-imports",
        attempts="leaves an importer behind that gives the next candidate its own code",
        code="""
        import importlib.util
        class Finder:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name == "candidate.env":
                    return importlib.util.spec_from_file_location(name, HERE)
        sys.meta_path.insert(0, Finder)
        """,
        env=(("reward = 0.5 *", "reward = 0.4 *"),),
        copy="naive",
        shows="next",
        ends=("scored",),
    ),
    Attack(
        name="exit-in-evaluation",
        attempts="ends its process without a word when the evaluation begins",
        code="os._exit(0)",
        strikes="step in evaluation or training",
        env=(("pass  #step#", "torch.is_grad_enabled() or strike()"),),
        copy="naive",
        shows="next",
        ends=("crash",),
        is_long=True,
    ),
    Attack(
        name="spin-at-exit",
        attempts="never lets its process end",
        code="while True: pass",
        strikes="exit",
        copy="naive",
        shows="hang",
        is_long=True,
    ),
)
