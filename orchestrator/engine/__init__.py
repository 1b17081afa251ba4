"""Experiments as coroutines, and the loop that steps them.

May import core to store, no adapter by name.
"""
