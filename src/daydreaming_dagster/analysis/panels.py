"""The ratings of one construct as arrays: what the statistics work on.

Essays, judges, templates and concept combinations become whole numbers in the order of their names, so that results
do not depend on the order of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from daydreaming_dagster.analysis.ratings import select_rated
from daydreaming_dagster.analysis.statistics.bootstrap import BoolArray, FloatArray, IntArray

Names = list[str]

PANEL_COLUMNS = (
    "gen_id",
    "essay_gen_id",
    "combo_id",
    "draft_template",
    "essay_template",
    "generator_model",
    "judge_model",
    "evaluation_template",
    "construct",
    "replicate",
    "value",
    "scale_min",
    "scale_max",
    "same_family",
    "essay_length_words",
    "cost_usd",
)
"""Columns of the ratings that the statistics read; the others stay behind, so that a million ratings fit."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Ratings of one construct, one entry per rating in each array.

    Attributes:
        construct: what is measured.
        frame: the rows behind the arrays, in their order, with `PANEL_COLUMNS`.
        value: points, more is better.
        essay, judge, template, combo: codes into the lists of names.
        evaluator: code of the pair of template and judge.
        replicate: as numbered in the table.
        essay_combo: combination of each essay, shape (essays,). Essays of unknown combination are one of their own.
        essays, judges, templates, combos: names by code; `evaluators` are pairs of template and judge codes.
    """

    construct: str
    frame: pl.DataFrame
    value: FloatArray
    essay: IntArray
    judge: IntArray
    template: IntArray
    combo: IntArray
    evaluator: IntArray
    replicate: IntArray
    essay_combo: IntArray
    essays: Names
    judges: Names
    templates: Names
    combos: Names
    evaluators: list[tuple[int, int]]

    @property
    def n_clusters(self) -> int:
        """Number of concept combinations."""
        return len(self.combos)

    def essay_words(self) -> FloatArray:
        """Length of the essay of each rating, words; nan where it is not known."""
        return self.frame["essay_length_words"].cast(pl.Float64).to_numpy()

    def clusters_of(self, chosen: BoolArray) -> int:
        """How many combinations the chosen ratings are from."""
        return int(np.unique(self.combo[chosen]).size)


def iterate_panels(ratings: pl.DataFrame) -> Iterator[Panel]:
    """A panel per construct that has ratings, in the order of their names.

    Args:
        ratings: a frame of `RATINGS_LONG_SCHEMA`.
    """
    rated = select_rated(ratings).select(PANEL_COLUMNS)
    for construct in sorted(rated["construct"].unique().to_list()):
        yield build_panel(rated.filter(pl.col("construct") == construct))


def build_panel(rated: pl.DataFrame) -> Panel:
    """The panel of ratings of one construct, at least one."""
    rated = rated.select(PANEL_COLUMNS).sort(
        "essay_gen_id", "evaluation_template", "judge_model", "replicate", "gen_id"
    )
    combo_name = pl.coalesce("combo_id", pl.format("essay {}", "essay_gen_id"))
    essay, essays = _codes(rated["essay_gen_id"])
    judge, judges = _codes(rated["judge_model"])
    template, templates = _codes(rated["evaluation_template"])
    combo, combos = _codes(rated.select(combo_name.alias("combo"))["combo"])
    pairs, evaluator = np.unique(template * len(judges) + judge, return_inverse=True)
    essay_combo = np.zeros(len(essays), dtype=np.int64)
    essay_combo[essay] = combo
    return Panel(
        construct=str(rated["construct"][0]),
        frame=rated,
        value=rated["value"].to_numpy().astype(np.float64),
        essay=essay,
        judge=judge,
        template=template,
        combo=essay_combo[essay],
        evaluator=evaluator.astype(np.int64),
        replicate=rated["replicate"].fill_null(1).to_numpy().astype(np.int64),
        essay_combo=essay_combo,
        essays=essays,
        judges=judges,
        templates=templates,
        combos=combos,
        evaluators=[(int(pair) // len(judges), int(pair) % len(judges)) for pair in pairs],
    )


def _codes(names: pl.Series) -> tuple[IntArray, Names]:
    distinct = names.unique().sort()
    lookup = pl.DataFrame({"name": distinct, "code": np.arange(distinct.len(), dtype=np.int64)})
    code = names.to_frame("name").join(lookup, on="name", how="left", maintain_order="left")["code"]
    return code.to_numpy().astype(np.int64), distinct.to_list()
