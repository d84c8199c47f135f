"""`daydreaming report`: one file to send to somebody who was not there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    cohort: Annotated[str | None, typer.Option(help="Which cohort; else the one built last.")] = None,
    experiment: Annotated[
        str | None, typer.Option(help="Everything with this experiment_id; with --cohort only what is in it.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write to; else reports/<cohort> beside the data root.")
    ] = None,
) -> None:
    """Write report.html (one file, no network), report.md and plots of a cohort or an experiment."""
    from rich.markup import escape

    from daydreaming_dagster.cli.console import print_line
    from daydreaming_dagster.cli.opening import open_workspace
    from daydreaming_dagster.experiments.report import write_report

    written = write_report(open_workspace(cohort), experiment, output)
    for caveat in written.caveats:
        print_line(f"[yellow]• {escape(caveat)}[/]")
    print_line(f"[dim]{'report':>9}[/]  {escape(str(written.html))}")
    print_line(f"[dim]{'Markdown':>9}[/]  {escape(str(written.markdown))}")
    if written.plots:
        print_line(f"[dim]{'plots':>9}[/]  {escape(str(written.plots[0].parent))} ({len(written.plots)})")
