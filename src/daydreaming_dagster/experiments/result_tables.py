"""The result tables: which there are, what each is built from, and where it lies.

One function per family writes a table by its name, so that Dagster's assets, scripts and commands make the same files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from daydreaming_dagster.analysis.agreement import build_agreement
from daydreaming_dagster.analysis.budget import ACCEPTED_SCHEMA, build_budget, select_accepted
from daydreaming_dagster.analysis.concept_effects import build_concept_effects
from daydreaming_dagster.analysis.diversity import build_diversity, build_rarefaction
from daydreaming_dagster.analysis.embedding import make_embedder
from daydreaming_dagster.analysis.judge_card import build_judge_card
from daydreaming_dagster.analysis.parsed_scores import build_parsed_scores
from daydreaming_dagster.analysis.pivots import (
    build_evaluation_model_template_pivot,
    build_evaluation_scores_by_template_model,
    build_generation_scores_pivot,
    build_template_version_comparison_pivot,
)
from daydreaming_dagster.analysis.ranking import build_ranking
from daydreaming_dagster.analysis.rating_health import build_rating_health
from daydreaming_dagster.analysis.ratings import build_ratings_long
from daydreaming_dagster.analysis.score_spread import (
    build_comprehensive_variance_analysis,
    build_evaluator_agreement_analysis,
)
from daydreaming_dagster.analysis.summaries import (
    build_filtered_evaluation_results,
    build_final_results,
    build_perfect_score_paths,
)
from daydreaming_dagster.analysis.variance_components import build_d_study, build_variance_components
from daydreaming_dagster.domain.catalogue import Catalogue
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.experiments.evaluation_records import read_all_evaluations, read_cohort_evaluations
from daydreaming_dagster.experiments.human_scores import HUMAN_JUDGE_PREFIX, read_human_scores
from daydreaming_dagster.experiments.rating_frames import (
    count_words,
    read_calls,
    read_combinations,
    read_constructs,
    read_essay_texts,
    read_models,
    read_rubrics,
)
from daydreaming_dagster.experiments.scope import scope_of_cohort
from daydreaming_dagster.experiments.scores_on_disk import read_scores
from daydreaming_dagster.experiments.spending import read_spending
from daydreaming_dagster.settings import Settings
from daydreaming_dagster.store.paths import DataPaths
from daydreaming_dagster.store.tables import read_table, write_table

MAKE_RESULTS = (
    "Make it: daydreaming materialize --select "
    '"group:results_processing,group:results_summary,group:results_analysis,group:cross_experiment"'
)
MAKE_SCORES = "Make it: daydreaming aggregate-scores"
ACCEPTED_AT = 7 / 9
"""An idea counts as accepted from this share of its rubric's scale on: 7 of 9."""

Constructs = Mapping[str, str]

SUMMARY_TABLES: Mapping[str, Callable[[pl.DataFrame, Constructs], pl.DataFrame]] = {
    "generation_scores_pivot": lambda scores, _: build_generation_scores_pivot(scores),
    "final_results": build_final_results,
    "perfect_score_paths": lambda scores, _: build_perfect_score_paths(scores),
    "evaluation_model_template_pivot": lambda scores, _: build_evaluation_model_template_pivot(scores),
    "evaluator_agreement_analysis": build_evaluator_agreement_analysis,
    "comprehensive_variance_analysis": build_comprehensive_variance_analysis,
}
"""Tables over the cohort's scores, in `6_summary`."""

RATING_TABLES: Mapping[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "rating_health": build_rating_health,
    "agreement": build_agreement,
    "variance_components": build_variance_components,
    "d_study": build_d_study,
    "ranking": build_ranking,
    "judge_card": build_judge_card,
}
"""Tables over the cohort's ratings, in `6_summary`."""

CROSS_TABLES: Mapping[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "filtered_evaluation_results": build_filtered_evaluation_results,
    "template_version_comparison_pivot": build_template_version_comparison_pivot,
    "evaluation_scores_by_template_model": build_evaluation_scores_by_template_model,
}
"""Tables over the scores of the whole store, in `7_cross_experiment`."""


@dataclass(frozen=True, slots=True)
class WrittenTable:
    """A table as it was written; Parquet lies beside the CSV file."""

    path: Path
    table: pl.DataFrame


def parsed_scores_path(paths: DataPaths) -> Path:
    """Scores of the current cohort."""
    return paths.parsing / "parsed_scores.csv"


def aggregated_scores_path(paths: DataPaths) -> Path:
    """Scores of the whole store."""
    return paths.cross_experiment / "aggregated_scores.csv"


def cross_table_path(paths: DataPaths, name: str) -> Path:
    """A table over the whole store."""
    return paths.cross_experiment / f"{name}.csv"


def summary_path(paths: DataPaths, name: str) -> Path:
    """A summary or statistics table of the current cohort."""
    return paths.summary / f"{name}.csv"


def write_parsed_scores(workspace: Workspace) -> WrittenTable:
    """One row per evaluation of the current cohort."""
    cohort = workspace.require_current_cohort()
    table = build_parsed_scores(read_cohort_evaluations(workspace, cohort.members))
    return _write(parsed_scores_path(workspace.paths), table)


