"""Every picture is drawn from a simulated cohort, from next to nothing and from nothing at all."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest

from daydreaming_dagster.analysis.agreement import build_agreement
from daydreaming_dagster.analysis.budget import build_budget
from daydreaming_dagster.analysis.comparison import compare_levels
from daydreaming_dagster.analysis.concept_effects import build_concept_effects
from daydreaming_dagster.analysis.cost_quality import build_cost_quality
from daydreaming_dagster.analysis.diversity import build_rarefaction
from daydreaming_dagster.analysis.plots.concepts import plot_concept_effects
from daydreaming_dagster.analysis.plots.contrasts import plot_contrasts
from daydreaming_dagster.analysis.plots.drawing import find_why_nothing, render_png, render_svg
from daydreaming_dagster.analysis.plots.rankings import find_front, plot_front, plot_ranking
from daydreaming_dagster.analysis.plots.reliability import plot_agreement, plot_d_study, plot_variance_shares
from daydreaming_dagster.analysis.plots.scores import plot_length, plot_score_histograms
from daydreaming_dagster.analysis.plots.sets import plot_cost_quality, plot_rarefaction
from daydreaming_dagster.analysis.ranking import build_ranking
from daydreaming_dagster.analysis.ratings import MODELS_SCHEMA
from daydreaming_dagster.analysis.variance_components import build_d_study, build_variance_components

from .simulated import Truth, concept_pairs, simulate_ratings
from .test_budget import accepted, call, calls
from .test_diversity import essays


@cache
def cohort() -> pl.DataFrame:
    first = simulate_ratings(Truth(n_combos=15, replicates=2, missing=0.05, generator_effects={"writer-a": 1.0}))
    second = simulate_ratings(Truth(n_combos=15, construct="coherence", templates=("c-1", "c-2"), seed=2))
    return pl.concat([first, second])


@cache
def spending() -> pl.DataFrame:
    rows = [call(f"{s}_{m}", s, m, cost_usd=0.01) for m in ("writer-a", "writer-b") for s in ("draft", "essay")]
    return build_budget(calls(*rows), pl.DataFrame(schema=MODELS_SCHEMA), accepted())


Build = Callable[[pl.DataFrame], Any]

PICTURES: dict[str, tuple[Build, list[str]]] = {
    "contrasts": (
        lambda ratings: plot_contrasts(compare_levels(ratings, "generator_model", draws=100)),
        ["Difference, points", "writer-a − writer-b", "15 combinations"],
    ),
    "variance shares": (
        lambda ratings: plot_variance_shares(build_variance_components(ratings, 100)),
        ["Share of the variance of one rating", "essay × judge", "not estimable", "100%"],
    ),
    "d study": (
        lambda ratings: plot_d_study(build_d_study(ratings, 100)),
        ["Judges", " Phi ", "Replicates", "15 combinations", "USD an essay"],
    ),
    "agreement": (
        lambda ratings: plot_agreement(build_agreement(ratings, 100)),
        ["judge-a", "n = 45", "novelty_judged", "coherence"],
    ),
    "score histograms": (plot_score_histograms, ["Score, points (whole scale)", "Share of ratings", "missing", "9"]),
    "length": (plot_length, ["Essay length, words", "Mean rating, points (whole scale)", "judge-d", "coherence: n ="]),
    "concepts": (
        lambda ratings: plot_concept_effects(build_concept_effects(ratings, concept_pairs(6))),
        ["concept-05", "Points", "better", "worse", "15 combinations"],
    ),
    "ranking of combinations": (
        lambda ratings: plot_ranking(build_ranking(ratings), top=5, scale=(0, 9)),
        ["Mean rating, points (whole scale), more is better", "P(best)", "15 combinations", "n ="],
    ),
    "ranking of essays": (lambda ratings: plot_ranking(build_ranking(ratings), "essay", top=5), ["P(top 4)", "e_0"]),
    "front": (
        lambda ratings: plot_front(build_ranking(ratings), scale=(0, 9)),
        ["novelty_judged, points", "coherence, points", "n = 45 essays"],
    ),
    "cost and quality": (
        lambda ratings: plot_cost_quality(build_cost_quality(ratings, spending(), 100)),
        ["Cost of draft and essay, USD", "Mean rating, points (whole scale)", "writer-a (n = 15)"],
    ),
}


def words_of(svg: str) -> str:
    return " ".join(re.findall(r">([^<>]+)<", svg))


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_of_a_cohort_says_what_its_axes_are_and_how_much_data_there_is(name: str) -> None:
    build, expected = PICTURES[name]
    chart = build(cohort())
    words = words_of(render_svg(chart))
    for phrase in expected:
        assert phrase in words
    assert render_png(chart, scale=1).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_has_no_colours(name: str) -> None:
    svg = render_svg(PICTURES[name][0](cohort()))
    for red, green, blue in re.findall(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})\b", svg):
        assert red.lower() == green.lower() == blue.lower()
    for triple in re.findall(r"rgb\((\d+), ?(\d+), ?(\d+)\)", svg):
        assert len(set(triple)) == 1


@pytest.mark.parametrize("name", PICTURES)
def test_no_ratings_give_a_picture_that_says_so(name: str) -> None:
    picture = PICTURES[name][0](cohort().head(0))
    assert re.search(r"\bno\b", words_of(render_svg(picture)))
    assert find_why_nothing(picture)
    assert find_why_nothing(PICTURES[name][0](cohort())) is None


@pytest.mark.parametrize("name", PICTURES)
def test_next_to_no_ratings_still_give_a_picture(name: str) -> None:
    tiny = cohort().filter(pl.col("essay_gen_id") == "e_000000", pl.col("judge_model") == "judge-a")
    assert render_svg(PICTURES[name][0](tiny)).startswith("<svg")


def test_lengths_that_hardly_differ_look_alike_and_no_interval_leaves_the_scale() -> None:
    ratings = cohort().filter(pl.col("judge_model") == "judge-a", pl.col("construct") == "coherence").head(7)
    near = ratings.with_columns(
        essay_length_words=pl.int_range(400, 407), value=pl.Series([0.0, 9, 0, 9, 0, 9, 0]), score=pl.lit(0.0)
    )
    spec = plot_length(near).to_dict()
    rows = next(iter(spec["datasets"].values())) if "datasets" in spec else spec["spec"]["data"]["values"]
    assert [row["words"] for row in rows] == [403]
    assert all(0 <= row["low"] <= row["high"] <= 9 for row in rows if row["low"] is not None)
    (domain,) = {tuple(layer["encoding"]["x"]["scale"]["domain"]) for layer in spec["spec"]["layer"]}
    assert domain == (303.0, 503.0)


def test_without_any_estimate_the_ranking_does_not_speak_of_shrinkage() -> None:
    tiny = cohort().filter(pl.col("essay_gen_id") == "e_000000", pl.col("judge_model") == "judge-a")
    words = words_of(render_svg(plot_ranking(build_ranking(tiny), "essay")))
    assert "Means as seen." in words
    assert "Filled" not in words


def test_curves_that_lie_on_each_other_are_told_to() -> None:
    unlike = essays(first=(6, 6), second=(6, 6))
    told = "all curves lie on the thin line"
    assert told in words_of(render_svg(plot_rarefaction(build_rarefaction(unlike))))
    alike = essays(first=(6, 1), second=(6, 6))
    assert told not in words_of(render_svg(plot_rarefaction(build_rarefaction(alike))))


def test_the_rarefaction_curves_are_told_apart_by_dashes() -> None:
    chart = plot_rarefaction(build_rarefaction(essays(dull=(20, 3), rich=(20, 20)), group_by=["generator_model"]))
    svg = render_svg(chart)
    words = words_of(svg)
    assert "dull (n = 20, 10 combinations)" in words
    assert "Unique essays expected" in words
    assert len(set(re.findall(r'stroke-dasharray="([^"]+)"', svg))) >= 2
    nothing = plot_rarefaction(build_rarefaction(essays(), group_by=["generator_model"]))
    assert "fewer than five essays" in words_of(render_svg(nothing))


def test_comparisons_that_are_not_possible_are_counted_under_the_title() -> None:
    ratings = cohort()
    table = compare_levels(ratings, "generator_model", [("writer-a", "writer-b"), ("writer-a", "nobody")], draws=50)
    assert "comparisons left out as not comparable" in words_of(render_svg(plot_contrasts(table)))


def test_templates_of_two_stages_with_the_same_names_have_rows_of_their_own() -> None:
    table = compare_levels(cohort(), "generator_model", [("writer-a", "writer-b")], draws=50)
    both = pl.concat([table.with_columns(by=pl.lit(kind)) for kind in ("draft_template", "essay_template")])
    words = words_of(render_svg(plot_contrasts(both)))
    assert words.count("writer-a − writer-b (draft template)") == words.count("writer-a − writer-b (essay template)")
    assert "writer-a − writer-b (draft template)" in words


def test_the_front_holds_what_no_other_beats() -> None:
    x, y = np.array([1.0, 2, 3, 3, 0]), np.array([5.0, 4, 1, 2, 6])
    assert find_front(x, y).tolist() == [True, True, False, True, True]


def test_the_tables_do_without_the_drawing_library() -> None:
    code = (
        "import sys, pkgutil, importlib, daydreaming_dagster.analysis as a\n"
        "names = [m.name for m in pkgutil.walk_packages(a.__path__, 'daydreaming_dagster.analysis.')]\n"
        "[importlib.import_module(n) for n in names if '.plots' not in n]\n"
        "assert len(names) > 20\n"
        "heavy = {'altair', 'vl_convert', 'scipy', 'dagster', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_more_writers_than_shapes_are_told_apart_by_numbers() -> None:
    writers = tuple(f"writer-{letter}" for letter in "abcdefgh")
    one = build_cost_quality(cohort(), spending(), 50).filter(generator_model="writer-a")
    rows = [
        one.with_columns(generator_model=pl.lit(writer), cost_usd_per_essay=pl.lit(0.01 * 1.6**place))
        for place, writer in enumerate(writers)
    ]
    chart = plot_cost_quality(pl.concat(rows))
    svg = render_svg(chart)
    assert all(f"{place} {writer}" in svg and f">{place}<" in svg for place, writer in enumerate(writers, 1))
    assert "shape" not in str(chart.to_dict())
