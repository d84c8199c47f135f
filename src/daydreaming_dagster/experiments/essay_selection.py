"""Writes `selected_essays.txt` from scores, and never over a list that somebody has edited."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from daydreaming_dagster.analysis.top_essays import select_top_essays
from daydreaming_dagster.domain.catalogue import Catalogue
from daydreaming_dagster.domain.errors import ConfigurationError, StoreError
from daydreaming_dagster.domain.membership import REBUILD_COMMAND
from daydreaming_dagster.domain.selection import Mode
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.experiments.result_tables import aggregated_scores_path
from daydreaming_dagster.store import files
from daydreaming_dagster.store.paths import DataPaths
from daydreaming_dagster.store.tables import read_table

PRIOR_ART = "prior_art"
"""The construct of rubrics that compare an idea with what is known."""

_AGGREGATE = "Make it: daydreaming aggregate-scores"


@dataclass(frozen=True, slots=True)
class EssaySelection:
    """Which essays would be, or were, selected.

    Attributes:
        path: the selection file.
        templates: evaluation templates whose scores decided.
        essays: a frame of `TOP_ESSAYS_SCHEMA`, best first.
        text: content of the file.
    """

    path: Path
    templates: Sequence[str]
    essays: pl.DataFrame
    text: str


def choose_top_essays(
    workspace: Workspace,
    top_n: int,
    *,
    scores_path: Path | None = None,
    templates: Sequence[str] = (),
    score_span: float | None = None,
    mode: Mode | None = None,
    fill_up: bool = False,
) -> EssaySelection:
    """The best essays by prior-art scores, as a selection file would hold them; writes nothing.

    Args:
        workspace: the data root.
        top_n: the most essays.
        scores_path: a table of scores; None takes the one of the whole store.
        templates: evaluation templates that count; none for all rubrics of prior art.
        score_span: how far below the best an essay may lie, points; None for as far as it takes.
        mode: directive to write into the file; None leaves the default (new drafts and essays).
        fill_up: also write the directive that only missing evaluations are made.

    Raises:
        ConfigurationError: nothing fits.
        StoreError: the table is missing or damaged.
    """
    if top_n < 1:
        raise ConfigurationError(f"--top-n {top_n} selects nothing.", fix="Write a whole number from 1 on.")
    scores = read_table(scores_path or aggregated_scores_path(workspace.paths), _AGGREGATE)
    wanted = list(templates) or find_prior_art_templates(workspace.catalogue)
    known = set(scores["evaluation_template"].drop_nulls())
    counted = [template for template in wanted if template in known]
    essays = select_top_essays(scores, counted, top_n, score_span) if counted else None
    if essays is None or essays.is_empty():
        raise ConfigurationError(
            f"No essay has a score by {', '.join(wanted) or 'a rubric of prior art'}; "
            f"the table knows {', '.join(sorted(known)) or 'no rubric at all'}.",
            fix="Name rubrics with --prior-art-templates, or make the scores: daydreaming run && "
            "daydreaming aggregate-scores",
        )
    text = _build_text(essays, counted, mode, fill_up=fill_up)
    return EssaySelection(workspace.paths.selected_essays, counted, essays, text)


def find_prior_art_templates(catalogue: Catalogue) -> list[str]:
    """Rubrics whose construct is prior art, active or not: what they scored once still counts."""
    return [
        template.template_id
        for template in catalogue.templates[Stage.EVALUATION].values()
        if template.construct == PRIOR_ART
    ]


def write_selection(paths: DataPaths, selection: EssaySelection, *, force: bool = False) -> None:
    """Writes the file.

    Raises:
        StoreError: a list that somebody has edited stands there, or drafts are selected; `force` overwrites the former.
    """
    if paths.selected_drafts.exists():
        raise StoreError(
            f"{paths.selected_drafts} is there; only one of the two selection files may exist.",
            fix=f"Move it away: mv {paths.selected_drafts} {paths.selected_drafts}.old",
        )
    before = files.find_text(selection.path)
    if before is not None and not force and before != selection.text and _digest(before) != _find_note(paths):
        raise StoreError(
            f"{selection.path} was edited by hand and is left as it is.",
            fix="Look at the new list with --dry-run; write over the old one with --force.",
            reason="edited_by_hand",
        )
    files.write_text(selection.path, selection.text)
    files.write_json(_note_path(paths), {"sha256": _digest(selection.text)})


def _build_text(essays: pl.DataFrame, templates: Sequence[str], mode: Mode | None, *, fill_up: bool) -> str:
    lines = [
        f"# The best {len(essays)} essays by {', '.join(templates)} (mean score, number of evaluations).",
        "# Delete or add lines as you like; docs/guides/selection_and_cube.md says what the modes do.",
        f"# Then: {REBUILD_COMMAND}",
    ]
    if mode is not None:
        lines.append(f"# mode: {mode}")
    if fill_up:
        lines.append("# fill-up")
    lines += [f"{row['parent_gen_id']}  # {row['score']:.2f}, n={row['n']}" for row in essays.iter_rows(named=True)]
    return "\n".join(lines) + "\n"


def _note_path(paths: DataPaths) -> Path:
    return paths.state / "written_selection.json"


def _find_note(paths: DataPaths) -> str | None:
    note = files.find_json(_note_path(paths))
    return None if note is None else str(note.get("sha256"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
