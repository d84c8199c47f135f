"""Means of essays and combinations as if all had been treated alike.

Missing cells must not favour anyone: an essay that only the strict judge rated, or a combination that only the weak
model wrote, is compared after taking out what the judge or the model does to everybody.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from daydreaming_dagster.analysis.panels import Panel
from daydreaming_dagster.analysis.statistics.additive import AdditiveFit, fit_additive
from daydreaming_dagster.analysis.statistics.bootstrap import FloatArray, IntArray, as_codes


@dataclass(frozen=True, slots=True)
class AdjustedMeans:
    """Means of essays, or of combinations, by code.

    Attributes:
        raw: plain means of what lies below (evaluators of an essay, essays of a combination), shape (entries,).
        adjusted: as if every entry had been treated by the average evaluator, or written by the average arm.
        noise: variance of each adjusted mean around the truth, 0 where it is not estimable.
        freedom: degrees of freedom that the noise was estimated from.
        n_below: how many values below each mean is over.
        n_parts: above 1 when some entries share no evaluator or arm, even indirectly, and do not compare.
    """

    raw: FloatArray
    adjusted: FloatArray
    noise: FloatArray
    freedom: int
    n_below: IntArray
    n_parts: int

    @property
    def has_noise(self) -> bool:
        """Whether the noise could be estimated."""
        return bool((self.noise > 1e-12).all())


def adjust_essays(panel: Panel) -> AdjustedMeans:
    """Means of the essays over evaluators; replicates of an evaluator are averaged first."""
    width, count = len(panel.evaluators), len(panel.essays)
    cell, code = np.unique(panel.essay * width + panel.evaluator, return_inverse=True)
    value = np.bincount(code, weights=panel.value) / np.bincount(code)
    essay, evaluator = cell // width, cell % width
    fit = fit_additive(essay, evaluator, value, count, width)
    return _means(fit, essay, value, count)


def adjust_combos(panel: Panel, essays: AdjustedMeans) -> AdjustedMeans:
    """Means of the combinations over their essays; an arm is draft template, essay template and model together."""
    count = len(panel.combos)
    arm, n_arms = _arm_of_essay(panel)
    fit = fit_additive(panel.essay_combo, arm, essays.adjusted, count, n_arms)
    means = _means(fit, panel.essay_combo, essays.adjusted, count)
    raw = np.bincount(panel.essay_combo, weights=essays.raw, minlength=count) / means.n_below
    return replace(means, raw=raw, n_parts=max(fit.n_parts, essays.n_parts))


def _means(fit: AdditiveFit, entry: IntArray, value: FloatArray, count: int) -> AdjustedMeans:
    n_below = np.bincount(entry, minlength=count)
    freedom = fit.degrees_of_freedom
    noise = float(fit.residual @ fit.residual) / freedom if freedom > 0 else 0.0
    raw = np.bincount(entry, weights=value, minlength=count) / n_below
    return AdjustedMeans(raw, fit.row, noise / n_below, freedom, n_below, fit.n_parts)


def _arm_of_essay(panel: Panel) -> tuple[IntArray, int]:
    parts = [pl.col(name).fill_null("") for name in ("draft_template", "essay_template", "generator_model")]
    label = panel.frame.select(pl.concat_str(parts, separator="\x1f")).to_series().to_numpy()
    code, arms = as_codes(label.astype(str))
    arm = np.zeros(len(panel.essays), dtype=np.int64)
    arm[panel.essay] = code
    return arm, int(arms.size)
