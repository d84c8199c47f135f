from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daydreaming_dagster.analysis.statistics.bootstrap import ClusterBootstrap
from daydreaming_dagster.analysis.statistics.variance import (
    Components,
    compute_reliability,
    draw_components,
    estimate_components,
)

SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float
)
BRENNAN_ROWS = """
101000000000
111001000000
111110000000
110110010000
111110100000
111011100000
111111100000
111101111100
111111111110
111111111111
"""
BRENNAN = np.array([[float(item) for item in person] for person in BRENNAN_ROWS.split()])


def crossed(matrix: np.ndarray) -> Components:
    person, judge = np.indices(matrix.shape)
    return estimate_components({"p": person.ravel(), "j": judge.ravel()}, matrix.ravel())


def test_the_components_of_shrout_and_fleiss() -> None:
    found = crossed(SHROUT_FLEISS).variance
    assert found["p",] == pytest.approx(2.5556, abs=5e-5)
    assert found["j",] == pytest.approx(5.2444, abs=5e-5)
    assert found["p", "j"] == pytest.approx(1.0194, abs=5e-5)


def test_the_intraclass_correlations_of_shrout_and_fleiss() -> None:
    components = crossed(SHROUT_FLEISS)
    single_relative, single_absolute = compute_reliability(components, "p", {"j": 1}, 1)
    mean_relative, mean_absolute = compute_reliability(components, "p", {"j": 4}, 1)
    assert (single_absolute, mean_absolute) == (pytest.approx(0.2898, abs=5e-5), pytest.approx(0.6201, abs=5e-5))
    assert (single_relative, mean_relative) == (pytest.approx(0.7148, abs=5e-5), pytest.approx(0.9093, abs=5e-5))


def test_the_one_way_intraclass_correlations_of_shrout_and_fleiss() -> None:
    target, _ = np.indices(SHROUT_FLEISS.shape)
    one_way = estimate_components({"p": target.ravel()}, SHROUT_FLEISS.ravel())
    assert compute_reliability(one_way, "p", {}, 1)[1] == pytest.approx(0.1657, abs=5e-5)
    assert compute_reliability(one_way, "p", {}, 4)[1] == pytest.approx(0.4428, abs=5e-5)


def test_brennans_persons_and_items() -> None:
    components = crossed(BRENNAN)
    found = components.variance
    assert found["p",] == pytest.approx(0.0574, abs=5e-5)
    assert found["j",] == pytest.approx(0.0754, abs=5e-5)
    assert found["p", "j"] == pytest.approx(0.1269, abs=5e-5)
    relative, absolute = compute_reliability(components, "p", {"j": 12}, 1)
    assert (relative, absolute) == (pytest.approx(0.844, abs=5e-4), pytest.approx(0.773, abs=5e-4))


@given(st.integers(3, 8), st.integers(2, 5), st.integers(0, 10_000))
def test_the_consistency_of_a_mean_is_cronbachs_alpha(persons: int, judges: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(persons, 1)) * 2 + rng.normal(size=(persons, judges))
    components = crossed(matrix)
    if components.variance["p",] < 0 or components.variance["p", "j"] < 0:
        return
    alpha = judges / (judges - 1) * (1 - matrix.var(axis=0, ddof=1).sum() / matrix.sum(axis=1).var(ddof=1))
    assert compute_reliability(components, "p", {"j": judges}, 1)[0] == pytest.approx(alpha)


def anova_components(values: np.ndarray) -> dict[str, float]:
    """Balanced p x t x j with replicates, by the textbook's mean squares."""
    n_p, n_t, n_j, n_r = values.shape
    mean = values.mean(axis=3)
    grand = mean.mean()
    p, t, j = mean.mean(axis=(1, 2)), mean.mean(axis=(0, 2)), mean.mean(axis=(0, 1))
    pt, pj, tj = mean.mean(axis=2), mean.mean(axis=1), mean.mean(axis=0)
    ms = {
        "p": n_t * n_j * n_r * ((p - grand) ** 2).sum() / (n_p - 1),
        "t": n_p * n_j * n_r * ((t - grand) ** 2).sum() / (n_t - 1),
        "j": n_p * n_t * n_r * ((j - grand) ** 2).sum() / (n_j - 1),
        "pt": n_j * n_r * ((pt - p[:, None] - t + grand) ** 2).sum() / ((n_p - 1) * (n_t - 1)),
        "pj": n_t * n_r * ((pj - p[:, None] - j + grand) ** 2).sum() / ((n_p - 1) * (n_j - 1)),
        "tj": n_p * n_r * ((tj - t[:, None] - j + grand) ** 2).sum() / ((n_t - 1) * (n_j - 1)),
        "e": ((values - mean[..., None]) ** 2).sum() / (mean.size * (n_r - 1)),
    }
    rest = mean - pt[:, :, None] - pj[:, None, :] - tj + p[:, None, None] + t[None, :, None] + j[None, None, :] - grand
    ms["ptj"] = n_r * (rest**2).sum() / ((n_p - 1) * (n_t - 1) * (n_j - 1))
    return {
        "ptj": (ms["ptj"] - ms["e"]) / n_r,
        "pt": (ms["pt"] - ms["ptj"]) / (n_j * n_r),
        "pj": (ms["pj"] - ms["ptj"]) / (n_t * n_r),
        "tj": (ms["tj"] - ms["ptj"]) / (n_p * n_r),
        "p": (ms["p"] - ms["pt"] - ms["pj"] + ms["ptj"]) / (n_t * n_j * n_r),
        "t": (ms["t"] - ms["pt"] - ms["tj"] + ms["ptj"]) / (n_p * n_j * n_r),
        "j": (ms["j"] - ms["pj"] - ms["tj"] + ms["ptj"]) / (n_p * n_t * n_r),
        "e": ms["e"],
    }


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_balanced_data_give_the_analysis_of_variance(seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(5, 3, 4, 2))
    p, t, j, _ = np.indices(values.shape)
    found = estimate_components({"p": p.ravel(), "t": t.ravel(), "j": j.ravel()}, values.ravel())
    expected = anova_components(values)
    assert found.error == pytest.approx(expected.pop("e"))
    for name, component in expected.items():
        assert found.variance[tuple(name)] == pytest.approx(component, abs=1e-9)


