"""How well the judge judges: simulated, and measured on the real evaluator."""
