"""`daydreaming demo`: the main job on the embedded model, in a folder of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def demo(
    folder: Annotated[Path, typer.Option(help="Where the demo lives; apart from your experiments.")] = Path("demo"),
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors and the result only.")] = False,
) -> None:
    """See the whole job with a small language model that runs on this machine, without any key."""
    if not quiet:
        print("Reading inputs and generations …", flush=True)  # what is imported now takes a second and more
    from daydreaming_dagster.cli.main_job import MainJob
    from daydreaming_dagster.experiments.starting_inputs import copy_demo_inputs

    copy_demo_inputs(folder / "data")
    os.environ["DAYDREAMING_DATA_ROOT"] = str(folder / "data")
    os.environ["DAGSTER_HOME"] = str((folder / "dagster_home").absolute())
    for name in [name for name in os.environ if name.startswith("DD_")]:
        del os.environ[name]
    job = MainJob(
        cohort=None,
        description_level="sentence",
        tags={},
        # A model this small now and then gives an answer that cannot be used; asking again costs nothing here.
        retry=["truncated", "too_short", "empty", "parse_failed"],
        passes=4,
        quiet=quiet,
    )
    raise typer.Exit(job.run())
