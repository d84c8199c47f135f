"""`daydreaming plan`: what a run would do and what it would take."""

from __future__ import annotations

from typing import Annotated

import typer


def plan(
    cohort: Annotated[str | None, typer.Option(help="Name of the cohort instead of the computed id.")] = None,
    retry: Annotated[
        str, typer.Option(help="As of `run`: what to call again: truncated,parse_failed,…, or stale.")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no server what is left of the key and of today's free requests.")
    ] = False,
) -> None:
    """Forecast calls, tokens, money and time of a run; nothing is written and no model is called."""
    from daydreaming_dagster.cli.allowances import find_allowances, print_allowances
    from daydreaming_dagster.cli.forecast_table import print_forecast
    from daydreaming_dagster.cli.hints import print_hints
    from daydreaming_dagster.cli.opening import open_workspace
    from daydreaming_dagster.engine.cohort_run import Choice, find_hints, forecast_cohort_run

    workspace = open_workspace(cohort)
    reasons = frozenset(reason.strip() for reason in retry.split(",") if reason.strip())
    rows = workspace.plan_cohort()
    planned, forecast = forecast_cohort_run(workspace, rows, Choice(retry=reasons))
    allowances = find_allowances(workspace, rows, planned, offline=offline)
    if json:
        import orjson

        tasks = {f"{stage}:{action.name.lower()}": count for (stage, action), count in planned.tasks.items()}
        hints = find_hints(workspace, rows, planned)
        value = {"tasks": tasks, **forecast.to_json(), **allowances.to_json(), "stale": hints.stale}
        print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
        return
    print_forecast(planned, forecast)
    print_allowances(allowances, forecast)
    print_hints(find_hints(workspace, rows, planned), planned)
