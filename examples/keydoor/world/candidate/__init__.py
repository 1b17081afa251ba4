"""What the agent edits: `env.py`, observation and shaping, and `train.py`, policy and PPO."""