def build_aggregated_scores(workspace: Workspace) -> pl.DataFrame:
    """One row per evaluation of the whole store, whatever its cohort."""
    return build_parsed_scores(read_all_evaluations(workspace))


def write_aggregated_scores(workspace: Workspace, path: Path | None = None) -> WrittenTable:
    """One row per evaluation of the whole store, whatever its cohort."""
    return _write(path or aggregated_scores_path(workspace.paths), build_aggregated_scores(workspace))


def write_summary_table(workspace: Workspace, name: str) -> WrittenTable:
    """A table of `SUMMARY_TABLES`."""
    scores = read_scores(parsed_scores_path(workspace.paths), MAKE_RESULTS)
    table = SUMMARY_TABLES[name](scores, read_constructs(workspace.catalogue))
    return _write(summary_path(workspace.paths, name), table)


def build_cross_table(workspace: Workspace, name: str, scores_path: Path | None = None) -> pl.DataFrame:
    """A table of `CROSS_TABLES`."""
    scores = read_scores(scores_path or aggregated_scores_path(workspace.paths), MAKE_SCORES)
    return CROSS_TABLES[name](scores)


def write_cross_table(workspace: Workspace, name: str, scores_path: Path | None = None) -> WrittenTable:
    """A table of `CROSS_TABLES`."""
    return _write(cross_table_path(workspace.paths, name), build_cross_table(workspace, name, scores_path))


def write_ratings_long(workspace: Workspace) -> WrittenTable:
    """One row per rating of the current cohort, by models and people, with everything known about it."""
    cohort = workspace.require_current_cohort()
    evaluations = [member for member in cohort.members if member.stage is Stage.EVALUATION]
    people = read_human_scores(workspace.paths, cohort, workspace.catalogue)
    models = read_scores(parsed_scores_path(workspace.paths), MAKE_RESULTS)
    table = build_ratings_long(
        pl.concat([models, people]),
        count_words(read_essay_texts(workspace.store, cohort.members)),
        read_models(workspace.catalogue),
        read_rubrics(workspace.catalogue),
        read_calls(workspace, evaluations),
    )
    return _write(summary_path(workspace.paths, "ratings_long"), table)


def write_rating_table(workspace: Workspace, name: str) -> WrittenTable:
    """A table of `RATING_TABLES`."""
    ratings = _read_ratings(workspace, with_people=name == "rating_health")
    return _write(summary_path(workspace.paths, name), RATING_TABLES[name](ratings))


def write_concept_effects(workspace: Workspace) -> WrittenTable:
    """Main and pair effects of the concepts on each construct."""
    combinations = read_combinations(workspace.require_current_cohort().combinations)
    table = build_concept_effects(_read_ratings(workspace), combinations)
    return _write(summary_path(workspace.paths, "concept_effects"), table)


def write_diversity(workspace: Workspace) -> WrittenTable:
    """How different the essays of a template or model are from each other."""
    texts = read_essay_texts(workspace.store, workspace.require_current_cohort().members)
    return _write(
        summary_path(workspace.paths, "diversity"), build_diversity(texts, make_embedder(Settings().embedder))
    )


def write_rarefaction(workspace: Workspace) -> WrittenTable:
    """How many different essays a sample of each size holds."""
    texts = read_essay_texts(workspace.store, workspace.require_current_cohort().members)
    return _write(
        summary_path(workspace.paths, "rarefaction"), build_rarefaction(texts, make_embedder(Settings().embedder))
    )


def write_budget(workspace: Workspace) -> WrittenTable:
    """Calls, tokens, cost and time by stage, model and template, and what an accepted idea cost."""
    ranking = read_table(summary_path(workspace.paths, "ranking"), MAKE_RESULTS)
    scope = scope_of_cohort(workspace.require_current_cohort())
    table = build_budget(
        read_spending(workspace, scope, read_calls(workspace, scope.members)),
        read_models(workspace.catalogue),
        select_ideas(ranking, workspace.catalogue),
    )
    return _write(summary_path(workspace.paths, "budget"), table)


def select_ideas(ranking: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """Essays that reach `ACCEPTED_AT` on the first active rubric, which is what a run is about."""
    rubrics = catalogue.active_templates(Stage.EVALUATION)
    if not rubrics:
        return pl.DataFrame(schema=ACCEPTED_SCHEMA)
    first = rubrics[0]
    at_least = first.scale_min + ACCEPTED_AT * (first.scale_max - first.scale_min)
    return select_accepted(ranking, first.construct or first.template_id, at_least)


def _read_ratings(workspace: Workspace, *, with_people: bool = False) -> pl.DataFrame:
    """The ratings that tables are made from.

    People rate few essays each, and which ones is chance: as judges among judges they would move the estimates of
    those essays alone. So they count beside the models, on the explorer's page of judges, and here only when asked to.
    """
    ratings = read_table(summary_path(workspace.paths, "ratings_long"), MAKE_RESULTS)
    if with_people or Settings().people_judge:
        return ratings
    return ratings.filter(~pl.col("judge_model").cast(pl.String).fill_null("").str.starts_with(HUMAN_JUDGE_PREFIX))


def _write(path: Path, table: pl.DataFrame) -> WrittenTable:
    write_table(path, table)
    return WrittenTable(path, table)
