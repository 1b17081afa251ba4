"""The process of a run, and the wiring of its parts.

May import everything but the command line.
"""
