from simverse.policies.random import RandomPolicy
from simverse.policies.simple import SimplePolicy

__all__ = ["RandomPolicy", "SimplePolicy"]
