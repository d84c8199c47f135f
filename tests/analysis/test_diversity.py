from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from daydreaming_dagster.analysis.diversity import (
    DIVERSITY_SCHEMA,
    ESSAY_TEXTS_SCHEMA,
    RAREFACTION_SCHEMA,
    build_diversity,
    build_rarefaction,
)
from daydreaming_dagster.analysis.embedding import HashingEmbedder, make_embedder
from daydreaming_dagster.domain.errors import ConfigurationError

WORDS = [f"word{number}" for number in range(400)]


def essays(**groups: tuple[int, int]) -> pl.DataFrame:
    """Groups by model name: how many essays, and how many different stock phrases they are made of."""
    rng = np.random.default_rng(0)
    rows = []
    for model, (count, variety) in groups.items():
        phrases = [" ".join(rng.choice(WORDS, 40)) for _ in range(variety)]
        for number in range(count):
            text = f"{phrases[number % variety]} {rng.choice(WORDS)}"
            rows.append((f"e_{model}_{number:03d}", f"combo-{number // 2}", "d", "x", model, text))
    return pl.DataFrame(rows, schema=ESSAY_TEXTS_SCHEMA, orient="row")


def figures(table: pl.DataFrame) -> dict[tuple[str, str], dict[str, object]]:
    return {(row["group"], row["metric"]): row for row in table.to_dicts()}


def test_the_more_varied_group_is_the_more_diverse_one_in_every_metric() -> None:
    found = figures(build_diversity(essays(dull=(40, 3), rich=(30, 30)), group_by=["generator_model"]))
    for metric, better_is_more in (
        ("mean_pairwise_cosine", False),
        ("unique_essays", True),
        ("vendi_score", True),
        ("distinct_2", True),
        ("compression_ratio", False),
    ):
        dull, rich = found["dull", metric], found["rich", metric]
        assert (rich["estimate"] > dull["estimate"]) == better_is_more, metric  # type: ignore[operator]
        assert dull["n"] == rich["n"] == 30
        assert (dull["n_available"], rich["n_available"]) == (40, 30)
    assert found["dull", "unique_essays"]["estimate"] == pytest.approx(3, abs=0.1)
    assert found["rich", "unique_essays"]["estimate"] == 30
    assert found["rich", "vendi_score"]["embedder"] == HashingEmbedder().name
    assert found["rich", "distinct_2"]["embedder"] is None


def test_a_larger_group_is_not_more_diverse_for_being_larger() -> None:
    found = figures(build_diversity(essays(small=(20, 200), large=(120, 200)), group_by=["generator_model"]))
    for metric in ("vendi_score", "unique_essays", "distinct_2"):
        small, large = found["small", metric], found["large", metric]
        assert large["estimate"] == pytest.approx(small["estimate"], rel=0.1), metric


def test_groups_of_equal_diversity_lie_in_each_others_intervals() -> None:
    found = figures(build_diversity(essays(one=(40, 12), two=(40, 12)), group_by=["generator_model"]))
    for metric in ("mean_pairwise_cosine", "vendi_score", "distinct_2"):
        one, two = found["one", metric], found["two", metric]
        assert one["low"] < two["estimate"] < one["high"], metric  # type: ignore[operator]


def test_too_few_essays_are_not_measured_and_do_not_hold_others_down() -> None:
    found = figures(build_diversity(essays(tiny=(3, 3), rich=(30, 30)), group_by=["generator_model"]))
    assert found["tiny", "vendi_score"]["estimate"] is None
    assert "fewer than 5 essays" in str(found["tiny", "vendi_score"]["note"])
    assert found["rich", "vendi_score"]["n"] == 30


def test_an_interval_ends_where_the_measure_does() -> None:
    table = build_diversity(essays(rich=(30, 30)), group_by=["generator_model"])
    rich = figures(table)["rich", "unique_essays"]
    assert (rich["estimate"], rich["high"]) == (30, 30)
    for row in table.filter(pl.col("metric").is_in(["vendi_score", "unique_essays"])).iter_rows(named=True):
        assert 1 <= row["low"] <= row["estimate"] <= row["high"] <= row["n"]
    for row in table.filter(pl.col("metric").is_in(["mean_pairwise_cosine", "distinct_2"])).iter_rows(named=True):
        assert -1 <= row["low"] <= row["estimate"] <= row["high"] <= 1


