"""`daydreaming doctor`: what is missing here, and how to mend it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def doctor(
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no server whether it accepts the key and what is left of it.")
    ] = False,
) -> None:
    """Look at this machine, the data root, the inputs and the keys. Exit code 1 when something needed is missing."""
    from rich.markup import escape

    from daydreaming_dagster.cli.console import print_line
    from daydreaming_dagster.cli.opening import open_workspace
    from daydreaming_dagster.experiments.diagnosis import diagnose
    from daydreaming_dagster.llm.key_check import check_keys

    home = Path(os.environ.get("DAGSTER_HOME") or Path("dagster_home").absolute())
    missing = 0
    for finding in diagnose(open_workspace().paths, os.environ, home, None if offline else check_keys):
        mark = "[green]ok  [/]" if not finding.fix else "[red]no  [/]" if finding.needed else "[yellow]mind[/]"
        print_line(f"{mark} [bold]{finding.subject}[/]: {escape(finding.state)}")
        if finding.fix:
            print_line(f"       → {escape(finding.fix)}")
            missing += finding.needed
    raise typer.Exit(1 if missing else 0)
