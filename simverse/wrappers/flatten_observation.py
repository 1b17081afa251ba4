"""An environment whose observations are dictionaries or tuples of tensors, as rows of numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from simverse.envs.base import Step
from simverse.errors import EnvironmentContractError
from simverse.wrappers.base import Wrapper
from simverse.wrappers.flatten import ImageOrder, layout_of


class FlattenObservation(Wrapper):
    """Turns named observations into `[N, 1, 1, width]`, as `simverse.wrappers.flatten` says.

    The environment's `observation_space` is Gymnasium's `Dict` or `Tuple`; its `obs`, and its
    `final_obs`, are mappings and tuples nested likewise, of tensors `[N, ...]`. A policy that
    derives from `simverse.policies.NamedPolicy` gets them back by name.

    Raises `ValueError` as `layout_of` does, whose options these are.
    """

    def __init__(
        self,
        env: Any,
        *,
        images: Mapping[str, ImageOrder] | None = None,
        without: Sequence[str] = (),
    ) -> None:
        super().__init__(env)
        self._options: dict[str, Any] = {"images": images, "without": without}
        self.layout = layout_of(env.observation_space, images=images, without=without)

    def again(self, env: Any) -> Any:
        """Return another environment with the same rows."""
        return FlattenObservation(env, **self._options)

    @property
    def observation_space(self) -> Any:
        """`(1, 1, width)`, unbounded; it carries the layout."""
        return self.layout.space

    def reset(self) -> dict[str, Tensor]:
        """Start a fresh episode everywhere."""
        return self._payload(self.env.reset())

    def step(self, actions: Any) -> Step:
        """Step the environment."""
        payload, reward, done, info = self.env.step(actions)
        if "final_obs" in info:
            info = {**info, "final_obs": self._rows("info['final_obs']", info["final_obs"])}
        return self._payload(payload), reward, done, info

    def _payload(self, payload: Mapping[str, Any]) -> dict[str, Tensor]:
        return {**payload, "obs": self._rows("obs", payload["obs"])}

    def _rows(self, name: str, found: Any) -> Tensor:
        try:
            return self.layout.pack(found).to(self.dtype)
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            text = " ".join(str(error).split())
            raise EnvironmentContractError(
                f"{name} does not fit the observation space: {type(error).__name__}: {text:.200}"
            ) from error
