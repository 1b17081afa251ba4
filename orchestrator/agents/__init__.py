"""Who proposes experiments: a file a backend, the only importer of its library.

May import core to planning.
"""
