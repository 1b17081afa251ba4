"""The commands of `autorl-daemon`: one function each, which returns an exit code."""
