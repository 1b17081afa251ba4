"""Agents, which propose experiments: a file a backend, the only importer of its library.

May import core to planning.
"""