PLANTED = {
    ("p",): 1.0,
    ("t",): 0.3,
    ("j",): 0.5,
    ("p", "t"): 0.2,
    ("p", "j"): 0.4,
    ("t", "j"): 0.1,
    ("p", "t", "j"): 0.3,
}


def planted_ratings(rng: np.random.Generator, missing: float) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Ratings of 40 persons, 6 templates and 8 judges, two replicates, a share of them missing at random."""
    shape = {"p": 40, "t": 6, "j": 8}
    index = np.indices((*shape.values(), 2)).reshape(4, -1)
    index = index[:, rng.random(index.shape[1]) >= missing]
    facets = dict(zip(shape, index[:3], strict=True))
    values = rng.normal(size=index.shape[1]) * math.sqrt(0.6)
    for names, variance in PLANTED.items():
        effect = rng.normal(size=[shape[name] for name in names]) * math.sqrt(variance)
        values = values + effect[tuple(facets[name] for name in names)]
    return facets, values


@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_planted_components_are_recovered_whatever_is_missing(missing: float) -> None:
    rng = np.random.default_rng(11)
    runs = [estimate_components(*planted_ratings(rng, missing)) for _ in range(40)]
    assert np.mean([run.error for run in runs]) == pytest.approx(0.6, abs=0.01)
    for names, variance in PLANTED.items():
        found = np.array([run.variance[names] for run in runs])
        assert abs(found.mean() - variance) < 3.5 * found.std(ddof=1) / math.sqrt(len(runs)), names


def test_a_draw_weighs_clusters_and_never_compares_a_cluster_with_its_copy() -> None:
    rng = np.random.default_rng(4)
    facets, values = planted_ratings(rng, 0.5)
    cluster = facets["p"] // 4
    bootstrap = ClusterBootstrap(10, draws=400, seed=3)
    drawn = draw_components(facets, values, cluster, bootstrap)
    whole = estimate_components(facets, values)
    for names in (("p",), ("j",), ("p", "j")):
        spread = drawn.variance[names].std()
        assert abs(drawn.variance[names].mean() - whole.variance[names]) < 0.25 * spread + 0.02, names


def test_a_draw_of_every_cluster_once_is_the_estimate_itself() -> None:
    facets, values = planted_ratings(np.random.default_rng(6), 0.5)

    class EachOnce(ClusterBootstrap):
        def weights(self):  # type: ignore[no-untyped-def]
            yield np.ones((1, self.n_clusters))

    drawn = draw_components(facets, values, facets["p"] // 4, EachOnce(10, draws=1))
    whole = estimate_components(facets, values)
    assert drawn.error[0] == pytest.approx(whole.error)
    for names, component in whole.variance.items():
        assert drawn.variance[names][0] == pytest.approx(component)


def test_the_interval_of_the_object_component_covers_the_planted_value() -> None:
    rng = np.random.default_rng(8)
    covered = 0
    runs = 100
    for run in range(runs):
        persons, judges = 60, 3
        p, j = (a.ravel() for a in np.indices((persons, judges)))
        values = rng.normal(size=persons)[p] + rng.normal(size=judges)[j] + rng.normal(size=p.size) * 0.7
        drawn = draw_components({"p": p, "j": j}, values, p, ClusterBootstrap(persons, draws=300, seed=run))
        low, high = np.quantile(drawn.variance["p",], [0.025, 0.975])
        covered += low <= 1.0 <= high
    assert covered >= 88


def test_what_a_single_judge_cannot_tell_is_nan() -> None:
    p = np.arange(6)
    found = estimate_components({"p": p, "j": np.zeros(6, dtype=np.int64)}, p.astype(float))
    assert math.isnan(found.variance["p",])
    assert math.isnan(compute_reliability(found, "p", {"j": 1}, 1)[1])


def test_more_replicates_need_an_error_of_their_own() -> None:
    components = crossed(SHROUT_FLEISS)
    assert math.isnan(compute_reliability(components, "p", {"j": 4}, 2)[1])


def test_a_fixed_facet_is_no_source_of_error() -> None:
    components = Components(
        {("p",): np.array(1.0), ("t",): np.array(9.0), ("p", "t"): np.array(0.5)}, np.array(math.nan)
    )
    relative, absolute = compute_reliability(components, "p", {"t": 2}, 1, fixed=["t"])
    assert (relative, absolute) == (1.0, 1.0)
    assert compute_reliability(components, "p", {"t": 2}, 1)[1] == pytest.approx(1 / (1 + 4.5 + 0.25))
