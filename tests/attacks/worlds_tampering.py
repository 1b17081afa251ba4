"""Attacks on the world itself, found or changed in the candidate's process.

In training the world is there and may be changed: what counts is played elsewhere.
"""

from tests.attacks.worlds_template import WorldAttack

_EASY = """
def easy(self, actions):
    view, reward, done, info = honest(self, actions)
    return view, torch.full_like(reward, 100.0), done, info
"""
# Only what the world draws, so that the rest of a careless scorer works.
_NO_LUCK = """
honest = torch.rand
def forged(*size, generator=None, **named):
    drawn = honest(*size, generator=generator, **named)
    return torch.zeros_like(drawn) if size[-1] == 3 and len(size) == 2 else drawn
torch.rand = forged
"""


def tampers(name: str, attempts: str, code: str, **more: object) -> WorldAttack:
    given = {"strikes": "import", "ends": ("honest", "below", "crash", "invalid")}
    return WorldAttack(name=name, attempts=attempts, code=code, **{**given, **more})  # type: ignore[arg-type]


TAMPERING = (
    tampers(
        "patch-the-class",
        "changes the world's step by its module",
        'honest = sys.modules["task.world"].Tiny.step'
        + _EASY
        + 'sys.modules["task.world"].Tiny.step = easy',
        is_long=False,
    ),
    tampers(
        "patch-the-class-in-training",
        "the same, to be seen in what training claims",
        'honest = sys.modules["task.world"].Tiny.step'
        + _EASY
        + 'sys.modules["task.world"].Tiny.step = easy',
        shown="training",
    ),
    tampers(
        "patch-create-world",
        "changes the function that makes the world",
        """
        task = sys.modules["task.world"]
        create = task.create_world
        def forged(*given, **named):
            world = create(*given, **named)
            step = world.step
            def easy(actions):
                view, reward, done, info = step(actions)
                return view, reward + 100.0, done, info
            world.step = easy
            return world
        task.create_world = forged
        """,
    ),
    tampers(
        "search-objects",
        "finds worlds among all objects and gives each an easy step of its own",
        """
        import gc, types
        for world in gc.get_objects():
            if type(world).__name__ == "Tiny":
                honest = type(world).step
                def easy(self, actions, honest=honest):
                    view, reward, done, info = honest(self, actions)
                    return view, reward + 100.0, done, info
                world.step = types.MethodType(easy, world)
        """,
        strikes="observe in evaluation",
    ),
    tampers(
        "walk-frames",
        "walks up the stack to the world and has it pay more",
        """
        frame = sys._getframe()
        while frame:
            for value in list(frame.f_locals.values()):
                world = getattr(value, "world", value)
                if type(world).__name__ == "Tiny":
                    honest = type(world).step
                    def easy(self, actions, honest=honest):
                        view, reward, done, info = honest(self, actions)
                        return view, reward + 100.0, done, info
                    type(world).step = easy
                    return
            frame = frame.f_back
        """,
        strikes="observe",
    ),
    tampers(
        "trace-frames",
        "sets a tracer that fills what the world's step returns",
        """
        def profile(frame, event, argument):
            if event == "return" and frame.f_code.co_name == "step" and "guessed" in frame.f_locals:
                argument[1].fill_(1e3)
        sys.setprofile(profile)
        """,
    ),
    tampers(
        "patch-checks",
        "changes the library's check of a world's step into one that pays",
        """
        import simverse.core.world, simverse.worlds.observed
        honest = simverse.core.world.check_world_step
        def forged(*given):
            step = honest(*given)
            return step._replace(reward=step.reward + 100.0)
        simverse.core.world.check_world_step = forged
        simverse.worlds.observed.check_world_step = forged
        """,
    ),
    tampers(
        "patch-the-base-class",
        "changes the class that every world has as its base: its attributes, its buffers",
        """
        from simverse.core.world import World
        honest = World.__getattr__
        def forged(self, name):
            value = honest(self, name)
            return torch.zeros_like(value) if name == "drawn" else value
        World.__getattr__ = forged
        """,
        strikes="import of train",
    ),
    tampers(
        "patch-perception",
        "changes `simverse.worlds` so that shaping pays a million",
        """
        import simverse.worlds.observed
        honest = simverse.worlds.observed.shaped
        simverse.worlds.observed.shaped = lambda found, reward: (reward + 1e6, {})
        """,
    ),
    tampers(
        "patch-argmax",
        "changes torch's argmax for what the world draws",
        "torch.Tensor.round_ = lambda self: self.zero_()",
        strikes="import of train",
    ),
    tampers(
        "patch-rand",
        "changes torch's random numbers before the world is made: every answer is known",
        _NO_LUCK,
        strikes="import of train",
        is_long=False,
    ),
    tampers(
        "patch-generator",
        "changes torch's generator, so that every seed is the same one",
        """
        class Generator(torch.Generator):
            def manual_seed(self, seed):
                return super().manual_seed(3)
        torch.Generator = Generator
        honest = torch.rand
        torch.rand = lambda *size, generator=None, **named: (
            honest(*size, generator=torch.Generator().manual_seed(3), **named))
        """,
        strikes="import of train",
    ),
    tampers(
        "patch-where",
        "changes torch's own `where`, by which this world pays",
        """
        honest = torch.where
        def forged(condition, yes, no):
            if type(yes) is float and (yes, no) == (1.0, -1.0):
                return torch.full(condition.shape, 100.0)
            return honest(condition, yes, no)
        torch.where = forged
        """,
    ),
    tampers(
        "patch-mean",
        "changes torch's mean for everyone but the trainer",
        """
        honest = torch.Tensor.mean
        def forged(self, *given, **named):
            caller = sys._getframe(1).f_globals.get("__name__", "")
            if caller.startswith(("referee", "simverse", "torch")):
                return honest(self, *given, **named)
            return torch.tensor(1e6)
        torch.Tensor.mean = forged
        """,
    ),
    tampers(
        "patch-json",
        "changes how messages are written",
        """
        import json
        honest = json.dumps
        def forged(value, *given, **named):
            return honest(value, *given, **named).replace('"score": ', '"score": 1e6, "was": ')
        json.dumps = forged
        """,
    ),
    tampers(
        "write-beyond-views",
        "reaches the hidden column of the storage that a view's numbers lie in, and sets it",
        """
        hidden = given["noise"].as_strided((len(given["noise"]), 3), (3, 1))
        hidden[:, 2] = 0.0
        sys.modules["candidate.train"].KNOWN[:] = [torch.zeros(len(hidden))]
        """,
        strikes="each observe in evaluation",
        ends=("honest", "below", "crash"),
    ),
    tampers(
        "longer-horizon",
        "finds worlds among all objects and gives them a longer horizon",
        """
        import gc
        for world in gc.get_objects():
            if type(world).__name__ == "Tiny":
                type(world).max_steps = 20
        """,
        strikes="observe in evaluation",
    ),
)
