"""Tests that ask how often chance alone would give a difference as large as the one seen."""

from __future__ import annotations

import math

import numpy as np

from daydreaming_dagster.analysis.statistics.bootstrap import FloatArray

_EXACT_UP_TO = 14
_CHUNK_CELLS = 4_000_000


def compute_sign_flip_p(differences: FloatArray, permutations: int = 10_000, seed: int = 20240101) -> float:
    """Two-sided p of a mean difference being zero when each difference might as well have the other sign.

    Up to 14 differences all sign patterns are tried; beyond, random ones, where the observed pattern counts as one
    of them, so that p is never zero. nan without differences.

    Args:
        differences: one per independent pair (a concept combination), shape (pairs,).
        permutations: random sign patterns to try.
        seed: of the random patterns.
    """
    n = differences.size
    if n == 0:
        return math.nan
    observed = abs(float(differences.sum()))
    limit = observed - 1e-12 * max(1.0, float(np.abs(differences).sum()))
    if n <= _EXACT_UP_TO:
        bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        return float((np.abs((2.0 * bits - 1) @ differences) >= limit).mean())
    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK_CELLS // n)
    extreme = 0
    for start in range(0, permutations, rows):
        size = min(rows, permutations - start)
        signs = rng.integers(0, 2, size=(size, n)) * 2.0 - 1
        extreme += int((np.abs(signs @ differences) >= limit).sum())
    return (1 + extreme) / (1 + permutations)


def compute_label_swap_p(
    first: FloatArray, second: FloatArray, permutations: int = 10_000, seed: int = 20240101
) -> float:
    """Two-sided p of two groups having the same mean, from relabelling their values at random.

    What is compared is the difference of the means over its standard error (Welch's t; Janssen 1997, Chung and Romano
    2013): with the plain difference, a small group that scatters more than a large one is called different far too
    often. A group of one has no scatter of its own, and the plain difference is taken. The observed labels count as one
    of the patterns, so that p is never zero; nan when a group is empty.

    Args:
        first, second: one value per independent unit (a concept combination).
        permutations: random relabellings to try.
        seed: of the random relabellings.
    """
    n, size = first.size, first.size + second.size
    if n == 0 or second.size == 0:
        return math.nan
    pooled = np.concatenate([first, second])
    pooled = pooled - pooled.mean()
    limit = float(_separations(pooled[None, :], n)[0]) * (1 - 1e-9)
    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK_CELLS // size)
    extreme = 0
    for start in range(0, permutations, rows):
        count = min(rows, permutations - start)
        shuffled = rng.permuted(np.broadcast_to(pooled, (count, size)), axis=1)
        extreme += int((_separations(shuffled, n) >= limit).sum())
    return (1 + extreme) / (1 + permutations)


def _separations(values: FloatArray, n: int) -> FloatArray:
    """How far the means of the first n values and of the others lie apart, shape (rows,) from (rows, values)."""
    parts = (values[:, :n], values[:, n:])
    apart = np.abs(parts[0].mean(axis=1) - parts[1].mean(axis=1))
    scale = 1e-12 * max(1.0, float(np.abs(values[0]).max()))
    apart[apart < scale] = 0.0
    if min(part.shape[1] for part in parts) < 2:
        return np.asarray(apart)
    error = np.sqrt(sum(part.var(axis=1, ddof=1) / part.shape[1] for part in parts))
    return np.asarray(np.divide(apart, error, out=np.where(apart > 0, np.inf, 0.0), where=error > scale))
