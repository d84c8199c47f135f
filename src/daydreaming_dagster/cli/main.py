"""`daydreaming`: one command per file; nothing heavy is imported before a command needs it.

Exit codes: 0 all done, 1 an error that the message explains, 2 wrong usage, 3 finished but some generations failed or
wait, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from daydreaming_dagster.cli import (
    asset_map,
    check,
    compare,
    demo,
    doctor,
    explore,
    export,
    init,
    materialize,
    models,
    parse,
    plan,
    purge,
    reparse,
    report,
    run,
    score_tables,
    select_top,
    show,
    stale,
    status,
    sync,
    why,
)
from daydreaming_dagster.cli.console import print_error, print_interrupted
from daydreaming_dagster.cli.exit_codes import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_USAGE
from daydreaming_dagster.cli.interruption import one_way_to_end
from daydreaming_dagster.domain.errors import DayDreamingError, UsageError


class _Commands(TyperGroup):
    """Says what Ctrl-C means for the work; Typer alone would end without a word."""

    def invoke(self, ctx: Any) -> Any:  # Typer keeps the class of contexts to itself
        try:
            with one_way_to_end():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            print_interrupted()
            raise typer.Exit(EXIT_INTERRUPTED) from None


app = typer.Typer(
    name="daydreaming",
    cls=_Commands,
    help="Experiments on how language models have ideas: drafts, essays, evaluations, and what the scores are worth.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich takes longer to import than all of the help to print
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    data_root: Annotated[
        Path | None,
        typer.Option(help="Where inputs, generations and tables lie; else DAYDREAMING_DATA_ROOT, else `data`."),
    ] = None,
    debug: Annotated[bool, typer.Option(help="Show where in the code an error came from.")] = False,
) -> None:
    """Options of every command."""
    from dotenv import load_dotenv

    load_dotenv(".env")
    if data_root is not None:
        os.environ["DAYDREAMING_DATA_ROOT"] = str(data_root)
    if debug:
        os.environ["DD_DEBUG"] = "1"


for command in (
    run.run,
    materialize.materialize,
    plan.plan,
    status.status,
    why.why,
    stale.stale,
    show.show,
    explore.explore,
    report.report,
    compare.compare,
    export.export,
    select_top.select_top,
    score_tables.aggregate_scores,
    score_tables.build_pivot_tables,
    parse.parse,
    reparse.reparse,
    asset_map.asset_map,
    doctor.doctor,
    models.models,
    check.check,
    sync.sync,
    purge.purge,
    init.init,
    demo.demo,
):
    app.command()(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; every failure of ours is one sentence and a fix.

    Args:
        arguments: words of the command line; None takes those of the process.
    """
    try:
        app(args=None if arguments is None else list(arguments))
    except DayDreamingError as error:
        if os.environ.get("DD_DEBUG"):
            raise
        print_error(error)
        sys.exit(EXIT_USAGE if isinstance(error, UsageError) else EXIT_ERROR)
