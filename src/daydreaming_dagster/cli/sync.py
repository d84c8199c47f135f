"""`daydreaming sync`: Dagster's partitions and statuses brought in line with the store."""

from __future__ import annotations


def sync() -> None:
    """Tell Dagster what the store has and it does not know, for instance after DAGSTER_HOME was deleted."""
    from daydreaming_dagster.cli.console import print_line
    from daydreaming_dagster.cli.dagster_runs import report_store
    from daydreaming_dagster.resources.dagster_home import open_instance

    with open_instance() as instance:
        counts = report_store(instance)
    print_line(
        f"{counts['cohorts']} cohorts: Dagster was told of {counts['recorded']} finished and {counts['failures']} "
        "failed generations that it did not know. No model was called."
    )
