"""`daydreaming export`: the tables for use elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    cohort: Annotated[str | None, typer.Option(help="Which cohort; else the one built last.")] = None,
    experiment: Annotated[
        str | None, typer.Option(help="Everything with this experiment_id; with --cohort only what is in it.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write to; else reports/<cohort>/tables beside the data root.")
    ] = None,
    licence: Annotated[str, typer.Option(help="Under which the data may be used, for the data card.")] = "",
) -> None:
    """Write all tables as Parquet, with a data card that says what every column means."""
    from rich.markup import escape

    from daydreaming_dagster.cli.console import print_line
    from daydreaming_dagster.cli.opening import open_workspace
    from daydreaming_dagster.experiments.export import CARD, write_export

    written = write_export(open_workspace(cohort), experiment, output, licence)
    for name, rows in written.rows.items():
        print_line(f"[dim]{rows:>9,}[/]  {name}.parquet")
    print_line(f"[dim]{'card':>9}[/]  {escape(str(written.folder / CARD))}")
