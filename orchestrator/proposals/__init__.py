"""Brief, prompt, and the reply read into two candidate files. Pure. May import core."""
