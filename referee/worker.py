"""The entries of a worker process: preparing the server it is forked from, and its two services.

Imports torch. `sandbox` starts a worker with one of these functions and a channel to the referee.
"""

from collections.abc import Callable

from referee.candidate_code import CandidateContractError, seed_everything
from referee.check_worker import check_candidate as _check_candidate
from referee.environment_worker import serve_environment as _serve_environment
from referee.gpus import hide_gpus
from referee.training_worker import train_and_serve as _train_and_serve
from referee.wire import send_error
from referee.world_worker import serve_world as _serve_world
from sandbox import Channel


def prepare() -> None:
    """Make a process ready to be forked from: one thread, the slow imports done.

    Those are what candidates import (gymnasium's spaces) and what torch's optimisers import lazily.
    """
    hide_gpus()
    import gymnasium.spaces  # noqa: F401 - importing it is the point
    import torch.profiler

    from simverse.training.utils import keep_freed_memory, warm_up

    torch.set_num_threads(1)
    seed_everything(0)  # what that imports; every worker seeds anew
    keep_freed_memory()
    warm_up()


def train_and_serve(channel: Channel) -> None:
    """Train one seed, then answer observations until the referee closes the channel."""
    _guarded(channel, _train_and_serve)


def serve_environment(channel: Channel) -> None:
    """Create, step and play environments until the referee closes the channel."""
    _guarded(channel, _serve_environment)


def serve_world(channel: Channel) -> None:
    """Create and step the user's world until the referee closes the channel."""
    _guarded(channel, _serve_world)


def check_candidate(channel: Channel) -> None:
    """Play and train a candidate for a few steps, and tell everything that is wrong with it."""
    _check_candidate(channel)


def _guarded(channel: Channel, service: Callable[[Channel], None]) -> None:
    """Run a service; whatever the candidate raises becomes one last message."""
    try:
        service(channel)
    except CandidateContractError as error:
        send_error(channel, "contract", error)
    except Exception as error:  # noqa: BLE001 - candidate code may raise anything
        send_error(channel, "crash", error)
