"""`daydreaming aggregate-scores` and `build-pivot-tables`: tables over the whole store, without Dagster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def aggregate_scores(
    output: Annotated[
        Path | None, typer.Option(help="CSV to write; else 7_cross_experiment/aggregated_scores.csv.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the rows and write nothing.")] = False,
) -> None:
    """Gather the scores of every evaluation in the store, whatever its cohort, in one table."""
    from rich.markup import escape

    from daydreaming_dagster.cli.console import print_line
    from daydreaming_dagster.cli.opening import open_workspace
    from daydreaming_dagster.experiments.result_tables import (
        aggregated_scores_path,
        build_aggregated_scores,
        write_aggregated_scores,
    )

    workspace = open_workspace()
    path = output or aggregated_scores_path(workspace.paths)
    table = build_aggregated_scores(workspace) if dry_run else write_aggregated_scores(workspace, path).table
    without = table["error"].is_not_null().sum()
    print_line(
        f"{len(table)} evaluations, {without} without a score{' would go' if dry_run else ''} to {escape(str(path))}"
    )


def build_pivot_tables(
    parsed_scores: Annotated[
        Path | None, typer.Option(help="Table of scores; else 7_cross_experiment/aggregated_scores.csv.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the rows and write nothing.")] = False,
) -> None:
    """Build the tables of 7_cross_experiment from a table of scores."""
    from rich.markup import escape

    from daydreaming_dagster.cli.console import print_line
    from daydreaming_dagster.cli.opening import open_workspace
    from daydreaming_dagster.experiments.result_tables import (
        CROSS_TABLES,
        build_cross_table,
        cross_table_path,
        write_cross_table,
    )

    workspace = open_workspace()
    for name in CROSS_TABLES:
        path = cross_table_path(workspace.paths, name)
        if dry_run:
            table = build_cross_table(workspace, name, parsed_scores)
        else:
            table = write_cross_table(workspace, name, parsed_scores).table
        print_line(f"{len(table)} rows{' would go' if dry_run else ''} to {escape(str(path))}")
