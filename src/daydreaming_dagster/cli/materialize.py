"""`daydreaming materialize`: any part of the job, with the options of Dagster's own command and what it lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def materialize(
    select: Annotated[
        str, typer.Option("--select", "-s", help="Assets, as Dagster selects them: names, group:…, +upstream.")
    ],
    partition: Annotated[
        str | None, typer.Option(help="One generation and, as far as the selection reaches, its lineage.")
    ] = None,
    partition_range: Annotated[
        str | None, typer.Option(help="Generations from one to another, as FROM...TO, in the order of the partitions.")
    ] = None,
    config: Annotated[
        list[Path] | None, typer.Option("--config", "-c", help="YAML file with run config; repeatable.")
    ] = None,
    config_json: Annotated[str | None, typer.Option(help="Run config as JSON.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="KEY=VALUE for the Dagster runs; repeatable.")] = None,
    retry: Annotated[
        str, typer.Option(help="Call these again although they failed for a lasting reason: truncated,parse_failed,…")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would run, in order, and what it would take.")
    ] = False,
    python_file: Annotated[  # noqa: ARG001 - so that a line written for Dagster's command needs no other change
        str | None, typer.Option("--python-file", "-f", help="Accepted as Dagster's command has it; not needed.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors and the result only.")] = False,
) -> None:
    """Make a part of the job. Without --partition: whatever of the current cohort is not done yet."""
    from daydreaming_dagster.cli.materialization import Materialization, read_run_config
    from daydreaming_dagster.cli.tags import parse_tags

    job = Materialization(
        select=select,
        partition=partition,
        partition_range=partition_range,
        run_config=read_run_config(config or [], config_json),
        tags=parse_tags(tag or []),
        retry=[reason.strip() for reason in retry.split(",") if reason.strip()],
        quiet=quiet,
    )
    if dry_run:
        from daydreaming_dagster.cli.materialization_preview import preview

        preview(job)
        raise typer.Exit(0)
    raise typer.Exit(job.run())
