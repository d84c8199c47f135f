"""Few ratings by people and many by models: right on average, and never worse than the people alone by much."""

from __future__ import annotations

import numpy as np
import pytest

from daydreaming_dagster.analysis.statistics.prediction_powered import estimate_powered_mean

REPEATS, N_COMBOS, PER_COMBO, RATED = 300, 60, 5, 60


def simulate(noise: float, bias: float, seed: int, n_combos: int = N_COMBOS) -> tuple[float, float, float, float]:
    """Share of intervals that hold the truth, mean error, and mean width over that of people alone, mean weight."""
    generator = np.random.default_rng(seed)
    hits, errors, widths, weights = [], [], [], []
    for _ in range(REPEATS):
        combo = np.repeat(np.arange(n_combos), PER_COMBO)
        truth = generator.normal(5, 1, n_combos)[combo] + generator.normal(0, 1, combo.size)
        model = truth + bias + generator.normal(0, noise, combo.size)
        rated = generator.permutation(combo.size)[: min(RATED, combo.size // 2)]
        others = np.setdiff1d(np.arange(combo.size), rated)
        found = estimate_powered_mean(truth[rated], model[rated], combo[rated], model[others], combo[others])
        assert found is not None
        hits.append(found.low <= 5 <= found.high)
        errors.append(found.estimate - 5)
        widths.append((found.high - found.low) / (found.plain_high - found.plain_low))
        weights.append(found.weight)
    return float(np.mean(hits)), float(np.mean(errors)), float(np.mean(widths)), float(np.mean(weights))


def test_good_models_that_are_wrong_by_a_constant_narrow_the_interval_and_shift_nothing() -> None:
    covered, error, width, weight = simulate(noise=0.3, bias=2.0, seed=1)
    assert covered > 0.92
    assert abs(error) < 0.05
    assert width < 0.85
    assert weight > 0.5


def test_intervals_hold_where_people_and_models_rated_essays_of_the_same_few_combinations() -> None:
    covered, error, _, weight = simulate(noise=0.3, bias=2.0, seed=4, n_combos=12)
    assert covered > 0.91
    assert abs(error) < 0.1
    assert weight > 0.3


def test_an_example_worked_out_by_hand() -> None:
    """Twenty essays rated by both, twenty by models only, each of a combination of its own.

    cov(Y, f) = 40/19; var(f) over all = 150/39; w = (40/19) / (2 · 150/39) = 26/95; the others' mean is 1 higher.
    """
    human, model = np.tile([4.0, 6.0], 10), np.tile([3.0, 7.0], 10)
    others = np.array([7.0] * 15 + [3.0] * 5)
    found = estimate_powered_mean(human, model, np.arange(20), others, np.arange(20, 40))
    assert found is not None
    assert found.weight == pytest.approx(26 / 95)
    assert found.estimate == pytest.approx(5 + 26 / 95)
    # Y − w f lies 43/95 off its mean; f of the others 1 off (15 times) and 3 off (5 times); one is left out of 20 each.
    variance = (20 * (43 / 95) ** 2 + 60 * (26 / 95) ** 2) / 19**2 * 39 / 40
    assert found.high - found.estimate == pytest.approx(2.093 * variance**0.5, rel=1e-4)
    assert found.estimate - found.low == pytest.approx(0.3188, abs=1e-4)
    assert found.plain == 5
    assert found.plain_high - found.plain == pytest.approx(2.093 * (1 / 19) ** 0.5, rel=1e-4)


def test_models_that_know_nothing_change_little() -> None:
    generator = np.random.default_rng(2)
    human, model, others = (generator.normal(5, 1, size) for size in (60, 60, 240))
    found = estimate_powered_mean(human, model, np.arange(60), others, np.arange(240))
    assert found is not None
    assert abs(found.estimate - found.plain) < 0.1
    assert found.weight < 0.3


def test_models_that_always_say_the_same_are_left_out() -> None:
    human = np.random.default_rng(3).normal(5, 1, 30)
    found = estimate_powered_mean(human, np.full(30, 4.0), np.arange(30), np.full(50, 4.0), np.arange(50))
    assert found is not None
    assert found.estimate == pytest.approx(found.plain)
    assert found.weight == 0


@pytest.mark.parametrize(("rated", "clusters"), [(19, 19), (30, 7)])
def test_too_few_give_no_estimate(rated: int, clusters: int) -> None:
    values = np.arange(rated, dtype=np.float64)
    assert estimate_powered_mean(values, values, np.arange(rated) % clusters, values, np.arange(rated)) is None
