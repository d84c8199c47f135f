"""Is A better than B, for anything that can be named: cohorts, experiments, templates, models.

What a name stands for is found out here, and the ratings that tell; how they are compared is `analysis/comparison.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from daydreaming_dagster.analysis.comparison import COMPARABLE_COLUMNS, COMPARISON_SCHEMA, compare_levels
from daydreaming_dagster.analysis.ratings import select_rated
from daydreaming_dagster.analysis.schema import Schema
from daydreaming_dagster.analysis.statistics.multiplicity import adjust_holm
from daydreaming_dagster.domain.errors import ConfigurationError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.experiments.report_wording import join_words, show_effect, show_number, show_p
from daydreaming_dagster.experiments.scope import Scope, list_experiments, read_scope, scope_of_cohort, scope_of_store
from daydreaming_dagster.experiments.scope_tables import build_scope_ratings
from daydreaming_dagster.store.cohort_files import iter_cohort_ids, read_cohort
from daydreaming_dagster.utils.wording import show_count, suggest

KINDS: Mapping[str, tuple[str, ...]] = {
    "cohort": ("cohort_id",),
    "experiment": ("experiment_id",),
    "template": ("draft_template", "essay_template", "evaluation_template"),
    "model": ("generator_model", "judge_model"),
}
"""What can be compared, and the columns of the ratings in which it stands."""

_ACROSS = ("cohort", "experiment")
"""Kinds that name ratings of their own, whatever the current cohort is."""

_JUDGING = ("evaluation_template", "judge_model", "judge_family")

CONTRASTS_SCHEMA: Schema = {"by": pl.String(), **COMPARISON_SCHEMA}
"""As `COMPARISON_SCHEMA`; `by` is the column whose values are compared, `p_holm` adjusted over all rows."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The answer to one question.

    Attributes:
        columns: of the ratings, in which A and B were found.
        table: a frame of `CONTRASTS_SCHEMA`.
        notes: sentences about what was compared.
    """

    a: str
    b: str
    columns: tuple[str, ...]
    table: pl.DataFrame
    notes: list[str]

    @property
    def is_answered(self) -> bool:
        """Whether there is any number at all."""
        return bool(self.table["is_comparable"].any())

    @property
    def n_questions(self) -> int:
        """How many differences were tested, which `p_holm` allows for."""
        return self.table["p"].count()


def compare_named(
    workspace: Workspace, a: str, b: str, by: str = "", margin: float | None = None, *, everywhere: bool = False
) -> Comparison:
    """Compares two cohorts, experiments, templates or models.

    Args:
        workspace: templates and models are compared within its cohort, or within its whole store.
        a, b: what to compare; the effect is A less B.
        by: a key of `KINDS` or a column of the ratings; blank to find out.
        margin: how many points count as no difference; None asks no such question.
        everywhere: take the ratings of all cohorts, so that judges of different times can be compared.

    Raises:
        ConfigurationError: a name is unknown, stands for several kinds, or A and B are of different kinds.
    """
    if a == b:
        raise ConfigurationError(
            f"'{a}' is on both sides.", fix="Name two different ones: daydreaming compare A B", reason="same_sides"
        )
    if margin is not None and not (math.isfinite(margin) and margin > 0):
        raise ConfigurationError(
            f"A margin of {margin} points is no margin.", fix="Give a number above zero, such as --margin 0.5."
        )
    whole = scope_of_store(workspace) if everywhere else None
    kind, columns = _find_kind(workspace, a, b, by, whole)
    ratings = _read_ratings(workspace, kind, a, b, whole)
    used = _choose_columns(ratings, columns, a, b)
    table = build_contrasts(ratings, {column: [(a, b)] for column in used}, margin)
    notes = [*_write_notes(ratings, used, kind, a, b), *_compare_without_own_family(ratings, table, margin)]
    found = Comparison(a, b, used, table, notes)
    is_within = not everywhere and kind not in _ACROSS
    if is_within and not found.is_answered and not _measure_different_things(ratings, used, a, b):
        found.notes.append(f"Within this cohort. Over all cohorts: daydreaming compare {a} {b} --all")
    return found


def build_contrasts(
    ratings: pl.DataFrame,
    questions: Mapping[str, Sequence[tuple[str, str]] | None],
    margin: float | None = None,
) -> pl.DataFrame:
    """Comparisons along several columns, asked together; see `CONTRASTS_SCHEMA`.

    Args:
        ratings: a frame of `RATINGS_LONG_SCHEMA`.
        questions: by column the pairs of values; None compares all with all.
        margin: how many points count as no difference.
    """
    tables = [
        compare_levels(ratings, column, pairs, margin=margin).select(pl.lit(column).alias("by"), pl.all())
        for column, pairs in questions.items()
    ]
    table = pl.concat(tables) if tables else pl.DataFrame(schema=CONTRASTS_SCHEMA)
    p = table["p"].fill_null(math.nan).to_numpy()
    adjusted = [None if math.isnan(value) else float(value) for value in adjust_holm(np.asarray(p, dtype=np.float64))]
    return table.with_columns(p_holm=pl.Series(adjusted, dtype=pl.Float64))


def describe_contrast(row: Mapping[str, Any], n_questions: int) -> str:
    """One row of the contrasts as a sentence: the verdict, then the figures that it rests on.

    Args:
        row: of a frame of `CONTRASTS_SCHEMA`.
        n_questions: how many were asked together, it included.
    """
    a, b, construct = row["a"], row["b"], row["construct"]
    if not row["is_comparable"]:
        return f"{construct or 'all constructs'}: {row['note']}."
    units = f"{row['design'].replace('_', ' ')} over {show_count(row['n_clusters'], 'combination')}"
    figures = f"p {show_p(row['p'])}, after Holm {show_p(row['p_holm'])}, {units}"
    if row["p_holm"] is not None and row["p_holm"] < 0.05:
        more, less = (a, b) if row["effect"] > 0 else (b, a)
        size = show_effect(row, 1 if row["effect"] > 0 else -1)
        return f"{construct}: {more} {_better(row)} than {less} by {size} points ({figures})."
    difference = f"{a} less {b}: {show_effect(row)} points"
    return f"{construct}: {_judge_undecided(row, a, b)} ({difference}, {figures}){_explain_holm(row, n_questions)}."


def _better(row: Mapping[str, Any]) -> str:
    # A judge that gives more is lenient, not good; nor are essays better because they were judged again.
    return "gives higher scores" if row["by"] in _JUDGING or row["design"] == "paired_by_essay" else "is better"


def _judge_undecided(row: Mapping[str, Any], a: str, b: str) -> str:
    if row["is_equivalent"]:
        return f"{a} and {b} differ by less than {show_number(row['margin'], 2)} points"
    return f"which {_better(row)} cannot be told"


def _explain_holm(row: Mapping[str, Any], n_questions: int) -> str:
    """Why an interval without zero in it decides nothing, where that is so."""
    apart = row["low"] is not None and row["high"] is not None and row["low"] * row["high"] > 0
    if row["is_equivalent"] or not (apart or (row["p"] is not None and row["p"] < 0.05)):
        return ""
    if n_questions < 2:
        return "; the interval alone says otherwise, the test has the last word"
    return f"; interval and p are for this question alone: of {n_questions} asked together one may look so by chance"


def _find_kind(
    workspace: Workspace, a: str, b: str, by: str, whole: Scope | None = None
) -> tuple[str, tuple[str, ...]]:
    if by in COMPARABLE_COLUMNS:
        return next((kind for kind, columns in KINDS.items() if by in columns), "model"), (by,)
    if by and by not in KINDS:
        allowed = ", ".join([*KINDS, *COMPARABLE_COLUMNS])
        raise ConfigurationError(
            f"There is nothing to compare by '{by}'; allowed: {allowed}.",
            fix=f"Choose one of them: daydreaming compare {a} {b} --by template",
        )
    known = _list_known(workspace, [by] if by else list(KINDS), whole)
    kinds = [{kind for kind, names in known.items() if name in names} for name in (a, b)]
    for name, found in zip((a, b), kinds, strict=True):
        if not found:
            raise _unknown(name, known)
    shared = sorted(kinds[0] & kinds[1])
    if len(shared) == 1:
        return shared[0], KINDS[shared[0]]
    if not shared:
        words = [" and ".join(sorted(found)) for found in kinds]
        raise ConfigurationError(
            f"'{a}' is a {words[0]}, '{b}' is a {words[1]}: they cannot be compared.",
            fix="Name two of one kind: daydreaming compare A B",
            reason="kinds_differ",
        )
    raise ConfigurationError(
        f"'{a}' and '{b}' are names of {' and of '.join(f'{kind}s' for kind in shared)}.",
        fix=f"Say which you mean: daydreaming compare {a} {b} --by {shared[0]}",
        reason="ambiguous",
    )


def _list_known(workspace: Workspace, kinds: Iterable[str], whole: Scope | None) -> dict[str, set[str]]:
    catalogue = workspace.catalogue
    stored = whole.members if whole is not None else ()
    known: dict[str, set[str]] = {}
    for kind in kinds:
        if kind == "cohort":
            known[kind] = set(iter_cohort_ids(workspace.paths))
        elif kind == "experiment":
            known[kind] = set(list_experiments(workspace.store))
        elif kind == "template":
            known[kind] = {template_id for stage in Stage for template_id in catalogue.templates[stage]}
            known[kind] |= {member.template_id for member in stored}
        else:
            known[kind] = {*catalogue.models, *(member.llm_model_id for member in stored)}
    return known


def _unknown(name: str, known: Mapping[str, set[str]]) -> ConfigurationError:
    hint = suggest(name, set().union(*known.values()), most=3) or "."
    return ConfigurationError(
        f"There is no {join_words(list(known), 'or')} called '{name}'{hint}",
        fix="See what there is: templates and models in data/1_raw, cohorts in data/cohorts, and daydreaming status",
        reason="unknown_name",
        culprits={"name": name},
    )


def _read_ratings(workspace: Workspace, kind: str, a: str, b: str, whole: Scope | None) -> pl.DataFrame:
    if kind == "cohort":
        scopes = [scope_of_cohort(read_cohort(workspace.paths, cohort_id)) for cohort_id in (a, b)]
    elif kind == "experiment":
        scopes = [read_scope(workspace, name) for name in (a, b)]
    else:
        scopes = [whole or read_scope(workspace)]
    return pl.concat([build_scope_ratings(workspace, scope) for scope in scopes])


def _choose_columns(ratings: pl.DataFrame, columns: tuple[str, ...], a: str, b: str) -> tuple[str, ...]:
    """Columns that have both; where none has, those that have one; where none has any, the first."""
    held = {column: {a, b} & set(ratings[column].drop_nulls().unique().to_list()) for column in columns}
    most = max(len(found) for found in held.values())
    return tuple(column for column, found in held.items() if len(found) == most) if most else columns[:1]


def _measure_different_things(ratings: pl.DataFrame, columns: Sequence[str], a: str, b: str) -> bool:
    """Whether both were rated or did rate, but never about the same: then no other cohort can help."""
    rated = select_rated(ratings)
    measured = [
        set(rated.filter(pl.any_horizontal(pl.col(column) == name for column in columns))["construct"].to_list())
        for name in (a, b)
    ]
    return all(measured) and measured[0].isdisjoint(measured[1])


def _compare_without_own_family(ratings: pl.DataFrame, table: pl.DataFrame, margin: float | None) -> list[str]:
    """What comparisons of ways of writing come to without judges of the writer's own family; nothing without such."""
    written = table.filter("is_comparable", pl.col("by").is_in(_JUDGING).not_())
    others = ratings.filter(pl.col("same_family").fill_null(False).not_())
    if others.height == ratings.height or written.is_empty():
        return []
    a, b = written.select("a", "b").row(0)
    columns = written["by"].unique(maintain_order=True).to_list()
    again = build_contrasts(others, {column: [(a, b)] for column in columns}, margin).filter("is_comparable")
    if again.is_empty():
        sides = f"{a} and {b} cannot be compared"
        return [f"Without judges of the writer's own family {sides}: what others would say is unknown."]
    effects = {(row["by"], row["construct"]): show_effect(row) for row in again.iter_rows(named=True)}
    told = []
    for column in columns:
        constructs = written.filter(pl.col("by") == column)["construct"].to_list()
        words = join_words([f"{name} {effects.get((column, name), 'not comparable')}" for name in constructs])
        told.append(f"as {column.replace('_', ' ')}: {words}" if len(columns) > 1 else words)
    return [f"Without judges of the writer's own family, {a} less {b}: {'; '.join(told)}."]


def _write_notes(ratings: pl.DataFrame, columns: tuple[str, ...], kind: str, a: str, b: str) -> list[str]:
    notes = []
    if len(columns) > 1:
        words = " and ".join(column.replace("_", " ") for column in columns)
        notes.append(f"Both stand for more than one thing ({words}); each is compared, and p values count all of it.")
    if kind in _ACROSS:
        column = KINDS[kind][0]
        ids = [set(ratings.filter(pl.col(column) == name)["gen_id"].to_list()) for name in (a, b)]
        if shared := len(ids[0] & ids[1]):
            notes.append(f"{show_count(shared, 'rating')} of both sides left out, which cannot differ.")
    return notes
