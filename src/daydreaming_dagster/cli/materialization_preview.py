"""`daydreaming materialize --dry-run`: what would run, in which order, what it takes, and what is missing for it."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from rich.markup import escape

from daydreaming_dagster.cli.console import count_by_stage, print_line
from daydreaming_dagster.cli.forecast_table import print_forecast
from daydreaming_dagster.cli.materialization import Materialization
from daydreaming_dagster.domain.membership import REBUILD_COMMAND
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.cohort_run import Choice, CohortRows, forecast_cohort_run, plan_free_steps
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.experiments.diagnosis import diagnose


def preview(job: Materialization) -> None:
    """Prints it; writes nothing and calls nobody."""
    job.check()
    chosen = job.sorted
    workspace = replace(job.open_workspace(job.cohort_override), read_only=True)
    number = 0
    rows: CohortRows | None = None
    if chosen.cohort:
        number += 1
        print_line(f"[bold]{number}. Cohort:[/] {', '.join(chosen.cohort)}")
        plan = workspace.plan_cohort()
        counts = count_by_stage(plan.members)
        print_line(f"   {plan.cohort_id}: {counts}" + (" (unchanged)" if plan.unchanged else ""))
        for note in plan.notes:
            print_line(f"   [dim]{escape(note)}[/]")
        rows = plan if "cohort_id" in chosen.cohort else None
    if chosen.stages:
        rows = rows or _find_rows(job, workspace)
    made: set[Stage] = set()
    for stages, steps in chosen.batches:
        number += 1
        names = "; ".join(", ".join(f"{stage}_{step}" for step in steps) for stage in stages)
        print_line(f"[bold]{number}. Generations:[/] {names}")
        if rows is not None:
            _preview_batch(job, workspace, rows, stages, steps, made)
        made |= {stage for stage in stages if {"raw", "parsed"} <= set(steps)}
    if chosen.results:
        print_line(f"[bold]{number + 1}. Tables:[/] {', '.join(chosen.results)}")
    _print_missing(workspace)


def _find_rows(job: Materialization, workspace: Workspace) -> CohortRows | None:
    if job.partition is not None:
        return workspace.require_cohort_of(job.partition)
    cohort = workspace.find_current_cohort()
    if cohort is None:
        print_line(f"[yellow]Missing: there is no cohort yet.[/]\n  → {escape(REBUILD_COMMAND)}")
    return cohort


def _preview_batch(
    job: Materialization,
    workspace: Workspace,
    rows: CohortRows,
    stages: Sequence[Stage],
    steps: Sequence[str],
    made: Collection[Stage],
) -> None:
    choice = Choice(
        stages=stages, steps=steps, gen_ids=job.find_range(rows), lineage_of=job.partition, retry=tuple(job.retry)
    )
    if "raw" in steps:
        print_forecast(*forecast_cohort_run(workspace, rows, choice))
        return
    planned = plan_free_steps(workspace, rows, choice)
    if "prompt" in steps:
        later = "follow, as their parents succeed" if stages[0].parent in made else "wait for their parent's text"
        print_line(f"   {len(planned.prompts)} prompts to write, {len(planned.waiting)} {later}")
    if "parsed" in steps:
        print_line(f"   {len(planned.parsed)} responses to read; no model is called")


def _print_missing(workspace: Workspace) -> None:
    home = Path(os.environ.get("DAGSTER_HOME") or Path("dagster_home").absolute())
    missing = [finding for finding in diagnose(workspace.paths, workspace.environ, home) if finding.fix]
    for finding in missing:
        print_line(f"[yellow]Missing: {finding.subject}: {escape(finding.state)}[/]\n  → {escape(finding.fix)}")
