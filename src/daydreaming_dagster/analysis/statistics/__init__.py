"""Formulas on numpy arrays. They know nothing of essays, judges or tables; the tables call them."""
