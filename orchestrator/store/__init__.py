"""Persistence: ledger, git, the workspace's files. May import core to planning."""
