"""What the agent edits: `env.py`, what the policy sees, and `train.py`, policy and PPO settings."""
