"""Small environments to learn from and to test with; each module has a `create_env`."""
