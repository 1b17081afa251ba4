"""Runs the evaluator, confined. May import core to planning, and sandbox."""
