"""A small store worked out by hand: every column of every table of scores, as it stands in the CSV files.

Two combinations, two writers, two judges, two rubrics on a scale from 0 to 9, each evaluation asked for twice. The
first replicates scored as below; the second scored the same, except that kim gave alpha/ann 7 for novelty, and lee
would not say how coherent beta/bob is.

    essay       kim novelty   lee novelty   kim coherence   lee coherence
    alpha/ann        9             7              6               6
    alpha/bob        5             3              4               8
    beta/ann         8             8              9               7
    beta/bob         2             0              3               5

So novelty has 16 scores: 9 7 7 7, 5 5 3 3, 8 8 8 8, 2 2 0 0; their sum is 82, their squares add up to 560.
Coherence has 15: 6 6 6 6, 4 4 8 8, 9 9 7 7, 3 3 5; sum 91, squares 607.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.experiments.rated_root import RatedRoot, score

from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.experiments.result_tables import (
    CROSS_TABLES,
    SUMMARY_TABLES,
    write_aggregated_scores,
    write_cross_table,
    write_parsed_scores,
    write_summary_table,
)

Row = dict[str, Any]

SCORES = {
    ("alpha", "ann"): {"kim_novelty": 9, "lee_novelty": 7, "kim_coherence": 6, "lee_coherence": 6},
    ("alpha", "bob"): {"kim_novelty": 5, "lee_novelty": 3, "kim_coherence": 4, "lee_coherence": 8},
    ("beta", "ann"): {"kim_novelty": 8, "lee_novelty": 8, "kim_coherence": 9, "lee_coherence": 7},
    ("beta", "bob"): {"kim_novelty": 2, "lee_novelty": 0, "kim_coherence": 3, "lee_coherence": 5},
}
SECOND = {("alpha", "ann", "kim_novelty"): score(7), ("beta", "bob", "lee_coherence"): "I would rather not say."}
COMBINATIONS = """combo_id,version,concept_id,description_level,k_max,created_at
alpha,v1,mind-wandering,paragraph,2,
alpha,v1,flywheel,paragraph,2,
beta,v1,flywheel,paragraph,2,
beta,v1,economic-moat,paragraph,2,
"""


class Worked:
    """The store, the tables as their files have them, and ids by what they stand for."""

    def __init__(self, folder: Path) -> None:
        self.root = root = RatedRoot(folder)
        root.write(root.paths.selected_combos_csv, COMBINATIONS)
        root.write_models(writers=["ann", "bob"], judges=["kim", "lee"])
        root.write_replicates(evaluation=2)
        members = root.build("mine").members
        self.essays = {(m.combo_id, m.llm_model_id): m for m in members if m.stage is Stage.ESSAY}
        self.label = {essay.gen_id: label for label, essay in self.essays.items()}
        self.evaluations = {
            (*self.label[m.parent_gen_id], f"{m.llm_model_id}_{m.template_id}", m.replicate): m
            for m in members
            if m.stage is Stage.EVALUATION
        }
        root.run(self.answer, cohort="mine", experiment="night")
        workspace = root.workspace()
        written = {
            "parsed_scores": write_parsed_scores(workspace),
            "aggregated_scores": write_aggregated_scores(workspace),
        }
        written |= {name: write_summary_table(workspace, name) for name in SUMMARY_TABLES}
        written |= {name: write_cross_table(workspace, name) for name in CROSS_TABLES}
        self.tables = {name: pl.read_csv(table.path, infer_schema_length=None) for name, table in written.items()}

    def answer(self, member: Member) -> str:
        combo_id, writer = self.label[member.parent_gen_id]
        evaluator = f"{member.llm_model_id}_{member.template_id}"
        if member.replicate == 2 and (combo_id, writer, evaluator) in SECOND:
            return SECOND[combo_id, writer, evaluator]
        return score(SCORES[combo_id, writer][evaluator])

    def path(self, stage: str, gen_id: str) -> str:
        return str(self.root.paths.root / "gens" / stage / gen_id / "parsed.txt")

    def facts(self, combo_id: str, writer: str) -> Row:
        return {
            "parent_gen_id": self.essays[combo_id, writer].gen_id,
            "combo_id": combo_id,
            "draft_template": "notes",
            "generation_template": "narrative",
            "generation_model": writer,
        }

    def score_row(
        self, combo_id: str, writer: str, evaluator: str, replicate: int, found: object, error: object
    ) -> Row:
        evaluation, essay = self.evaluations[combo_id, writer, evaluator, replicate], self.essays[combo_id, writer]
        judge, _, rubric = evaluator.partition("_")
        return self.facts(combo_id, writer) | {
            "gen_id": evaluation.gen_id,
            "evaluation_template": rubric,
            "evaluation_llm_model": judge,
            "score": found,
            "error": error,
            "evaluation_response_path": self.path("evaluation", evaluation.gen_id),
            "generation_response_path": self.path("essay", essay.gen_id),
            "origin_cohort_id": "mine",
            "input_mode": "prompt",
            "copied_from": None,
            "cohort_id": "mine",
            "draft_gen_id": essay.parent_gen_id,
            "replicate": replicate,
            "scale_min": 0,
            "scale_max": 9,
            "experiment_id": "night",
        }

    def find(self, table: str, **wanted: object) -> Row:
        """The only row with these values."""
        known = [pl.col(name).is_null() if value is None else pl.col(name) == value for name, value in wanted.items()]
        (row,) = self.tables[table].filter(*known).to_dicts()
        return row


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Worked:
    return Worked(tmp_path_factory.mktemp("worked"))


def same(row: Mapping[str, Any]) -> Row:
    """A row whose fractions may differ in the last digits."""
    return {name: pytest.approx(value) if isinstance(value, float) else value for name, value in row.items()}


def figures(values: list[float]) -> Row:
    """Spread of values of one essay on the scale from 0 to 9, by the definitions of the guide."""
    mean = sum(values) / len(values)
    deviation = sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return {"mean_score": mean, "std_dev": deviation, "min_score": min(values), "max_score": max(values)}


COLUMNS_OF_SCORES = [
    "gen_id",
    "parent_gen_id",
    "evaluation_template",
    "evaluation_llm_model",
    "score",
    "error",
    "evaluation_response_path",
    "combo_id",
    "draft_template",
    "generation_template",
    "generation_model",
    "generation_response_path",
    "origin_cohort_id",
    "input_mode",
    "copied_from",
    "cohort_id",
    "draft_gen_id",
    "replicate",
    "scale_min",
    "scale_max",
    "experiment_id",
]


@pytest.mark.parametrize("table", ["parsed_scores", "aggregated_scores", "filtered_evaluation_results"])
def test_a_table_of_scores_has_a_row_per_evaluation_with_or_without_a_score(worked: Worked, table: str) -> None:
    scores = worked.tables[table]
    assert scores.columns == COLUMNS_OF_SCORES
    assert (scores.height, scores["score"].count(), scores["score"].sum()) == (32, 31, 82 + 91)
    first = worked.score_row("alpha", "ann", "kim_novelty", 1, 9.0, None)
    assert worked.find(table, gen_id=first["gen_id"]) == first
    second = worked.score_row("alpha", "ann", "kim_novelty", 2, 7.0, None)
    assert worked.find(table, gen_id=second["gen_id"]) == second
    refused = worked.score_row("beta", "bob", "lee_coherence", 2, None, "parse_failed")
    assert worked.find(table, gen_id=refused["gen_id"]) == refused


def test_generation_scores_pivot(worked: Worked) -> None:
    names = ["kim_coherence", "kim_novelty", "lee_coherence", "lee_novelty"]
    table = worked.tables["generation_scores_pivot"]
    ends = [f"{name}{end}" for name in names for end in ("_min", "_max", "_n")]
    last = ["sum_scores", "generation_response_path", "n_scores", "n_errors"]
    assert table.columns == [*worked.facts("alpha", "ann"), *names, *ends, *last]
    # kim's two scores for the novelty of alpha/ann are 9 and 7: mean 8. 6 + 8 + 6 + 7 = 27.
    essay = worked.essays["alpha", "ann"].gen_id
    assert worked.find("generation_scores_pivot", parent_gen_id=essay) == worked.facts("alpha", "ann") | {
        **{"kim_coherence": 6, "kim_coherence_min": 6, "kim_coherence_max": 6, "kim_coherence_n": 2},
        **{"kim_novelty": 8, "kim_novelty_min": 7, "kim_novelty_max": 9, "kim_novelty_n": 2},
        **{"lee_coherence": 6, "lee_coherence_min": 6, "lee_coherence_max": 6, "lee_coherence_n": 2},
        **{"lee_novelty": 7, "lee_novelty_min": 7, "lee_novelty_max": 7, "lee_novelty_n": 2},
        **{"sum_scores": 27, "n_scores": 8, "n_errors": 0, "generation_response_path": worked.path("essay", essay)},
    }
    # 3 + 2 + 5 + 0 = 10, lee's 5 from one replicate.
    row = worked.find("generation_scores_pivot", combo_id="beta", generation_model="bob")
    assert [row[name] for name in ("sum_scores", "n_scores", "n_errors", "lee_coherence_n")] == [10, 7, 1, 1]
    sums = {
        (combo, writer): total
        for combo, writer, total in table.select("combo_id", "generation_model", "sum_scores").rows()
    }
    assert sums == {("alpha", "ann"): 27, ("alpha", "bob"): 20, ("beta", "ann"): 32, ("beta", "bob"): 10}


def test_evaluation_model_template_pivot(worked: Worked) -> None:
    names = ["kim_coherence", "kim_novelty", "lee_coherence", "lee_novelty"]
    table = worked.tables["evaluation_model_template_pivot"]
    assert table.columns == [*worked.facts("alpha", "ann"), *names, *(f"{name}_n" for name in names)]
    row = worked.find("evaluation_model_template_pivot", combo_id="beta", generation_model="bob")
    counts = {"kim_coherence_n": 2, "kim_novelty_n": 2, "lee_coherence_n": 1, "lee_novelty_n": 2}
    means = {"kim_coherence": 3, "kim_novelty": 2, "lee_coherence": 5, "lee_novelty": 0}
    assert row == worked.facts("beta", "bob") | means | counts


def summary(values: list[int], perfect: int, high: int, low: int, n_essays: int) -> Row:
    """A row of the summary: the counts by hand, mean and deviation by definition."""
    known, n = figures([float(value) for value in values]), len(values)
    return {
        "count": n,
        "n_essays": n_essays,
        "average": known["mean_score"],
        "std_dev": known["std_dev"],
        "min_score": known["min_score"],
        "max_score": known["max_score"],
        "perfect_scores": perfect,
        "perfect_score_pct": 100 * perfect / n,
        "high_scores": high,
        "high_score_pct": 100 * high / n,
        "low_scores": low,
        "low_score_pct": 100 * low / n,
    }


NOVELTY = [9, 7, 7, 7, 5, 5, 3, 3, 8, 8, 8, 8, 2, 2, 0, 0]
COHERENCE = [6, 6, 6, 6, 4, 4, 8, 8, 9, 9, 7, 7, 3, 3, 5]
GROUPS: dict[str, tuple[Row, Row, Row]] = {
    # Section, one group of it, its novelty and its coherence. Perfect is 9, high 8 and more, low 3 and less.
    "overall_statistics": ({}, summary(NOVELTY, 1, 5, 6, 4), summary(COHERENCE, 2, 4, 2, 4)),
    "by_generation_template": (
        {"generation_template": "narrative"},
        summary(NOVELTY, 1, 5, 6, 4),
        summary(COHERENCE, 2, 4, 2, 4),
    ),
    "by_generation_model": (
        {"generation_model": "bob"},
        summary([5, 5, 3, 3, 2, 2, 0, 0], 0, 0, 6, 2),
        summary([4, 4, 8, 8, 3, 3, 5], 0, 2, 2, 2),
    ),
    "by_evaluation_model": (
        {"evaluation_llm_model": "lee"},
        summary([7, 7, 3, 3, 8, 8, 0, 0], 0, 2, 4, 4),
        summary([6, 6, 8, 8, 7, 7, 5], 0, 2, 0, 4),
    ),
    "by_combo_id": (
        {"combo_id": "beta"},
        summary([8, 8, 8, 8, 2, 2, 0, 0], 0, 4, 4, 2),
        summary([9, 9, 7, 7, 3, 3, 5], 2, 2, 2, 2),
    ),
    "by_template_and_generation_model": (
        {"generation_template": "narrative", "generation_model": "ann"},
        summary([9, 7, 7, 7, 8, 8, 8, 8], 1, 5, 0, 2),
        summary([6, 6, 6, 6, 9, 9, 7, 7], 2, 2, 0, 2),
    ),
    "by_generation_vs_evaluation_model": (
        {"generation_model": "ann", "evaluation_llm_model": "kim"},
        summary([9, 7, 8, 8], 1, 3, 0, 2),
        summary([6, 6, 9, 9], 2, 2, 0, 2),
    ),
}


@pytest.mark.parametrize("section", GROUPS)
def test_final_results(worked: Worked, section: str) -> None:
    group, novelty, coherence = GROUPS[section]
    blank = dict.fromkeys(("generation_template", "generation_model", "evaluation_llm_model", "combo_id"))
    for construct, expected in (("novelty", novelty), ("coherence", coherence)):
        keys: Row = {"analysis_type": section, **blank, **group, "construct": construct}
        row = worked.find("final_results", **keys)
        assert list(row) == [*keys, "scale_min", "scale_max", *expected]
        assert row == same({**keys, "scale_min": 0, "scale_max": 9, **expected})


def test_final_results_as_worked_out_with_a_pencil(worked: Worked) -> None:
    assert set(worked.tables["final_results"]["analysis_type"]) == set(GROUPS)
    row = worked.find("final_results", analysis_type="overall_statistics", construct="novelty")
    # (560 - 82² / 16) / 15 = 139.75 / 15
    assert (row["count"], row["average"]) == (16, 5.125)
    assert row["std_dev"] == pytest.approx(sqrt(139.75 / 15))
    assert [row[f"{name}_score_pct"] for name in ("perfect", "high", "low")] == [6.25, 31.25, 37.5]
    row = worked.find("final_results", analysis_type="overall_statistics", construct="coherence")
    # (607 - 91² / 15) / 14
    assert row["std_dev"] == pytest.approx(sqrt((607 - 8281 / 15) / 14))


def test_perfect_score_paths(worked: Worked) -> None:
    expected = []
    for combo_id, evaluator, replicate in (
        ("alpha", "kim_novelty", 1),
        ("beta", "kim_coherence", 1),
        ("beta", "kim_coherence", 2),
    ):
        row = worked.score_row(combo_id, "ann", evaluator, replicate, 9.0, None)
        names = worked.tables["perfect_score_paths"].columns[:-1]
        expected.append(
            {name: row[name] for name in names} | {"notes": "Perfect score from ann generation + kim evaluation"}
        )
    assert worked.tables["perfect_score_paths"].to_dicts() == expected
    assert set(expected[0]) == {
        *("gen_id", "parent_gen_id", "combo_id", "draft_template", "generation_template", "generation_model"),
        *("evaluation_template", "evaluation_llm_model", "replicate", "score", "scale_max"),
        *("generation_response_path", "evaluation_response_path", "notes"),
    }


def test_evaluator_agreement_analysis(worked: Worked) -> None:
    assert worked.tables["evaluator_agreement_analysis"].height == 4 * 2
    measure = {"scale_min": 0, "scale_max": 9}
    # kim's mean is 8, lee's 7: one point, 1/9 of the scale. Deviation √(2 · 0.5²) = √0.5.
    expected = (
        worked.facts("alpha", "ann")
        | measure
        | {
            "construct": "novelty",
            **{
                "evaluator_count": 2,
                "n_scores": 4,
                "mean_score": 7.5,
                "std_dev": sqrt(0.5),
                "min_score": 7,
                "max_score": 8,
            },
            **{
                "median_score": 7.5,
                "score_range": 1,
                "relative_range": 1 / 9,
                "coefficient_of_variation": sqrt(0.5) / 7.5,
            },
            "agreement_classification": "high_agreement",
        }
    )
    assert worked.find(
        "evaluator_agreement_analysis", combo_id="alpha", generation_model="ann", construct="novelty"
    ) == same(expected)
    # 4 and 8, then 3 and 5 of three scores.
    row = worked.find("evaluator_agreement_analysis", combo_id="alpha", generation_model="bob", construct="coherence")
    assert (row["score_range"], row["relative_range"]) == (4, pytest.approx(4 / 9))
    assert row["agreement_classification"] == "poor_agreement"
    row = worked.find("evaluator_agreement_analysis", combo_id="beta", generation_model="bob", construct="coherence")
    assert (row["n_scores"], row["agreement_classification"]) == (3, "moderate_agreement")


def test_comprehensive_variance_analysis(worked: Worked) -> None:
    counts = worked.tables["comprehensive_variance_analysis"].group_by("analysis_type").len().rows()
    # Each construct has one rubric, so none varies by template; of 16 cells one has a single replicate.
    assert dict(counts) == {"overall_variance": 8, "model_variance": 8, "replicate_variance": 15}
    measure = {"construct": "novelty", "scale_min": 0, "scale_max": 9}
    common = worked.facts("alpha", "ann") | measure
    # kim's 9 and 7: mean 8, deviation √(1 + 1).
    of_kim = {
        **{"evaluation_template": "novelty", "evaluation_llm_model": "kim", "n_values": 2, "n_scores": 2},
        **{"num_templates": 1, "num_models": 1, "mean_score": 8, "std_dev": sqrt(2), "min_score": 7, "max_score": 9},
        **{"median_score": 8, "score_range": 2, "relative_range": 2 / 9, "coefficient_of_variation": sqrt(2) / 8},
        "stability_classification": "moderate_agreement",
    }
    # The judges' means, 8 and 7.
    of_judges = {
        **{"n_values": 2, "n_scores": 4, "num_templates": 1, "num_models": 2},
        **{"mean_score": 7.5, "std_dev": sqrt(0.5), "min_score": 7, "max_score": 8, "median_score": 7.5},
        **{"score_range": 1, "relative_range": 1 / 9, "coefficient_of_variation": sqrt(0.5) / 7.5},
        "stability_classification": "high_agreement",
    }
    for axis, held, expected in (
        ("replicate_variance", {"evaluation_template": "novelty", "evaluation_llm_model": "kim"}, of_kim),
        ("model_variance", {"evaluation_template": "novelty", "evaluation_llm_model": None}, of_judges),
        ("overall_variance", {"evaluation_template": None, "evaluation_llm_model": None}, of_judges),
    ):
        key = {"analysis_type": axis, "combo_id": "alpha", "generation_model": "ann", "construct": "novelty", **held}
        assert worked.find("comprehensive_variance_analysis", **key) == same(key | common | expected)


def test_template_version_comparison_pivot(worked: Worked) -> None:
    table = worked.tables["template_version_comparison_pivot"]
    facts = worked.facts("alpha", "ann")
    assert table.columns == [*facts, "evaluation_llm_model", "replicate", "coherence", "novelty"]
    assert table.height == 4 * 2 * 2
    key = {"evaluation_llm_model": "kim", "replicate": 2}
    found = worked.find("template_version_comparison_pivot", combo_id="alpha", generation_model="ann", **key)
    assert found == worked.facts("alpha", "ann") | key | {"coherence": 6, "novelty": 7}
    key = {"evaluation_llm_model": "lee", "replicate": 2}
    found = worked.find("template_version_comparison_pivot", combo_id="beta", generation_model="bob", **key)
    assert found == worked.facts("beta", "bob") | key | {"coherence": None, "novelty": 0}


def test_evaluation_scores_by_template_model(worked: Worked) -> None:
    row = worked.find("evaluation_scores_by_template_model", combo_id="alpha", generation_model="ann")
    facts = worked.facts("alpha", "ann")
    names = ["coherence__kim", "coherence__lee", "novelty__kim", "novelty__lee"]
    essay = {"essay_gen_id": facts.pop("parent_gen_id")}
    means = dict(zip(names, (6, 6, 8, 7), strict=True))
    assert row == essay | facts | {"origin_cohort_id": "mine"} | means | {f"{name}_n": 2 for name in names}
    leading = ["essay_gen_id", "combo_id", "draft_template", "generation_template", "generation_model"]
    assert list(row) == [*leading, "origin_cohort_id", *names, *(f"{name}_n" for name in names)]
    assert (
        worked.find("evaluation_scores_by_template_model", combo_id="beta", generation_model="bob")["coherence__lee_n"]
        == 1
    )
