"""How the command line speaks: to people on a terminal, and plainly to everything else."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from daydreaming_dagster.cli.exit_codes import EXIT_ERROR
from daydreaming_dagster.domain.errors import DayDreamingError, StoreError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.utils.wording import show_count

if TYPE_CHECKING:
    from rich.console import Console

    from daydreaming_dagster.domain.membership import Member


@cache
def out() -> Console:
    """Standard output."""
    from rich.console import Console

    return Console(highlight=False)


def print_line(text: str) -> None:
    """A line with rich markup; it is not broken where it meets the edge of a terminal, so that paths can be copied."""
    out().print(text, soft_wrap=True)


def print_error(error: DayDreamingError) -> None:
    """What went wrong and what to do, on standard error."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(Text.assemble(("Error: ", "bold red"), error.what))
    console.print(Text.assemble(("  → ", "bold"), error.fix))


@contextmanager
def told_of_damaged() -> Iterator[list[StoreError]]:
    """Takes in why cohorts cannot be read that nobody named: told in the end, beside what the others say.

    Raises:
        Exit: with the code of an error, when there were any.
    """
    damaged: list[StoreError] = []
    try:
        yield damaged
    finally:
        for error in {error.what: error for error in damaged}.values():
            print_error(error)
    if damaged:
        raise typer.Exit(EXIT_ERROR)


def print_interrupted() -> None:
    """What Ctrl-C leaves, on standard error."""
    print("\nInterrupted. What was finished is stored; the same command goes on from there.", file=sys.stderr)


def count_by_stage(members: Sequence[Member]) -> str:
    """`1 draft, 2 essays, 6 evaluations`."""
    counts = Counter(member.stage for member in members)
    return ", ".join(show_count(counts[stage], stage) for stage in Stage)


def show_command(words: str, data_root: Path) -> str:
    """A command as it can be typed here: by the way this one was called, and for the same data root."""
    from daydreaming_dagster.settings import DEFAULT_DATA_ROOT

    called = Path(sys.argv[0])
    if called.name != "daydreaming" or shutil.which("daydreaming") == str(called):
        program = "daydreaming"
    else:
        program = os.path.relpath(called) if called.is_relative_to(Path.cwd()) else str(called)
    named = "" if data_root == DEFAULT_DATA_ROOT else f" --data-root {shlex.quote(str(data_root))}"
    return f"{shlex.quote(program)}{named} {words}"


def is_interactive() -> bool:
    """Whether somebody watches, on a terminal that can draw over what it has drawn."""
    return out().is_terminal and not out().is_dumb_terminal
