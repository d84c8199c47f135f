"""`daydreaming run`: the main job."""

from __future__ import annotations

import os
from typing import Annotated

import typer


def run(
    cohort: Annotated[str | None, typer.Option(help="Name for the cohort instead of the computed id.")] = None,
    k_max: Annotated[int | None, typer.Option(min=1, help="Concepts per combination.")] = None,
    description_level: Annotated[str | None, typer.Option(help="sentence, paragraph or article.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="KEY=VALUE for the Dagster runs; repeatable.")] = None,
    retry: Annotated[
        str,
        typer.Option(
            help="Call these again, too: truncated,parse_failed,… (lasting failures), stale (changed inputs)."
        ),
    ] = "",
    budget_usd: Annotated[float | None, typer.Option(help="Most that this run may spend, USD.")] = None,
    budget_tokens: Annotated[int | None, typer.Option(help="Most tokens that this run may use.")] = None,
    cohort_budget_usd: Annotated[
        float | None,
        typer.Option(help="Most that all runs of the cohort may spend together, USD; kept for later runs."),
    ] = None,
    cohort_budget_tokens: Annotated[
        int | None, typer.Option(help="Most tokens that all runs of the cohort may use together; kept for later runs.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be called, and what it would take.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors and the result only.")] = False,
) -> None:
    """Make the whole job: cohort, drafts, essays, evaluations, results. Start it again to go on where it stopped."""
    if dry_run:
        from daydreaming_dagster.cli.plan import plan

        if k_max is not None:
            os.environ["DD_K_MAX"] = str(k_max)
        if description_level is not None:
            os.environ["DD_DESCRIPTION_LEVEL"] = description_level
        plan(cohort=cohort, retry=retry, offline=True)
        raise typer.Exit(0)
    if not quiet:
        print("Reading inputs and generations …", flush=True)  # what is imported now takes a second and more
    from daydreaming_dagster.cli.main_job import MainJob
    from daydreaming_dagster.cli.tags import parse_tags
    from daydreaming_dagster.engine.budget import BudgetLimits

    job = MainJob(
        cohort=cohort,
        k_max=k_max,
        description_level=description_level,
        tags=parse_tags(tag or []),
        budget=BudgetLimits(budget_usd, budget_tokens, cohort_budget_usd, cohort_budget_tokens),
        retry=[reason.strip() for reason in retry.split(",") if reason.strip()],
        quiet=quiet,
    )
    raise typer.Exit(job.run())
