"""What a candidate keeps of a view, or writes into it, is its own: in training as in evaluation."""

from types import ModuleType

import torch
from torch import Tensor

from simverse.core.views import View
from simverse.core.world import World
from simverse.worlds.observed import ObservedWorld
from simverse.worlds.perception import Perception


class Counter(World):
    """Its view is the live buffer of its steps, as the contract allows."""

    num_envs, max_steps = 2, 5

    def __init__(self) -> None:
        super().__init__()
        import gymnasium

        self.action_space = gymnasium.spaces.Discrete(2)
        self.register_buffer("count", torch.zeros(2))

    def reset(self) -> View:
        self.count.zero_()
        return {"count": self.count}

    def step(self, actions: Tensor) -> tuple[View, Tensor, Tensor, dict[str, object]]:
        self.count += 1
        return {"count": self.count}, torch.ones(2), torch.zeros(2, dtype=torch.bool), {}


class Difference:
    """Observes how a view differs from the one before, of which it keeps a reference."""

    def reset(self, view: View, mask: Tensor) -> None:
        self.last = view["count"]

    def __call__(self, view: View) -> Tensor:
        seen = view["count"] - self.last
        self.last = view["count"]
        return seen[:, None, None, None]


def observed(**functions: object) -> ObservedWorld:
    import gymnasium

    module = ModuleType("env")
    module.observation_space = lambda _spaces: gymnasium.spaces.Box(-9, 9, (1, 1, 1))
    vars(module).update(functions)
    return ObservedWorld(Counter(), Perception.of(module))


def test_a_view_that_was_kept_stays_as_it_was() -> None:
    """Though the world shows its live buffer."""
    env = observed(Observer=Difference)
    env.reset()
    seen = [env.step(torch.zeros(2))[0]["obs"].flatten().tolist() for _ in range(3)]
    assert seen == [[1.0, 1.0]] * 3


def test_what_is_written_into_a_view_changes_no_world() -> None:
    """Neither by `observe` nor by `shape_reward`."""

    def observe(view: View) -> Tensor:
        return view["count"].mul_(100)[:, None, None, None]

    def shape_reward(before: View, actions: Tensor, after: View, *rest: Tensor) -> Tensor:
        after["count"] -= 50
        return rest[0]

    env = observed(observe=observe, shape_reward=shape_reward)
    env.reset()
    for _ in range(3):
        env.step(torch.zeros(2))
    assert env.world.count.tolist() == [3.0, 3.0]
