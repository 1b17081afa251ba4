"""The documented schema of `config.yaml` and its sources. May import core."""