def test_few_combinations_give_no_interval() -> None:
    texts = essays(one=(20, 20)).with_columns(combo_id=pl.lit("combo-1"))
    row = figures(build_diversity(texts, group_by=["generator_model"]))["one", "vendi_score"]
    assert row["estimate"] is not None
    assert row["low"] is None
    assert "fewer than 5 combinations" in str(row["note"])
    curve = build_rarefaction(texts, group_by=["generator_model"])
    assert curve["low"].null_count() == curve["high"].null_count() == curve.height


def test_texts_without_words_give_no_traceback_and_no_nan() -> None:
    texts = essays(one=(10, 10)).with_columns(text=pl.lit("…"))
    for row in build_diversity(texts).to_dicts():
        assert not any(isinstance(cell, float) and not math.isfinite(cell) for cell in row.values())


def test_the_rarefaction_curve_rises_to_the_number_of_unique_essays() -> None:
    table = build_rarefaction(essays(dull=(40, 4), rich=(40, 40)), group_by=["generator_model"])
    for group, unique in (("dull", 4), ("rich", 40)):
        curve = table.filter(pl.col("group") == group)
        assert curve["n_sampled"].to_list()[0] == 1
        assert curve["estimate"].to_list()[0] == pytest.approx(1)
        assert curve["estimate"].is_sorted()
        assert curve["estimate"].to_list()[-1] == pytest.approx(unique)
        assert (curve["low"] <= curve["estimate"] + 1e-9).all()


def test_another_embedder_is_named_in_every_row_it_made() -> None:
    class Alike:
        name = "all-alike"

        def embed(self, texts: Sequence[str]) -> np.ndarray:
            return np.ones((len(texts), 1))

    table = build_diversity(essays(one=(10, 10)), Alike(), group_by=["generator_model"])
    found = figures(table)
    assert found["one", "vendi_score"]["estimate"] == pytest.approx(1)
    assert found["one", "unique_essays"]["estimate"] == 1
    assert table["embedder"].drop_nulls().unique().to_list() == ["all-alike"]


def test_the_order_of_the_rows_does_not_change_the_table() -> None:
    texts = essays(one=(12, 5), two=(15, 9))
    assert build_diversity(texts).equals(build_diversity(texts.reverse()))


def test_equal_texts_have_equal_vectors_of_length_one() -> None:
    vectors = HashingEmbedder().embed(["The same words, again.", "the SAME words again", "", "other ones entirely"])
    assert vectors[0] @ vectors[1] == pytest.approx(1)
    assert np.linalg.norm(vectors, axis=1).tolist() == pytest.approx([1, 1, 0, 1])
    assert vectors[0] @ vectors[3] < 0.5


def test_no_essays_give_headers_with_the_right_types() -> None:
    nothing = pl.DataFrame(schema=ESSAY_TEXTS_SCHEMA)
    assert dict(build_diversity(nothing).schema) == DIVERSITY_SCHEMA
    assert dict(build_rarefaction(nothing).schema) == RAREFACTION_SCHEMA


SAME_IDEA = (
    "A cat sat on the mat and slept. The kitten dreamed of mice.",
    "A feline rested upon the rug, asleep. The young cat dreamt of rodents.",
    "Quarterly revenue exceeded the forecast of analysts, and the board raised the dividend.",
)


def test_an_embedder_of_meaning_finds_one_idea_in_different_words() -> None:
    by_meaning, by_words = (make_embedder(name).embed(SAME_IDEA) for name in ("wordllama", "hashing"))
    assert by_meaning[0] @ by_meaning[1] > by_meaning[0] @ by_meaning[2] + 0.3
    assert by_words[0] @ by_words[1] < 0.3
    assert np.linalg.norm(by_meaning, axis=1).tolist() == pytest.approx([1, 1, 1])


def test_tables_of_diversity_are_made_with_an_embedder_of_meaning() -> None:
    embedder = make_embedder("wordllama")
    texts = essays(dull=(10, 2), rich=(10, 10))
    found = figures(build_diversity(texts, embedder, group_by=["generator_model"]))
    assert found["rich", "vendi_score"]["embedder"] == embedder.name
    assert found["dull", "unique_essays"]["estimate"] < 10  # type: ignore[operator]
    assert build_rarefaction(texts, embedder)["embedder"].unique().to_list() == [embedder.name]
    assert not embedder.embed(["", "…"]).any()


def test_an_embedder_that_is_not_installed_is_told_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "wordllama", None)
    with pytest.raises(ConfigurationError, match="not installed") as missing:
        make_embedder("wordllama")
    assert "uv sync --extra embeddings" in missing.value.fix
