"""A forecast as people read it, before a run and beside what came of it."""

from __future__ import annotations

from collections.abc import Callable

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
        f"{_time(forecast.seconds)}. {_explain_brackets(forecast)}"
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


def _explain_brackets(forecast: Forecast) -> str:
    if not forecast.runs:
        return (
            "A guess: this store has no answers of these templates and models. In nine of ten cases the brackets hold."
        )
    known = round(100 * forecast.from_history)
    basis = f"from {show_count(forecast.runs, 'earlier run')}" + (
        f", for {known} % of the calls" if known < 100 else ""
    )
    caveat = (
        " How much runs differ from each other cannot be seen in one: that is assumed." if forecast.runs == 1 else ""
    )
    rest = " The rest is a guess." if known < 100 else ""
    return f"Estimated {basis}; in nine of ten cases the truth lies in the brackets.{caveat}{rest}"


def describe_accuracy(forecast: Forecast, progress: Progress, duration_s: float) -> str:
    """What was expected and what came, in one line."""
    show = {"calls": _count, "tokens": _count, "cost_usd": _money, "seconds": _time}
    names = {"cost_usd": "USD", "seconds": "time"}
    parts = []
    for name, expected, truth, inside in forecast.compare(progress, duration_s):
        figure = show[name](Estimate(truth, truth, truth))
        parts.append(
            f"{names.get(name, name)} {figure}, expected {show[name](expected)}{'' if inside else ' (outside)'}"
        )
    return "Forecast: " + "; ".join(parts) + "."


def _count(estimate: Estimate) -> str:
    return _show(estimate, lambda value: f"{value:,.0f}")


def _money(estimate: Estimate) -> str:
    return _show(estimate, lambda value: f"{value:.4f}")


def _time(estimate: Estimate) -> str:
    return _show(estimate, _duration)


def _show(estimate: Estimate, show: Callable[[float], str]) -> str:
    """The figure, and in brackets between what it will be; without them where all three look alike."""
    low, expected, high = map(show, estimate)
    return expected if low == high else f"{expected} ({low}-{high})"


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"
