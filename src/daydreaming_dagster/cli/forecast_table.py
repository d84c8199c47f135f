"""A forecast as people read it, before a run and beside what came of it."""

from __future__ import annotations

from rich.box import SIMPLE
from rich.table import Table

from daydreaming_dagster.cli.console import out
from daydreaming_dagster.engine.forecast import Estimate, Forecast
from daydreaming_dagster.engine.plan import Plan
from daydreaming_dagster.engine.progress import Progress
from daydreaming_dagster.utils.wording import show_count

_WIDE = 110
"""Characters of a terminal that shows everything."""


def print_forecast(plan: Plan, forecast: Forecast) -> None:
    """What would be done and what it would take, by stage and pool."""
    if plan.size == 0:
        out().print(f"Nothing to do: all {plan.done.total()} generations are done.")
        return
    if not forecast.lines:
        out().print(
            f"No model is called: {show_count(plan.size, 'stored text')} to read again or to copy, which is free."
        )
        _print_rest(plan)
        return
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    is_wide = out().width >= _WIDE
    table.add_column("stage", no_wrap=True)
    for heading in ("calls", "tokens in", "tokens out", "USD", "time"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("pool", "from history") if is_wide else ():
        table.add_column(heading, no_wrap=True)
    for line in forecast.lines:
        figures = (
            _count(line.calls),
            _count(line.prompt_tokens),
            _count(line.completion_tokens),
            _money(line.cost_usd) + (" + ?" if line.unpriced_models else ""),
            _time(line.seconds),
        )
        # The interval stands below its figure: what is cut off at the edge of a terminal would be a wrong figure.
        cells = [figure.replace(" (", "\n(") for figure in figures]
        if not is_wide:
            cells[1:3] = [figure.partition(" (")[0] for figure in figures[1:3]]
        table.add_row(line.stage, *cells, *((line.pool, f"{line.from_history:.0%}") if is_wide else ()))
    out().print(table)
    out().print(
        f"In all {_count(forecast.calls)} calls, {_count(forecast.tokens)} tokens, {_money(forecast.cost_usd)} USD, "
        f"{_time(forecast.seconds)} (each with a 90 % interval)."
    )
    if forecast.unpriced_models:
        out().print(f"Not in the sum, because their price is unknown: {', '.join(forecast.unpriced_models)}.")
    _print_rest(plan)


def _print_rest(plan: Plan) -> None:
    for what, number in (("done already", plan.done.total()), ("left alone (--retry)", len(plan.held))):
        if number:
            out().print(f"{number} {what}.")
    if plan.blocked:
        out().print(f"{len(plan.blocked)} wait for a parent that failed.")


def describe_accuracy(forecast: Forecast, progress: Progress, duration_s: float) -> str:
    """What was expected and what came, in one line."""
    show = {"calls": _count, "tokens": _count, "cost_usd": _money, "seconds": _time}
    parts = []
    for name, expected, truth, inside in forecast.compare(progress, duration_s):
        figure = f"{truth:,.4f}" if name == "cost_usd" else f"{truth:,.0f}"
        parts.append(
            f"{name.replace('_', ' ')} {figure}, expected {show[name](expected)}{'' if inside else ' (outside)'}"
        )
    return "Forecast: " + "; ".join(parts) + "."


def _count(estimate: Estimate) -> str:
    if estimate.high - estimate.low < 1:
        return f"{estimate.expected:,.0f}"
    return f"{estimate.expected:,.0f} ({estimate.low:,.0f}-{estimate.high:,.0f})"


def _money(estimate: Estimate) -> str:
    return f"{estimate.expected:.4f} ({estimate.low:.4f}-{estimate.high:.4f})"


def _time(estimate: Estimate) -> str:
    return f"{_duration(estimate.expected)} ({_duration(estimate.low)}-{_duration(estimate.high)})"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"
