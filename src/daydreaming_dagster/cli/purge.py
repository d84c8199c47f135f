"""`daydreaming purge COHORT`: remove a cohort with everything that only it has."""

from __future__ import annotations

from typing import Annotated

import typer


def purge(
    cohort: Annotated[str, typer.Argument(help="Id of the cohort.")],
    yes: Annotated[bool, typer.Option("--yes", help="Really remove; without it, only say what would go.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go; this is the default.")] = False,
) -> None:
    """Remove a cohort, its generations and partitions. Without --yes it only says what would go."""
    from rich.markup import escape

    from daydreaming_dagster.cli.console import print_line
    from daydreaming_dagster.cli.opening import open_workspace
    from daydreaming_dagster.domain.errors import UsageError
    from daydreaming_dagster.experiments.purging import execute_purge, plan_purge
    from daydreaming_dagster.utils.wording import show_count

    if yes and dry_run:
        raise UsageError("--yes and --dry-run exclude each other.", fix="Give one of the two.")
    workspace = open_workspace()
    plan = plan_purge(workspace, cohort)
    counts = ", ".join(show_count(len(gen_ids), stage) for stage, gen_ids in plan.doomed.items())
    paid = f"{show_count(plan.responses, 'response')} that cost ${plan.cost_usd:.4f}"
    kept = f"{show_count(plan.kept, 'generation')} of other cohorts, too, {'stays' if plan.kept == 1 else 'stay'}"
    print_line(f"[bold]{escape(cohort)}[/]: {counts} {'go' if yes else 'would go'}, with {paid}; {kept}.")
    if not yes:
        print_line(f"Nothing was removed. Really remove it: daydreaming purge {escape(cohort)} --yes")
        return
    execute_purge(workspace, plan)
    from daydreaming_dagster.cli.partition_removal import remove_partitions

    remove_partitions(plan.unregistered)
    print_line("Removed. Tables still hold its scores until they are made again: daydreaming aggregate-scores")
