"""What keys and pools still allow today, beside what a plan would take."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from rich.markup import escape

from daydreaming_dagster.cli.console import print_line
from daydreaming_dagster.engine.budget import describe_spending
from daydreaming_dagster.engine.cohort_run import find_called_models
from daydreaming_dagster.engine.forecast import Forecast
from daydreaming_dagster.engine.plan import Plan
from daydreaming_dagster.engine.quota import DayUse, read_day_uses
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.llm.key_check import KeyCheck, check_keys
from daydreaming_dagster.store.cohorts import CohortPlan
from daydreaming_dagster.store.ledger import Amount, Ledger, Limits, find_cohort_scope


@dataclass(frozen=True, slots=True)
class Allowances:
    """What may still be done with the keys and pools of a plan.

    Attributes:
        keys: by endpoint, those whose server was asked.
        days: by pool, those that count days.
        limits: bounds that an earlier run left for all runs of the cohort.
        spent: what these have spent.
    """

    keys: Mapping[str, KeyCheck]
    days: Mapping[str, DayUse]
    limits: Limits
    spent: Amount

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        keys = {
            name: {"problem": None if check.error is None else check.error.what, **asdict(check.status)}
            for name, check in self.keys.items()
        }
        days = {name: {**asdict(use), "left": use.remaining} for name, use in self.days.items()}
        budget = {"limit_usd": self.limits.usd, "limit_tokens": self.limits.tokens}
        budget |= {"spent_usd": self.spent.usd, "spent_tokens": self.spent.tokens}
        return {"keys": keys, "days": days, "budget": budget}


def find_allowances(workspace: Workspace, rows: CohortPlan, plan: Plan, *, offline: bool) -> Allowances:
    """What the keys and pools allow that the plan would use, and the cohort's kept budget.

    Args:
        workspace: the data root.
        rows: the cohort.
        plan: what would be done.
        offline: ask no server.
    """
    models = find_called_models(workspace, rows, plan)
    catalogue = workspace.catalogue
    endpoints = [catalogue.endpoints[name] for name in dict.fromkeys(model.endpoint for model in models)]
    checks = {} if offline else check_keys(endpoints, workspace.environ)
    told = {name: check.status for name, check in checks.items()}
    pools = dict.fromkeys(model.pool for model in models)
    days = read_day_uses(workspace.paths, catalogue, pools, told, time.time())
    with closing(Ledger(workspace.paths, read_only=True)) as ledger:
        return Allowances(checks, days, *ledger.find_scope(find_cohort_scope(rows.cohort_id)))


def print_allowances(allowances: Allowances, forecast: Forecast) -> None:
    """One line per key and pool, and what of the plan does not fit."""
    for name, check in allowances.keys.items():
        print_line(f"Key of {escape(name)}: {escape(check.describe())}.")
        if check.error is not None:
            print_line(f"  → {escape(check.error.fix)}")
        left = check.status.limit_remaining_usd
        if left is not None and left < forecast.cost_usd.high:
            print_line(f"[yellow]  This may cost ${forecast.cost_usd.high:,.2f}: more than is left to spend.[/]")
    if allowances.limits != Limits():
        spending = describe_spending(allowances.limits, allowances.spent)
        print_line(f"Budget of the cohort: {spending}: daydreaming budget")
    for pool, use in allowances.days.items():
        calls = sum(line.calls.expected for line in forecast.lines if line.pool == pool)
        print_line(f"Pool {escape(pool)}: {use.describe()}; this would send about {calls:,.0f}.")
        if use.remaining is not None and calls > use.remaining:
            print_line(
                "[yellow]  The rest follows when the run is started again after 00:00 UTC, in "
                f"{(use.resets_at - time.time()) / 3600:.1f} h.[/]"
            )
