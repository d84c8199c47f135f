"""The doors that Dagster configures."""
