"""The attack set: hostile candidates and hostile replies, each with its expected outcome.

`python -m tests.attacks.table` runs all of it and prints a table; `pytest tests/attacks` runs a
short form, with `TESTS_LONG=1` the whole. An attack is a record (`template.Attack`), a trial of it
(`trial.py`) runs it twice: on an unconfined copy in a victim world of its own (`world.py`), where it
must do its damage, then confined, where it must do none and the next honest candidate must be
scored as ever. To add one, add a record to the table it belongs to.
"""
