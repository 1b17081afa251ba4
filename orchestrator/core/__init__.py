"""Records, errors by fault, flags, text. Imports nothing of the project."""
