"""The rules: what a stage, an id, a cohort and a score are. No files, no network, no Dagster."""
