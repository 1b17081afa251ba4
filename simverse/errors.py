"""Errors by fault: the policy's or the environment's. Any other exception is a bug or their own."""


class SimverseError(Exception):
    """Base of the errors simverse raises about code it was given."""


class PolicyError(SimverseError):
    """The policy's output has a wrong shape or is not finite."""


class EnvironmentContractError(SimverseError):
    """The environment returned something its contract does not allow."""
