"""What agents are worth, at equal costs: `python -m benchmarks.agents`."""
