"""`daydreaming compare A B`: is A better than B, by how much, and how sure is that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from daydreaming_dagster.cli.exit_codes import EXIT_INCOMPLETE, EXIT_OK

if TYPE_CHECKING:
    from daydreaming_dagster.experiments.comparison import Comparison


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A cohort, experiment, template or model.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one of the same kind.")],
    by: Annotated[
        str, typer.Option(help="cohort, experiment, template, model, or a column such as essay_template.")
    ] = "",
    cohort: Annotated[str | None, typer.Option(help="Where templates and models are compared.")] = None,
    everywhere: Annotated[
        bool, typer.Option("--all", help="Compare templates and models over all cohorts, not within one.")
    ] = False,
    margin: Annotated[
        float | None, typer.Option(help="Points that count as no difference; asks whether the two are equivalent.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Compare two cohorts, experiments, templates or models, construct by construct.

    Differences are taken on the same essays where both sides rated them, else within concept combinations that both
    sides have. Exit code 3 when nothing of it can be compared.
    """
    from daydreaming_dagster.cli.opening import open_workspace
    from daydreaming_dagster.experiments.comparison import compare_named

    found = compare_named(open_workspace(cohort), a, b, by=by, margin=margin, everywhere=everywhere)
    if json:
        _print_json(found)
    else:
        _print_sentences(found)
    raise typer.Exit(EXIT_OK if found.is_answered else EXIT_INCOMPLETE)


def _print_sentences(found: Comparison) -> None:
    from rich.markup import escape

    from daydreaming_dagster.cli.console import print_line
    from daydreaming_dagster.experiments.comparison import describe_contrast

    for column in found.columns:
        print_line(f"[bold]{escape(found.a)} − {escape(found.b)}[/] as {column.replace('_', ' ')}")
        for row in found.table.iter_rows(named=True):
            if row["by"] != column:
                continue
            print_line(f"  {escape(describe_contrast(row, found.n_questions))}")
            if row["is_comparable"]:
                means = f"{row['mean_a']:.2f} from {row['n_a']} ratings against {row['mean_b']:.2f} from {row['n_b']}"
                means += ", means over combinations of their mean"
                note = f"; {row['note']}" if row["note"] else ""
                print_line(f"    [dim]{escape(means + note)}[/]")
    for note in found.notes:
        print_line(f"[yellow]{escape(note)}[/]")


def _print_json(found: Comparison) -> None:
    import orjson

    value = {"a": found.a, "b": found.b, "rows": found.table.to_dicts(), "notes": found.notes}
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
