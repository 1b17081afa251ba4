"""The evaluator's trusted process, and the code its workers run a candidate with.

May import `sandbox`, `simverse` and numpy; torch at module level only in the workers' modules
(`worker`, `training_worker`, `environment_worker`, `candidate_code`). `framework.py` is its entry;
a run records a hash of both, because scores of different evaluators can't be compared.
"""
