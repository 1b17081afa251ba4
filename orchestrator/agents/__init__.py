"""Agents: who proposes experiments. One module a backend, each the only importer of its library."""
