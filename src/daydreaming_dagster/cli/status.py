"""`daydreaming status`: how far the cohort has come, and what needs attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from daydreaming_dagster.cli.console import told_of_damaged
from daydreaming_dagster.cli.exit_codes import EXIT_INCOMPLETE, EXIT_OK
from daydreaming_dagster.utils.wording import show_count

if TYPE_CHECKING:
    from daydreaming_dagster.domain.membership import Cohort
    from daydreaming_dagster.engine.cohort_status import CohortStatus
    from daydreaming_dagster.engine.workspace import Workspace

_SHOWN_FAILURES = 10
_SHOWN_CHARACTERS = 160


def status(
    cohort: Annotated[str | None, typer.Option(help="Which cohort; else the one built last.")] = None,
    ids: Annotated[bool, typer.Option("--ids", help="List every generation: stage, gen_id, parent, status.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show what is done, missing and failed, by stage, with reasons. Exit code 3 when something is left to do.

    Without --cohort a damaged one is passed over and named, with exit code 1.
    """
    from daydreaming_dagster.cli.opening import open_workspace

    workspace = open_workspace(cohort)
    with told_of_damaged() as damaged:
        current = next(workspace.iter_cohorts(damaged), None)
        if current is None and damaged:
            return
        found = _show(workspace, current or workspace.require_current_cohort(), ids=ids, json=json)
    raise typer.Exit(EXIT_OK if found.is_complete else EXIT_INCOMPLETE)


def _show(workspace: Workspace, cohort: Cohort, *, ids: bool, json: bool) -> CohortStatus:
    from daydreaming_dagster.engine.cohort_status import read_cohort_status

    found = read_cohort_status(workspace.store, cohort)
    if json:
        _print_json(found)
    elif ids:
        for member, state in found.states:
            print(f"{member.stage}\t{member.gen_id}\t{member.parent_gen_id}\t{state}")
    else:
        _print_tables(found)
        _print_stale(workspace, cohort)
    return found


def _print_tables(found: CohortStatus) -> None:
    from rich.box import SIMPLE
    from rich.markup import escape
    from rich.table import Table

    from daydreaming_dagster.cli.console import out, print_line
    from daydreaming_dagster.store.states import Status

    print_line(f"Cohort [bold]{found.cohort_id}[/]")
    table = Table(box=SIMPLE)
    table.add_column("stage")
    for heading in ("all", "done", "to parse", "failed", "missing"):
        table.add_column(heading, justify="right")
    for stage in found.stages:
        counts = stage.counts
        cells = [counts[Status.DONE], counts[Status.UNPARSED], counts[Status.FAILED], counts[Status.MISSING]]
        table.add_row(str(stage.stage), str(stage.total), *(str(cell) if cell else "–" for cell in cells))
    out().print(table)
    reasons = [(stage.stage, reason, count) for stage in found.stages for reason, count in stage.failures.items()]
    for name, reason, count in reasons:
        print_line(f"[red]{show_count(count, name)} failed: {escape(reason)}[/]")
    for member, failure in found.failed[:_SHOWN_FAILURES]:
        print_line(f"  {member.gen_id}  {escape(failure.reason)}: {escape(_shorten(failure.message))}")
    if len(found.failed) > _SHOWN_FAILURES:
        print_line(f"  … and {len(found.failed) - _SHOWN_FAILURES} more (--json lists all)")
    _print_advice(found)


def _shorten(message: str) -> str:
    """The first line, as far as it fits beside others; `daydreaming show` has all of it."""
    lines = message.strip().splitlines() or [""]
    first = lines[0][:_SHOWN_CHARACTERS]
    return first if lines == [first] else f"{first} …"


def _print_advice(found: CohortStatus) -> None:
    from daydreaming_dagster.cli.console import print_line
    from daydreaming_dagster.store.states import Status

    if found.is_complete:
        print_line("[green]Everything is done.[/]")
        return
    lasting = sorted({failure.reason for _, failure in found.failed if failure.lasting})
    if lasting:
        print_line(f"Try the lasting failures again (this calls models): daydreaming run --retry {','.join(lasting)}")
    if any(stage.counts[Status.MISSING] + stage.counts[Status.UNPARSED] for stage in found.stages) or any(
        not failure.lasting for _, failure in found.failed
    ):
        print_line("Make what is missing: daydreaming run")


def _print_stale(workspace: Workspace, cohort: Cohort) -> None:
    from daydreaming_dagster.cli.console import print_line
    from daydreaming_dagster.domain.errors import ConfigurationError
    from daydreaming_dagster.engine.cohort_run import count_stale

    try:
        stale = count_stale(workspace, cohort)
    except ConfigurationError:
        return  # what is stored can be told of without inputs; `doctor` tells what is wrong with those
    if stale:
        print_line(f"{show_count(stale, 'generation')} made from inputs that have changed since: daydreaming stale")


def _print_json(found: CohortStatus) -> None:
    import orjson

    value = {
        "cohort_id": found.cohort_id,
        "complete": found.is_complete,
        "stages": {
            str(stage.stage): {
                "all": stage.total,
                **{str(state): count for state, count in stage.counts.items()},
                "failures": dict(stage.failures),
            }
            for stage in found.stages
        },
        "failed": [
            {"stage": member.stage, "gen_id": member.gen_id, **failure.to_json()} for member, failure in found.failed
        ],
    }
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
