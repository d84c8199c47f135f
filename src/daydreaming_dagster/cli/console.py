"""How the command line speaks: to people on a terminal, and plainly to everything else."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

from daydreaming_dagster.domain.errors import DayDreamingError

if TYPE_CHECKING:
    from rich.console import Console


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


def is_interactive() -> bool:
    """Whether somebody watches."""
    return sys.stdout.isatty()
