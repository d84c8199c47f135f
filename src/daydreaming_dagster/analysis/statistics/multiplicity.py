"""P values when several questions were asked at once; nan stays nan and does not count as a question."""

from __future__ import annotations

import numpy as np

from daydreaming_dagster.analysis.statistics.bootstrap import FloatArray


def adjust_holm(p: FloatArray) -> FloatArray:
    """Holm's step-down adjustment: bounds the chance of any false finding among all questions."""
    adjusted = np.full(p.shape, np.nan)
    asked = np.flatnonzero(~np.isnan(p))
    order = asked[np.argsort(p[asked], kind="stable")]
    factor = np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factor))
    return adjusted


def adjust_benjamini_hochberg(p: FloatArray) -> FloatArray:
    """Benjamini and Hochberg's step-up adjustment: bounds the expected share of false ones among the findings."""
    adjusted = np.full(p.shape, np.nan)
    asked = np.flatnonzero(~np.isnan(p))
    order = asked[np.argsort(p[asked], kind="stable")[::-1]]
    factor = order.size / np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(p[order] * factor))
    return adjusted
