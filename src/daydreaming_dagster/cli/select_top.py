"""`daydreaming select-top`: the best essays by prior art, as a list to start a curated cohort from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from daydreaming_dagster.domain.selection import Mode


def select_top(
    top_n: Annotated[int, typer.Option(help="The most essays to select.")] = 10,
    parsed_scores: Annotated[
        Path | None, typer.Option(help="A table of scores of your own; else the scores of the whole store.")
    ] = None,
    prior_art_templates: Annotated[
        str, typer.Option(help="Evaluation templates that count, with commas; else all whose construct is prior_art.")
    ] = "",
    score_span: Annotated[
        float | None, typer.Option(help="Leave out essays further below the best than this, points.")
    ] = None,
    mode: Annotated[
        str | None, typer.Option(help="Write this mode into the file: regenerate, reuse-drafts or reuse-essays.")
    ] = None,
    fill_up: Annotated[
        bool, typer.Option("--fill-up", help="With reuse-essays: only evaluations that are missing.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the list and write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a list that was edited by hand.")] = False,
) -> None:
    """Write the best essays by prior-art scores into 2_tasks/selected_essays.txt, for a curated cohort."""
    from rich.markup import escape

    from daydreaming_dagster.cli.console import print_line
    from daydreaming_dagster.cli.opening import open_workspace
    from daydreaming_dagster.domain.membership import REBUILD_COMMAND
    from daydreaming_dagster.experiments.essay_selection import choose_top_essays, write_selection
    from daydreaming_dagster.experiments.result_tables import write_aggregated_scores

    known_mode = _require_mode(mode, fill_up=fill_up)
    workspace = open_workspace()
    selection = choose_top_essays(
        workspace,
        top_n,
        scores_path=parsed_scores,
        templates=[name.strip() for name in prior_art_templates.split(",") if name.strip()],
        score_span=score_span,
        mode=known_mode,
        fill_up=fill_up,
    )
    if selection.is_table_old and not dry_run:
        made = write_aggregated_scores(workspace)
        print_line(f"{escape(str(made.path))} was not up to date and was made again.")
    if dry_run:
        print(selection.text, end="")
        print_line(f"[dim]Nothing was written to {escape(str(selection.path))}.[/]")
        return
    write_selection(workspace.paths, selection, force=force)
    print_line(
        f"{len(selection.essays)} essays by {', '.join(selection.templates)} written to {escape(str(selection.path))}."
    )
    for note in selection.notes:
        print_line(f"[dim]{escape(note)}[/]")
    print_line(f"Next: {REBUILD_COMMAND}")


def _require_mode(mode: str | None, *, fill_up: bool) -> Mode | None:
    from daydreaming_dagster.domain.errors import UsageError
    from daydreaming_dagster.domain.selection import Mode

    modes = [str(known) for known in Mode]
    if mode is not None and mode not in modes:
        raise UsageError(f"There is no mode '{mode}'.", fix=f"Use one of: {', '.join(modes)}.")
    if fill_up and mode != Mode.REUSE_ESSAYS:
        raise UsageError("--fill-up needs essays that stay.", fix="Add --mode reuse-essays.")
    return None if mode is None else Mode(mode)
