"""A run with a very small model, whose answers are mostly garbage: the daemon must survive them."""
