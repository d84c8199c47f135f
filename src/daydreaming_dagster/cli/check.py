"""`daydreaming check`: whether the store holds together."""

from __future__ import annotations

from typing import Annotated

import typer

_SHOWN = 5


def check(
    ids: Annotated[bool, typer.Option("--ids", help="List everything a check found, not only the first few.")] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also read all responses of the cohort again and compare what is stored.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Look for missing parents, orphans, duplicates, unread scores and gaps. Exit code 1 when something is broken."""
    from dataclasses import asdict

    from daydreaming_dagster.cli.opening import open_workspace
    from daydreaming_dagster.experiments.store_checks import run_store_checks
    from daydreaming_dagster.store.cohort_files import find_current_cohort_id

    workspace = open_workspace()
    results = list(run_store_checks(workspace, deep=deep))
    broken = any(result.is_error and not result.passed for result in results)
    if json:
        import orjson

        print(orjson.dumps([asdict(result) for result in results], option=orjson.OPT_INDENT_2).decode())
        raise typer.Exit(1 if broken else 0)
    from rich.markup import escape

    from daydreaming_dagster.cli.console import print_line

    cohort_id = find_current_cohort_id(workspace.paths, workspace.cohort_override)
    print_line(f"Store {escape(str(workspace.paths.root))}, cohort [bold]{escape(cohort_id or 'none yet')}[/]")
    for result in results:
        mark = "[green]ok  [/]" if result.passed else "[red]no  [/]" if result.is_error else "[yellow]mind[/]"
        print_line(f"{mark} [bold]{result.name}[/]: {escape(result.what)}")
        shown = result.culprits if ids else result.culprits[:_SHOWN]
        for culprit in shown:
            print_line(f"       {escape(culprit)}")
        if len(result.culprits) > len(shown):
            print_line(f"       … and {len(result.culprits) - len(shown)} more (--ids lists all)")
        if not result.passed:
            print_line(f"       → {escape(result.fix)}")
    raise typer.Exit(1 if broken else 0)
