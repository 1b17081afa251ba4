"""Environments to learn from and to test with; each module has a `create_env`."""

from simverse.envs.registry import make, make_candidate, names

__all__ = ["make", "make_candidate", "names"]
