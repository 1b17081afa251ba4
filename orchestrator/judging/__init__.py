"""Who leads, and what is proven? Pure statistics. May import core and config."""
