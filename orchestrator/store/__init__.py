"""The workspace's files, ledger and git: what outlives a crash. May import core to planning."""
