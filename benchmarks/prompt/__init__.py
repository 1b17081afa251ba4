"""A prompt's size by part, and what a provider's cache keeps: `python -m benchmarks.prompt`."""
