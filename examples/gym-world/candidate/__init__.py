"""What the agent edits: `env.py`, the environment, and `train.py`, the policy and PPO settings."""
