"""Measures of the engine against its bars, beside other tools where they are installed: `python -m benchmarks`."""
