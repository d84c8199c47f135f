"""How different the texts of a set are from each other; the vectors come from one embedder and have length 1.

Vendi score: Friedman and Dieng (2023). Rarefaction: Hurlbert (1971).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from daydreaming_dagster.analysis.statistics.bootstrap import FloatArray, IntArray


def compute_mean_pairwise_cosine(cosines: FloatArray) -> float:
    """Mean cosine of all pairs of different texts, from their matrix, shape (texts, texts); nan below two texts."""
    n = cosines.shape[0]
    return float((cosines.sum() - np.trace(cosines)) / (n * (n - 1))) if n >= 2 else math.nan


def compute_vendi_score(similarities: FloatArray) -> float:
    """Effective number of different texts: from 1, all the same, to the number of texts, all unlike.

    Args:
        similarities: shape (texts, texts), symmetric, positive semidefinite, ones on the diagonal.
    """
    n = similarities.shape[0]
    if n == 0:
        return math.nan
    share = np.linalg.eigvalsh(similarities / n)
    share = share[share > 1e-12]
    return float(np.exp(-(share * np.log(share)).sum()))


def assign_to_leaders(cosines: FloatArray, threshold: float = 0.8) -> IntArray:
    """A group number for each text: the first earlier leader with a cosine at or above the threshold, else its own.

    The number of leaders is the number of unique texts; it depends on the order, so give texts in a fixed one.
    """
    leaders: list[int] = []
    group = np.empty(cosines.shape[0], dtype=np.int64)
    for text in range(cosines.shape[0]):
        alike = np.flatnonzero(cosines[text, leaders] >= threshold) if leaders else np.empty(0, dtype=np.int64)
        if alike.size:
            group[text] = alike[0]
        else:
            group[text] = len(leaders)
            leaders.append(text)
    return group


def compute_rarefaction(group_sizes: IntArray, sample: int) -> float:
    """Expected number of groups in a random sample of that many texts, drawn without replacement."""
    from scipy.special import gammaln

    n = int(group_sizes.sum())
    if not 0 <= sample <= n:
        return math.nan
    rest = (n - group_sizes).astype(np.float64)
    possible = rest >= sample
    log_missed = np.full(group_sizes.size, -np.inf)
    log_missed[possible] = (
        gammaln(rest[possible] + 1) - gammaln(rest[possible] - sample + 1) - gammaln(n + 1) + gammaln(n - sample + 1)
    )
    return float((1 - np.exp(log_missed)).sum())


def number_word_pairs(texts: Sequence[Sequence[str]]) -> list[IntArray]:
    """The pairs of neighbouring words of each text as numbers, equal pairs having equal numbers in all texts."""
    numbers: dict[tuple[str, str], int] = {}
    return [
        np.array([numbers.setdefault(pair, len(numbers)) for pair in pairwise(words)], dtype=np.int64)
        for words in texts
    ]


def compute_distinct_2(pairs: Sequence[IntArray]) -> float:
    """Share of different word pairs among all pairs of neighbouring words of all texts; nan without any pair."""
    every = np.concatenate([np.empty(0, dtype=np.int64), *pairs])
    return np.count_nonzero(np.bincount(every)) / every.size if every.size else math.nan


def compute_compression_ratio(texts: Sequence[str]) -> float:
    """Size of the joined texts over their size compressed: the higher, the more they repeat each other.

    The compressor looks back over 32 KiB, so it sees repetition between texts that follow each other closely.
    """
    raw = "\n".join(texts).encode()
    return len(raw) / len(zlib.compress(raw, 4)) if raw else math.nan
