"""Is a challenger better than the incumbent? Pure statistics. May import core and config."""
