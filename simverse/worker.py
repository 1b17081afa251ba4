"""The workers' entries, where the evaluator file of version 0.1's workspaces looks for them."""

from referee.worker import prepare, serve_environment, train_and_serve

__all__ = ["prepare", "serve_environment", "train_and_serve"]
