from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daydreaming_dagster.analysis.statistics.diversity import (
    assign_to_leaders,
    compute_compression_ratio,
    compute_distinct_2,
    compute_mean_pairwise_cosine,
    compute_rarefaction,
    compute_vendi_score,
    number_word_pairs,
)


def test_the_vendi_score_of_the_published_examples() -> None:
    assert compute_vendi_score(np.array([[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1]])) == pytest.approx(2.1573, abs=5e-5)
    for n in (1, 4, 30):
        assert compute_vendi_score(np.eye(n)) == pytest.approx(n)
        assert compute_vendi_score(np.ones((n, n))) == pytest.approx(1)


def test_the_mean_cosine_leaves_out_the_diagonal() -> None:
    assert compute_mean_pairwise_cosine(np.array([[1, 0.5], [0.5, 1]])) == 0.5
    assert math.isnan(compute_mean_pairwise_cosine(np.eye(1)))


def test_a_text_joins_the_first_leader_it_resembles() -> None:
    cosines = np.array([[1, 0.8, 0.1], [0.8, 1, 0.2], [0.1, 0.2, 1]])
    assert assign_to_leaders(cosines).tolist() == [0, 0, 1]
    assert assign_to_leaders(cosines, threshold=0.81).tolist() == [0, 1, 2]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(0, 12))
def test_rarefaction_is_the_mean_over_all_samples(sizes: list[int], sample: int) -> None:
    texts = [group for group, size in enumerate(sizes) for _ in range(size)]
    found = compute_rarefaction(np.array(sizes), sample)
    if sample > len(texts):
        assert math.isnan(found)
    else:
        counts = [len({texts[i] for i in chosen}) for chosen in combinations(range(len(texts)), sample)]
        assert found == pytest.approx(np.mean(counts), abs=1e-9)


def test_distinct_2_counts_pairs_of_neighbouring_words() -> None:
    def distinct(*texts: str) -> float:
        return compute_distinct_2(number_word_pairs([text.split() for text in texts]))

    assert distinct("a b a b") == pytest.approx(2 / 3)
    assert distinct("a b", "a b") == 0.5
    assert math.isnan(distinct("alone"))


def test_repetition_compresses_better() -> None:
    varied = ["".join(chr(97 + (i * i + j) % 26) for j in range(40)) for i in range(20)]
    assert compute_compression_ratio(varied[:1] * 20) > compute_compression_ratio(varied)
    assert math.isnan(compute_compression_ratio([]))
