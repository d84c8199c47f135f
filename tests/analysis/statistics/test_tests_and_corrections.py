from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from daydreaming_dagster.analysis.statistics.multiplicity import adjust_benjamini_hochberg, adjust_holm
from daydreaming_dagster.analysis.statistics.permutation import compute_sign_flip_p

p_values = hnp.arrays(np.float64, st.integers(0, 12), elements=st.one_of(st.floats(0, 1), st.just(math.nan)))


def test_holm_and_benjamini_hochberg_of_a_worked_example() -> None:
    p = np.array([0.01, 0.04, 0.03, 0.005])
    assert adjust_holm(p).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjust_benjamini_hochberg(p).tolist() == pytest.approx([0.02, 0.04, 0.04, 0.02])


@given(p_values)
def test_adjusted_p_values_are_between_the_raw_ones_and_one(p: np.ndarray) -> None:
    holm, fdr = adjust_holm(p), adjust_benjamini_hochberg(p)
    asked = ~np.isnan(p)
    assert (np.isnan(holm) == ~asked).all()
    assert (np.isnan(fdr) == ~asked).all()
    assert (p[asked] <= fdr[asked] + 1e-15).all()
    assert (fdr[asked] <= holm[asked] + 1e-12).all()
    assert (holm[asked] <= 1).all()


@given(p_values)
def test_the_order_of_the_findings_is_kept(p: np.ndarray) -> None:
    for adjust in (adjust_holm, adjust_benjamini_hochberg):
        adjusted = adjust(p)
        for i in range(p.size):
            for j in range(p.size):
                if p[i] < p[j]:
                    assert adjusted[i] <= adjusted[j]


def test_the_exact_test_counts_all_sign_patterns() -> None:
    assert compute_sign_flip_p(np.array([1.0, 2.0, 3.0])) == 0.25
    assert compute_sign_flip_p(np.array([1.0, -1.0])) == 1.0


@given(hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(-10, 10)))
def test_a_permutation_p_is_above_zero_and_at_most_one(differences: np.ndarray) -> None:
    p = compute_sign_flip_p(differences, permutations=99)
    assert 0 < p <= 1
    assert compute_sign_flip_p(-differences, permutations=99) == pytest.approx(p, abs=0.2)


def test_nothing_to_compare_has_no_p() -> None:
    assert math.isnan(compute_sign_flip_p(np.empty(0)))


@pytest.mark.parametrize("pairs", [8, 40])
def test_null_data_are_called_different_in_five_percent_of_runs(pairs: int) -> None:
    rng = np.random.default_rng(pairs)
    runs = 1000
    found = sum(compute_sign_flip_p(rng.normal(size=pairs), permutations=399, seed=run) < 0.05 for run in range(runs))
    assert 0.03 <= found / runs <= 0.07
