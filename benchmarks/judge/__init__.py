"""How often the judge is wrong, by simulation: `python -m benchmarks.judge`."""
