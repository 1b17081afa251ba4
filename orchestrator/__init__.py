"""The daemon: prompts an agent, checks its edits, has them evaluated, judges and records them."""

__version__ = "0.1.0"
