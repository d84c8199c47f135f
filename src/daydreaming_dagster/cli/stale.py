"""`daydreaming stale`: generations whose prompt, model or parameters have changed since they were made."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from daydreaming_dagster.cli.exit_codes import EXIT_INCOMPLETE, EXIT_OK

if TYPE_CHECKING:
    from daydreaming_dagster.domain.membership import Member
    from daydreaming_dagster.engine.reasons import Difference
    from daydreaming_dagster.engine.staleness import StaleGroup


def stale(
    cohort: Annotated[str | None, typer.Option(help="Which cohort; else the one built last.")] = None,
    stage: Annotated[str | None, typer.Option(help="Only this stage: draft, essay or evaluation.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="A line for each generation, with its first change.")] = False,
    gen_ids: Annotated[bool, typer.Option("--gen-ids", help="Print the ids and nothing else.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show what was made from inputs that have changed since, by what changed. Exit code 3 if there is any."""
    from daydreaming_dagster.cli.opening import open_workspace
    from daydreaming_dagster.domain.errors import ConfigurationError
    from daydreaming_dagster.domain.membership import find_with_descendants
    from daydreaming_dagster.domain.stages import Stage
    from daydreaming_dagster.engine.staleness import find_stale, group_stale
    from daydreaming_dagster.store.index import Index

    if stage is not None and stage not in set(Stage):
        raise ConfigurationError(f"There is no stage '{stage}'.", fix=f"Use one of: {', '.join(Stage)}.")
    workspace = open_workspace(cohort)
    current = workspace.require_current_cohort()
    with closing(Index(workspace.store, read_only=True)) as index:
        found = list(find_stale(workspace.recipe(current.combinations), current.members, index))
    shown = [(member, change) for member, change in found if stage in (None, member.stage)]
    if json:
        _print_json(current.cohort_id, shown)
    elif gen_ids:
        for member, _ in shown:
            print(member.gen_id)
    elif all_:
        for member, change in shown:
            text = f"{member.stage} {member.gen_id}: {change.what}: then {change.first} | now {change.second}"
            print(text)
    else:
        follow = len(find_with_descendants(current.members, (member.gen_id for member, _ in found))) - len(found)
        _print_groups(group_stale(shown), sum(stage in (None, member.stage) for member in current.members), follow)
    raise typer.Exit(EXIT_INCOMPLETE if shown else EXIT_OK)


def _print_groups(groups: Sequence[StaleGroup], total: int, follow: int) -> None:
    from rich.box import SIMPLE
    from rich.markup import escape
    from rich.table import Table

    from daydreaming_dagster.cli.console import out, print_line

    count = sum(len(group.gen_ids) for group in groups)
    if not count:
        print_line(f"None of {total:,} is stale.")
        return
    print_line(f"{count:,} of {total:,} were made from inputs that have changed since:")
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    for heading in ("stage", "changed", "template", "model"):
        table.add_column(heading, overflow="fold")
    table.add_column("how many", justify="right", no_wrap=True)
    for group in groups:
        table.add_row(
            group.stage,
            escape(group.cause),
            escape(group.template_id),
            escape(group.llm_model_id),
            f"{len(group.gen_ids):,}",
        )
    out().print(table)
    firsts = {cause: next(group for group in groups if group.cause == cause) for cause in {g.cause: 0 for g in groups}}
    for cause, group in firsts.items():
        change = group.example
        print_line(f"[dim]{escape(cause)}, for example {group.gen_ids[0]}[/] ({escape(change.what)})")
        print_line(f"  then {escape(change.first)}\n  now  {escape(change.second)}")
    if follow:
        print_line(f"{follow:,} more follow from them, and are looked at again when they have been made anew.")
    print_line("A run keeps all of it. To make it anew (what is stored now is kept as a version):")
    print_line("  daydreaming run --retry stale --dry-run   # what it would take")
    print_line("  daydreaming run --retry stale")
    print_line("One by one: daydreaming stale --all")


def _print_json(cohort_id: str, shown: Sequence[tuple[Member, Difference]]) -> None:
    import orjson

    rows = [
        {
            "stage": member.stage,
            "gen_id": member.gen_id,
            "template_id": member.template_id,
            "llm_model_id": member.llm_model_id,
            "cause": change.cause,
            "what": change.what,
            "then": change.first,
            "now": change.second,
        }
        for member, change in shown
    ]
    print(orjson.dumps({"cohort_id": cohort_id, "stale": rows}, option=orjson.OPT_INDENT_2).decode())
