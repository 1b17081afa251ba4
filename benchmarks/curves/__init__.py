"""Learning curves of simverse's PPO beside others': `python -m benchmarks.curves`."""
