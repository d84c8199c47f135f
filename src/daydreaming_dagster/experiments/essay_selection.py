"""Writes `selected_essays.txt` from scores, and never over a list that somebody has edited."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from daydreaming_dagster.analysis.top_essays import select_top_essays
from daydreaming_dagster.domain.catalogue import Catalogue, Template
from daydreaming_dagster.domain.errors import ConfigurationError, StoreError
from daydreaming_dagster.domain.membership import REBUILD_COMMAND
from daydreaming_dagster.domain.selection import Mode
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.experiments.result_tables import aggregated_scores_path, build_aggregated_scores
from daydreaming_dagster.experiments.scores_on_disk import read_scores
from daydreaming_dagster.store import files
from daydreaming_dagster.store.paths import DataPaths
from daydreaming_dagster.utils.wording import show_count

PRIOR_ART = "prior_art"
"""The construct of rubrics that compare an idea with what is known."""

_SAME_SCORE = 1e-9
_AGGREGATE = "Make it: daydreaming aggregate-scores"


@dataclass(frozen=True, slots=True)
class EssaySelection:
    """Which essays would be, or were, selected.

    Attributes:
        path: the selection file.
        templates: evaluation templates whose scores decided.
        essays: a frame of `TOP_ESSAYS_SCHEMA`, best first.
        text: content of the file.
        notes: what to know of the choice.
        is_table_old: the table of the whole store's scores is missing or says something else than the store, which
            was read instead.
    """

    path: Path
    templates: Sequence[str]
    essays: pl.DataFrame
    text: str
    notes: Sequence[str]
    is_table_old: bool


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
        scores_path: a table of scores of somebody's own; None, or the path of the whole store's table, reads the store.
        templates: evaluation templates that count; none for all rubrics of prior art.
        score_span: how far below the best an essay may lie, points; None for as far as it takes.
        mode: directive to write into the file; None leaves the default (new drafts and essays).
        fill_up: also write the directive that only missing evaluations are made.

    Raises:
        ConfigurationError: nothing fits, or the rubrics have different scales.
        StoreError: the named table is missing or damaged.
    """
    if top_n < 1:
        raise ConfigurationError(f"--top-n {top_n} selects nothing.", fix="Write a whole number from 1 on.")
    stored = build_aggregated_scores(workspace)
    own = aggregated_scores_path(workspace.paths)
    named = None if scores_path is None or scores_path.resolve() == own.resolve() else scores_path
    scores = stored if named is None else read_scores(named, _AGGREGATE)
    wanted = list(templates) or find_prior_art_templates(workspace.catalogue)
    counted, ranked = _rank_by_known(workspace.catalogue, scores, wanted, score_span)
    notes = [*_note_ties(ranked, top_n), *_note_mode(mode), *_note_newer(stored, scores, named)]
    essays = ranked.head(top_n)
    text = _build_text(essays, counted, notes, mode, fill_up=fill_up)
    is_old = named is None and not (own.exists() and _count_newer(stored, read_scores(own, _AGGREGATE)) == 0)
    return EssaySelection(workspace.paths.selected_essays, counted, essays, text, notes, is_old)


def _rank_by_known(
    catalogue: Catalogue, scores: pl.DataFrame, wanted: Sequence[str], score_span: float | None
) -> tuple[list[str], pl.DataFrame]:
    """Those of the templates that gave any score, and all essays by these, best first."""
    known = set(scores["evaluation_template"].drop_nulls())
    counted = [template for template in wanted if template in known]
    ranked = _rank(catalogue, scores, counted, score_span) if counted else None
    if ranked is None or ranked.is_empty():
        raise ConfigurationError(
            f"No essay has a score by {', '.join(wanted) or 'a rubric of prior art'}; "
            f"the scores are by {', '.join(sorted(known)) or 'no rubric at all'}.",
            fix="Name rubrics with --prior-art-templates, or make the scores: daydreaming run",
        )
    return counted, ranked


def _rank(
    catalogue: Catalogue, scores: pl.DataFrame, templates: Sequence[str], score_span: float | None
) -> pl.DataFrame:
    """All essays with a score by the templates, best first, whichever end of the scale is the good one."""
    rubrics = catalogue.templates[Stage.EVALUATION]
    scores = _fill_in_scales(scores, rubrics)
    scales = scores.filter(pl.col("evaluation_template").is_in(templates)).select("scale_min", "scale_max").unique()
    if scales.drop_nulls().height > 1:
        raise ConfigurationError(
            f"{', '.join(templates)} have different scales, and their scores cannot be averaged.",
            fix="Name rubrics of one scale: daydreaming select-top --prior-art-templates NAME",
        )
    lower = [name for name in templates if name in rubrics and rubrics[name].direction == "lower_is_better"]
    turned = pl.col("scale_min") + pl.col("scale_max") - pl.col("score")
    better = pl.when(pl.col("evaluation_template").is_in(lower)).then(turned).otherwise("score")
    return select_top_essays(scores.with_columns(score=better), templates, scores.height, score_span)


def _fill_in_scales(scores: pl.DataFrame, rubrics: Mapping[str, Template]) -> pl.DataFrame:
    """The scores with their rubrics' scales where a table of somebody's own does not say them."""
    known = {
        end: {name: getattr(rubric, end) for name, rubric in rubrics.items()} for end in ("scale_min", "scale_max")
    }
    template = pl.col("evaluation_template")
    return scores.with_columns(
        pl.col(end).fill_null(template.replace_strict(of_rubric, default=None, return_dtype=pl.Float64))
        for end, of_rubric in known.items()
    )


def _note_ties(ranked: pl.DataFrame, top_n: int) -> Iterator[str]:
    if ranked.height <= top_n:
        return
    last = ranked["score"][top_n - 1]
    left_out = ranked.tail(-top_n).filter((pl.col("score") - last).abs() < _SAME_SCORE).height
    if left_out:
        yield (
            f"{show_count(left_out, 'essay')} with the same score as the last one {'is' if left_out == 1 else 'are'} "
            "left out: more evaluations go first, then the id decides."
        )


def _note_mode(mode: Mode | None) -> Iterator[str]:
    if mode is None:
        yield "No mode is written: drafts and essays are made anew; --mode reuse-essays judges these again."


def _note_newer(stored: pl.DataFrame, scores: pl.DataFrame, named: Path | None) -> Iterator[str]:
    """That the store says something else than a table of somebody's own."""
    newer = 0 if named is None else _count_newer(stored, scores)
    if newer:
        yield (
            f"{show_count(newer, 'evaluation')} of the store {'is' if newer == 1 else 'are'} not so in {named}, which "
            "may be older; without --parsed-scores the store itself is read."
        )


def _count_newer(stored: pl.DataFrame, table: pl.DataFrame) -> int:
    """How many evaluations of the store the table does not have, or with another score."""
    keys = ["gen_id", "score"]
    return stored.select(keys).join(table.select(keys), on=keys, how="anti", nulls_equal=True).height


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
            fix=f"Move it away: {shlex.join(['mv', str(paths.selected_drafts), f'{paths.selected_drafts}.old'])}",
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


def _build_text(
    essays: pl.DataFrame, templates: Sequence[str], notes: Sequence[str], mode: Mode | None, *, fill_up: bool
) -> str:
    lines = [
        f"# The best {len(essays)} essays by {', '.join(templates)} (mean of judges' means, number of evaluations).",
        "# Delete or add lines as you like; docs/guides/selection_and_cube.md says what the modes do.",
        *(f"# {note}" for note in notes),
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
