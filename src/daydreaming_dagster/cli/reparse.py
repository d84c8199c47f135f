"""`daydreaming reparse`: read every stored response of a cohort again."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.utils.wording import show_count

if TYPE_CHECKING:
    from daydreaming_dagster.experiments.reparse import ReparseReport

_SHOWN_CHANGES = 40


def reparse(
    parser: Annotated[str, typer.Option(help="Read with this parser instead of each template's own.")] = "",
    stage: Annotated[list[Stage] | None, typer.Option(help="Only this stage; repeatable.")] = None,
    template: Annotated[list[str] | None, typer.Option(help="Only generations of this template; repeatable.")] = None,
    cohort: Annotated[str | None, typer.Option(help="Which cohort; else the one built last.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; write nothing.")] = False,
) -> None:
    """Read all stored responses again with today's parsers, or with another one. Calls no model and costs nothing.

    The raw responses stay. What changed is listed, and added to 5_parsing/reparsed.csv.
    """
    from daydreaming_dagster.cli.opening import open_workspace
    from daydreaming_dagster.experiments import reparse as reparsing

    report = reparsing.reparse(open_workspace(cohort), parser, stage or (), template or (), dry_run=dry_run)
    _print_changes(report)
    _print_counts(report)
    _print_advice(report, dry_run=dry_run, parser=parser)


def _print_changes(report: ReparseReport) -> None:
    from rich.markup import escape

    from daydreaming_dagster.cli.console import print_line
    from daydreaming_dagster.experiments.reparse import show_parsed

    changes = report.changes
    for reading in changes[:_SHOWN_CHANGES]:
        stage = reading.member.stage
        before = show_parsed(stage, reading.before) or "nothing"
        after = show_parsed(stage, reading.after) or f"nothing ({reading.reason})"
        print_line(f"{reading.member.gen_id}  {reading.change}: {escape(before)} → {escape(after)}")
    if len(changes) > _SHOWN_CHANGES:
        where = report.log or "--dry-run shows no more; the table will list all"
        print_line(f"[dim]… and {len(changes) - _SHOWN_CHANGES} more: {escape(str(where))}[/]")


def _print_counts(report: ReparseReport) -> None:
    from daydreaming_dagster.cli.console import print_line
    from daydreaming_dagster.experiments.reparse import Change

    words = {Change.SAME: "as before", Change.SAME_TEXT: "as before, by another parser"}

    counts = report.counts
    for stage in Stage:
        total = sum(counts[stage, change] for change in Change)
        if total:
            parts = ", ".join(
                f"{counts[stage, change]} {words.get(change, change.replace('_', ' '))}"
                for change in Change
                if counts[stage, change]
            )
            print_line(f"[bold]{show_count(total, stage)}[/] looked at: {parts}.")
    refused = Counter(reading.reason for reading in report.readings if reading.change is Change.REFUSED)
    if refused:
        print_line("Refused: " + ", ".join(f"{count} {reason}" for reason, count in refused.most_common()) + ".")
    if not report.readings:
        print_line("There was nothing to read.")


def _print_advice(report: ReparseReport, *, dry_run: bool, parser: str) -> None:
    from rich.markup import escape

    from daydreaming_dagster.cli.console import print_line
    from daydreaming_dagster.experiments.result_tables import MAKE_RESULTS

    if report.stale_children:
        print_line(f"[yellow]{report.stale_children} generations were made from a text that is another one now.[/]")
    if dry_run:
        print_line("Nothing was written.")
    elif report.changes:
        print_line(f"Changes are listed in {escape(str(report.log))}. Tables still show the older scores.")
        print_line(escape(MAKE_RESULTS))
        if parser:
            print_line(f"To stay with it, write {parser} into the `parser` column of the templates' table.")
