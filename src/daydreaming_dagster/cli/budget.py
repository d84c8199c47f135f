"""`daydreaming budget`: what a cohort has spent, and the bounds that earlier runs left for it."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from daydreaming_dagster.utils.wording import show_count


def budget(
    cohort: Annotated[str | None, typer.Option(help="Which cohort; else the one built last.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the cohort's bounds; what is spent stays.")] = False,
) -> None:
    """Show what all runs of a cohort have spent, and the bounds that --cohort-budget-usd or -tokens left for it."""
    from daydreaming_dagster.cli.console import print_line
    from daydreaming_dagster.cli.opening import open_workspace
    from daydreaming_dagster.engine.budget import describe_spending
    from daydreaming_dagster.store.ledger import CallState, Ledger, Limits, find_cohort_scope

    workspace = open_workspace(cohort)
    current = workspace.require_current_cohort()
    scope = find_cohort_scope(current.cohort_id)
    with closing(Ledger(workspace.paths, read_only=not remove)) as ledger:
        if remove:
            ledger.set_limits(scope, Limits())
        limits, spent = ledger.find_scope(scope)
        unknown = next((row for row in ledger.summarize(current.cohort_id) if row.state == CallState.UNKNOWN), None)
    print_line(f"Cohort [bold]{current.cohort_id}[/]: {describe_spending(limits, spent)}.")
    if unknown is not None:
        print_line(
            f"Of that up to ${unknown.cost_usd:.4f} for {show_count(unknown.calls, 'call')} that ended without a word, "
            "counted at the most they can have cost."
        )
    if limits == Limits():
        print_line("No bound holds. One for all its runs together: daydreaming run --cohort-budget-usd 5")
    else:
        print_line("The bound holds for every run of the cohort. To change it: daydreaming run --cohort-budget-usd NEW")
        print_line("To remove it: daydreaming budget --remove")
