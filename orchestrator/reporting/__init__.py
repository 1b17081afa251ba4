"""Reports on a run: status, results, terminal text, chart. Reads only. May import core to store."""
