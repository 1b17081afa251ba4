"""From what an agent is told to the two files it proposes. Pure. May import core."""
