"""Experiments as a whole: what was active, and under which name."""
