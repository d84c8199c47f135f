"""`daydreaming init`: inputs to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    folder: Annotated[
        Path | None, typer.Argument(help="The data root to fill; else DAYDREAMING_DATA_ROOT, else `data`.")
    ] = None,
) -> None:
    """Copy concepts, templates, rubrics and models into a data root. What is there already stays as it is."""
    from daydreaming_dagster.cli.console import print_line
    from daydreaming_dagster.experiments.starting_inputs import copy_starter_inputs
    from daydreaming_dagster.settings import Settings

    root = folder or Settings().data_root
    written = copy_starter_inputs(root)
    print_line(f"{written} files written to {root / '1_raw'}." if written else f"{root / '1_raw'} is complete already.")
    print_line("Next: set OPENROUTER_API_KEY, then see what a run would do with `daydreaming run --dry-run`.")
