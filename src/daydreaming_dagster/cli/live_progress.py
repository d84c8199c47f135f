"""Live counts of a run on a terminal; nothing where nobody watches."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from daydreaming_dagster.cli.console import is_interactive, out
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.progress import Progress

_REFRESHES_PER_S = 4


@contextmanager
def show_progress(progress: Progress, *, quiet: bool) -> Iterator[None]:
    """Draws the counts while the body runs."""
    if quiet or not is_interactive():
        yield
        return
    started = time.monotonic()
    stop = threading.Event()
    with Live(console=out(), refresh_per_second=_REFRESHES_PER_S, transient=True) as live:

        def draw() -> None:
            while not stop.wait(1 / _REFRESHES_PER_S):
                live.update(_render(progress, time.monotonic() - started))

        painter = threading.Thread(target=draw, name="live-progress", daemon=True)
        painter.start()
        try:
            yield
        finally:
            stop.set()
            painter.join()


def _render(progress: Progress, elapsed_s: float) -> Group:
    table = Table.grid(padding=(0, 2))
    for stage in Stage:
        planned, ended = progress.planned[stage], progress.ended(stage)
        if not planned:
            continue
        failed = progress.failed[stage] + progress.blocked[stage]
        table.add_row(
            f"{stage}s",
            ProgressBar(total=planned, completed=ended, width=30),
            f"{ended}/{planned}",
            Text(f"{failed} failed", style="red") if failed else "",
        )
    return Group(table, Text(describe_pace(progress, elapsed_s), style="dim"), Text(progress.notice, style="yellow"))


def describe_pace(progress: Progress, elapsed_s: float) -> str:
    """One line: calls under way, rate, tokens, cost, time left."""
    ended = sum(progress.ended(stage) for stage in Stage)
    left = progress.planned.total() - ended
    rate = ended / elapsed_s if elapsed_s > 0 else 0.0
    parts = [
        f"{progress.in_flight} in flight",
        f"{rate * 60:.0f}/min" if rate < 2 else f"{rate:.0f}/s",
        f"{progress.prompt_tokens + progress.completion_tokens:,} tokens",
        f"${progress.cost_usd:.4f}" + (" + unpriced" if progress.unpriced_calls else ""),
    ]
    if progress.retries:
        parts.append(f"{progress.retries} retries")
    if rate > 0 and left:
        parts.append(f"about {_duration(left / rate)} left")
    return " · ".join(parts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
