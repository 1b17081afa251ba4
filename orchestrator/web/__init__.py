"""The page of a run: its server, what it serves, and its assets. May import core to daemon."""
