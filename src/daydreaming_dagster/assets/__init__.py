"""Dagster assets, one file per group."""
