"""What somebody should know before a plan is run, beside what it would take."""

from __future__ import annotations

from rich.markup import escape

from daydreaming_dagster.cli.console import print_line
from daydreaming_dagster.engine.cohort_run import Hints
from daydreaming_dagster.engine.plan import Plan
from daydreaming_dagster.engine.staleness import STALE, Renaming

_TABLES = {"model": "llm_models.csv", "template": "{stage}_templates.csv"}


def print_hints(hints: Hints, plan: Plan) -> None:
    """A line for what is stale, and one for each id that seems to have been renamed."""
    if hints.stale and STALE not in plan.retry:
        print_line(f"{hints.stale:,} stored ones are stale and stay as they are: daydreaming stale")
    for renaming in hints.renamings:
        print_line(f"[yellow]{escape(_describe(renaming))}[/]")


def _describe(renaming: Renaming) -> str:
    table = _TABLES[renaming.what].format(stage=renaming.stage)
    return (
        f"{renaming.count:,} of the missing {renaming.stage}s are stored already, with the same prompt and parameters, "
        f"under the {renaming.what} id '{renaming.old_id}', which has no row in {table} any more. If it was renamed to "
        f"'{renaming.new_id}', name it '{renaming.old_id}' again, and they are not paid for twice, nor what follows "
        "from them."
    )
