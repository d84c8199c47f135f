"""All tables over one scope, made in memory: what a report shows and an export writes is never out of date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from daydreaming_dagster.analysis.budget import build_budget
from daydreaming_dagster.analysis.concept_effects import build_concept_effects
from daydreaming_dagster.analysis.diversity import build_diversity, build_rarefaction
from daydreaming_dagster.analysis.embedding import make_embedder
from daydreaming_dagster.analysis.parsed_scores import build_parsed_scores
from daydreaming_dagster.analysis.ratings import build_ratings_long
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.experiments.evaluation_records import read_cohort_evaluations
from daydreaming_dagster.experiments.rating_frames import (
    count_words,
    read_calls,
    read_combinations,
    read_essay_texts,
    read_models,
    read_rubrics,
)
from daydreaming_dagster.experiments.result_tables import RATING_TABLES, select_ideas
from daydreaming_dagster.experiments.scope import Scope
from daydreaming_dagster.experiments.spending import read_spending
from daydreaming_dagster.settings import Settings


@dataclass(frozen=True, slots=True)
class ScopeTables:
    """Everything that is known of a scope.

    Attributes:
        scores: a frame of `PARSED_SCORES_SCHEMA`.
        ratings: a frame of `RATINGS_LONG_SCHEMA`.
        calls: a frame of `CALLS_SCHEMA`, of all stages: the stored responses.
        texts: a frame of `ESSAY_TEXTS_SCHEMA`.
        combinations: a frame of `COMBOS_SCHEMA`.
        tables: the statistics by name, as in `6_summary`.
    """

    scores: pl.DataFrame
    ratings: pl.DataFrame
    calls: pl.DataFrame
    texts: pl.DataFrame
    combinations: pl.DataFrame
    tables: Mapping[str, pl.DataFrame]


def build_scope_ratings(workspace: Workspace, scope: Scope) -> pl.DataFrame:
    """The ratings of a scope: a frame of `RATINGS_LONG_SCHEMA`."""
    calls = read_calls(workspace, scope.of_stage(Stage.EVALUATION))
    return _build_ratings(workspace, _read_scores(workspace, scope), _read_texts(workspace, scope), calls)


def build_scope_tables(workspace: Workspace, scope: Scope) -> ScopeTables:
    """All tables of a scope; right for one without any generation, too."""
    scores, texts = _read_scores(workspace, scope), _read_texts(workspace, scope)
    calls = read_calls(workspace, scope.members)
    ratings = _build_ratings(workspace, scores, texts, calls)
    combinations = read_combinations(scope.combinations)
    tables = {name: build(ratings) for name, build in RATING_TABLES.items()}
    tables["concept_effects"] = build_concept_effects(ratings, combinations)
    embedder = make_embedder(Settings().embedder)
    tables["diversity"] = build_diversity(texts, embedder)
    tables["rarefaction"] = build_rarefaction(texts, embedder)
    ideas = select_ideas(tables["ranking"], workspace.catalogue)
    spending = read_spending(workspace, scope, calls)
    tables["budget"] = build_budget(spending, read_models(workspace.catalogue), ideas)
    return ScopeTables(scores, ratings, calls, texts, combinations, tables)


def _read_scores(workspace: Workspace, scope: Scope) -> pl.DataFrame:
    return build_parsed_scores(read_cohort_evaluations(workspace, scope.members))


def _read_texts(workspace: Workspace, scope: Scope) -> pl.DataFrame:
    return read_essay_texts(workspace.store, scope.members)


def _build_ratings(
    workspace: Workspace, scores: pl.DataFrame, texts: pl.DataFrame, calls: pl.DataFrame
) -> pl.DataFrame:
    models, rubrics = read_models(workspace.catalogue), read_rubrics(workspace.catalogue)
    return build_ratings_long(scores, count_words(texts), models, rubrics, calls)
