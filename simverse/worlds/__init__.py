"""Worlds made of environments, and worlds as a policy sees them."""

from simverse.worlds.from_env import from_env

__all__ = ["from_env"]
