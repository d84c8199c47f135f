"""`daydreaming`: one command per file; nothing heavy is imported before a command needs it.

Exit codes: 0 all done, 1 an error that the message explains, 2 wrong usage, 3 finished but some generations failed or
wait, 130 interrupted.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from daydreaming_dagster import __version__
from daydreaming_dagster.cli import (
    asset_map,
    budget,
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

_LONGEST_SENTENCE = 200
_OBJECTS_PER_COLLECTION = 50_000


class _Commands(TyperGroup):
    """Says what Ctrl-C means for the work; Typer alone would end without a word."""

    def invoke(self, ctx: Any) -> Any:  # Typer keeps the class of contexts to itself
        # A large cohort is hundreds of thousands of objects that live as long as the command: to look for cycles among
        # them after each 700 takes a fifth of the time of `status`.
        gc.set_threshold(_OBJECTS_PER_COLLECTION)
        try:
            with one_way_to_end():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            print_interrupted()
            raise typer.Exit(EXIT_INTERRUPTED) from None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The commands under their headings; Typer does it with rich, which takes longer to import than to read."""
        known = [(name, self.commands[name]) for name in self.list_commands(ctx)]
        for heading in COMMANDS:
            rows = [
                (name, command.get_short_help_str(_LONGEST_SENTENCE))
                for name, command in known
                if getattr(command, "rich_help_panel", "") == heading
            ]
            with formatter.section(heading):
                formatter.write_dl(rows)


app = typer.Typer(
    name="daydreaming",
    cls=_Commands,
    help="Experiments on how language models have ideas: drafts, essays, evaluations, and what the scores are worth.",
    no_args_is_help=True,
    rich_markup_mode=None,  # rich takes longer to import than all of the help to print
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"daydreaming {__version__}")
        raise typer.Exit


@app.callback()
def options(
    data_root: Annotated[
        Path | None,
        typer.Option(help="Where inputs, generations and tables lie; else DAYDREAMING_DATA_ROOT, else `data`."),
    ] = None,
    debug: Annotated[bool, typer.Option(help="Show where in the code an error came from.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and end.")
    ] = False,
) -> None:
    """Options of every command."""
    from dotenv import load_dotenv

    load_dotenv(".env")
    if data_root is not None:
        os.environ["DAYDREAMING_DATA_ROOT"] = str(data_root)
    if debug:
        os.environ["DD_DEBUG"] = "1"


COMMANDS: Mapping[str, Mapping[Callable[..., None], str]] = {
    "Begin": {
        demo.demo: "daydreaming demo",
        init.init: "daydreaming init",
        doctor.doctor: "daydreaming doctor --offline",
        models.models: "daydreaming models",
        plan.plan: "daydreaming plan",
    },
    "Run": {
        run.run: "daydreaming run --budget-usd 5 --tag experiment_id=exp_pilot",
        materialize.materialize: 'daydreaming materialize --select "group:results_summary"',
        status.status: "daydreaming status",
        budget.budget: "daydreaming budget",
        stale.stale: "daydreaming stale",
    },
    "Look": {
        explore.explore: "daydreaming explore --open",
        show.show: "daydreaming show e_1aivmqdzo4byqck9 --parsed",
        why.why: "daydreaming why e_1aivmqdzo4byqck9",
    },
    "Results": {
        report.report: "daydreaming report",
        compare.compare: "daydreaming compare gpt-6-luna gemini-3.1-flash-lite --margin 0.5",
        export.export: "daydreaming export",
        score_tables.aggregate_scores: "daydreaming aggregate-scores --dry-run",
        score_tables.build_pivot_tables: "daydreaming build-pivot-tables",
        select_top.select_top: "daydreaming select-top --top-n 30 --dry-run",
    },
    "Care for the store": {
        check.check: "daydreaming check --ids",
        parse.parse: "daydreaming parse --parser in_last_line answer.txt",
        reparse.reparse: "daydreaming reparse --dry-run",
        sync.sync: "daydreaming sync",
        purge.purge: "daydreaming purge my-cohort --dry-run",
        asset_map.asset_map: "daydreaming asset-map --group evaluation",
    },
}
"""Every command with an example, under the heading of its purpose, in the order of use."""

for _heading, _commands in COMMANDS.items():
    for _command, _example in _commands.items():
        app.command(rich_help_panel=_heading, epilog=f"Example: {_example}")(_command)


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
