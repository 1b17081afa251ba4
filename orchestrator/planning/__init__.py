"""What to do next, from the run's state and its limits. Pure. May import core to judging."""
