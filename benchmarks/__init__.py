"""Scripts whose printed numbers the README and docs quote: `python -m benchmarks.NAME`."""
