"""Live counts of a run on a terminal, and a line now and then where the output goes elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from daydreaming_dagster.cli.console import is_interactive, out
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.progress import Progress

_SECONDS_PER_PICTURE = 0.25
_SECONDS_PER_LINE = 30.0


@contextmanager
def show_progress(progress: Progress, *, quiet: bool) -> Iterator[None]:
    """Draws the counts while the body runs."""
    started = time.monotonic()

    def measure() -> float:
        return time.monotonic() - started

    if quiet:
        yield
    elif is_interactive():
        with (
            Live(console=out(), auto_refresh=False, transient=True) as live,
            _repeat(lambda: live.update(_render(progress, measure()), refresh=True), _SECONDS_PER_PICTURE),
        ):
            yield
    else:
        # Print, because rich would break the line where it believes the edge of a terminal to be.
        with _repeat(lambda: print(describe_counts(progress, measure()), flush=True), _SECONDS_PER_LINE):
            yield


@contextmanager
def _repeat(show: Callable[[], None], interval_s: float) -> Iterator[None]:
    """Calls it again and again from a thread beside the body, as long as there is somebody to show it to."""
    stop = threading.Event()

    def work() -> None:
        with suppress(OSError):  # the terminal was closed; what that means for the run, a signal says
            while not stop.wait(interval_s):
                show()

    thread = threading.Thread(target=work, name="live-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _render(progress: Progress, elapsed_s: float) -> Group:
    table = Table.grid(padding=(0, 2))
    for stage in Stage:
        planned, worked_on = progress.planned[stage], _count_worked_on(progress, stage)
        if not planned:
            continue
        failed = progress.failed[stage] + progress.blocked[stage]
        table.add_row(
            f"{stage}s",
            ProgressBar(total=planned, completed=worked_on, width=30),
            f"{worked_on}/{planned}",
            Text(f"{failed} failed", style="red") if failed else "",
        )
    return Group(table, Text(describe_pace(progress, elapsed_s), style="dim"), Text(progress.notice, style="yellow"))


def describe_counts(progress: Progress, elapsed_s: float) -> str:
    """The picture as one line: `drafts 9/12 · essays 3/24 · 8 in flight · …`."""
    counts = [
        f"{stage}s {_count_worked_on(progress, stage)}/{progress.planned[stage]}"
        for stage in Stage
        if progress.planned[stage]
    ]
    failed = progress.failed.total() + progress.blocked.total()
    return " · ".join([*counts, *([f"{failed} failed"] if failed else []), describe_pace(progress, elapsed_s)])


def describe_pace(progress: Progress, elapsed_s: float) -> str:
    """One line: calls under way, rate, tokens, cost, and the time left or what it is waited for."""
    worked_on = sum(_count_worked_on(progress, stage) for stage in Stage)
    left = 0 if progress.left else progress.planned.total() - worked_on
    rate = worked_on / elapsed_s if elapsed_s > 0 else 0.0
    parts = [
        f"{progress.in_flight} in flight",
        f"{rate * 60:.0f}/min" if rate < 2 else f"{rate:.0f}/s",
        f"{progress.prompt_tokens + progress.completion_tokens:,} tokens",
        f"${progress.cost_usd:.4f}" + (" + unpriced" if progress.unpriced_calls else ""),
    ]
    if progress.retries:
        parts.append(f"{progress.retries} retries")
    if progress.in_batches:
        parts.append(f"{progress.in_batches:,} wait for batches, which may take hours")
    elif left and progress.waits_for_batches:
        parts.append("batches to come, which may take hours")
    elif rate > 0 and left:
        parts.append(f"about {_duration(left / rate)} left")
    return " · ".join(parts)


def _count_worked_on(progress: Progress, stage: Stage) -> int:
    """What has ended, without what a run that is being stopped does not begin any more."""
    return progress.ended(stage) - progress.left[stage]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
