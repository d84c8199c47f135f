"""How different the essays of a group are from each other, compared at equal numbers of essays."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from daydreaming_dagster.analysis.embedding import Embedder, HashingEmbedder, split_words
from daydreaming_dagster.analysis.estimates import ESTIMATE_SCHEMA, FEW_CLUSTERS, Estimate
from daydreaming_dagster.analysis.schema import Schema, table_of_rows
from daydreaming_dagster.analysis.statistics.bootstrap import MIN_CLUSTERS, FloatArray, IntArray, as_codes
from daydreaming_dagster.analysis.statistics.diversity import (
    assign_to_leaders,
    compute_compression_ratio,
    compute_distinct_2,
    compute_mean_pairwise_cosine,
    compute_rarefaction,
    compute_vendi_score,
    number_word_pairs,
)

ESSAY_TEXTS_SCHEMA: Schema = {
    "essay_gen_id": pl.String(),
    "combo_id": pl.String(),
    "draft_template": pl.String(),
    "essay_template": pl.String(),
    "generator_model": pl.String(),
    "text": pl.String(),
}
"""One row per essay with its parsed text; null when there is none."""

DIVERSITY_SCHEMA: Schema = {
    "group_by": pl.String(),
    "group": pl.String(),
    "metric": pl.String(),
    **ESTIMATE_SCHEMA,
    "n_available": pl.Int64(),
    "embedder": pl.String(),
}
"""One row per group and metric. All groups of one `group_by` are measured at the same number of essays `n`.

- `mean_pairwise_cosine`: 0 unlike, 1 the same. `vendi_score`: effective number of different essays, up to `n`.
- `unique_essays`: how many are left when those with a cosine of .8 or more to an earlier one are taken as repeats, in
  the order of their ids; expected number in a sample of `n`.
- `distinct_2`: share of different word pairs. `compression_ratio`: the higher, the more they repeat each other.
- Samples of `n` are drawn ten times and averaged. The interval is the estimate and 1.96 standard errors (more for few
  combinations) from resampling combinations. `embedder` is null for metrics that need none.
"""

RAREFACTION_SCHEMA: Schema = {
    "group_by": pl.String(),
    "group": pl.String(),
    "n_sampled": pl.Int64(),
    **ESTIMATE_SCHEMA,
    "embedder": pl.String(),
}
"""One row per group and sample size: how many unique essays a random sample of that many holds on average.

`n` and `n_clusters` are those of the group; intervals as in the diversity table.
"""

GROUPINGS = ("generator_model", "draft_template", "essay_template")
UNIQUE_BELOW = 0.8
MIN_TEXTS = 5
MAX_TEXTS = 100
_SAMPLES = 10
_RESAMPLES = 40
_CURVE_POINTS = 20
_SEED = 11


def build_diversity(
    essays: pl.DataFrame, embedder: Embedder | None = None, group_by: Sequence[str] = GROUPINGS
) -> pl.DataFrame:
    """The diversity of each group of essays; see `DIVERSITY_SCHEMA`.

    Args:
        essays: a frame of `ESSAY_TEXTS_SCHEMA`.
        embedder: of the texts; hashing of words by default.
        group_by: columns of `essays` to compare groups of; of larger groups 100 essays are chosen at random.
    """
    used = embedder or HashingEmbedder()
    rows: list[dict[str, object]] = []
    for column in group_by:
        groups = _read_groups(essays, column, used, with_pairs=True)
        sizes = [group.size for group in groups if group.size >= MIN_TEXTS]
        equal = min(sizes) if sizes else 0
        for group in groups:
            for metric, needs_embedding, figure in _figures_of(group, equal):
                rows.append(
                    {
                        "group_by": column,
                        "group": group.name,
                        "metric": metric,
                        **figure.row(),
                        "n_available": group.n_available,
                        "embedder": used.name if needs_embedding else None,
                    }
                )
    return table_of_rows(rows, DIVERSITY_SCHEMA)


def build_rarefaction(
    essays: pl.DataFrame, embedder: Embedder | None = None, group_by: Sequence[str] = GROUPINGS
) -> pl.DataFrame:
    """The rarefaction curve of each group of essays; see `RAREFACTION_SCHEMA`, arguments as `build_diversity`."""
    used = embedder or HashingEmbedder()
    rows: list[dict[str, object]] = []
    for column in group_by:
        for group in _read_groups(essays, column, used):
            if group.size < MIN_TEXTS:
                continue
            points = np.unique(np.linspace(1, group.size, _CURVE_POINTS).round().astype(np.int64))
            for point, figure in zip(points, _curve(group, points), strict=True):
                row = {"group_by": column, "group": group.name, "n_sampled": int(point), "embedder": used.name}
                rows.append(row | figure.row())
    return table_of_rows(rows, RAREFACTION_SCHEMA)


@dataclass(frozen=True, slots=True)
class _Group:
    """Essays of one group, by essay id, at most `MAX_TEXTS` chosen at random.

    Attributes:
        texts: of each essay.
        word_pairs: of each essay; none where nobody asked for them.
        cosines: shape (essays, essays).
        cluster: combination of each essay.
        n_available: essays with a text, chosen or not.
    """

    name: str
    texts: list[str]
    word_pairs: list[IntArray]
    cosines: FloatArray
    cluster: IntArray
    n_available: int

    @property
    def size(self) -> int:
        return len(self.texts)

    @property
    def n_clusters(self) -> int:
        return int(np.unique(self.cluster).size)


def _read_groups(essays: pl.DataFrame, column: str, embedder: Embedder, *, with_pairs: bool = False) -> list[_Group]:
    known = essays.filter(pl.col("text").is_not_null(), pl.col(column).is_not_null()).unique("essay_gen_id")
    groups = []
    for name in sorted(known[column].unique().to_list()):
        members = known.filter(pl.col(column) == name).sort("essay_gen_id")
        chosen = members
        if members.height > MAX_TEXTS:
            chosen = members.sample(MAX_TEXTS, seed=_SEED).sort("essay_gen_id")
        texts = chosen["text"].to_list()
        vectors = embedder.embed(texts)
        combo = chosen.select(pl.coalesce("combo_id", "essay_gen_id")).to_series().to_numpy()
        pairs = number_word_pairs([split_words(text) for text in texts]) if with_pairs else []
        cosines = np.clip(vectors @ vectors.T, -1.0, 1.0)
        np.fill_diagonal(cosines, 1.0)
        groups.append(_Group(str(name), texts, pairs, cosines, as_codes(combo)[0], members.height))
    return groups


_Metric = Callable[[_Group, IntArray], float]


def _cosine(group: _Group, chosen: IntArray) -> float:
    return compute_mean_pairwise_cosine(group.cosines[np.ix_(chosen, chosen)])


def _vendi(group: _Group, chosen: IntArray) -> float:
    return compute_vendi_score(group.cosines[np.ix_(chosen, chosen)])


def _unique(group: _Group, chosen: IntArray) -> float:
    return float(assign_to_leaders(group.cosines[np.ix_(chosen, chosen)], UNIQUE_BELOW).max() + 1)


def _distinct(group: _Group, chosen: IntArray) -> float:
    return compute_distinct_2([group.word_pairs[index] for index in chosen])


def _compression(group: _Group, chosen: IntArray) -> float:
    return compute_compression_ratio([group.texts[index] for index in chosen])


_METRICS: dict[str, tuple[bool, _Metric, tuple[float, float]]] = {
    "mean_pairwise_cosine": (True, _cosine, (-1.0, 1.0)),
    "unique_essays": (True, _unique, (1.0, math.inf)),
    "vendi_score": (True, _vendi, (1.0, math.inf)),
    "distinct_2": (False, _distinct, (0.0, 1.0)),
    "compression_ratio": (False, _compression, (0.0, math.inf)),
}
"""Name, whether it needs the embedding, how it is computed, and within what it lies; no more essays than there are."""


def _figures_of(group: _Group, equal: int) -> Iterator[tuple[str, bool, Estimate]]:
    for name, (needs_embedding, metric, (least, most)) in _METRICS.items():
        if group.size < MIN_TEXTS:
            note = f"not measured: fewer than {MIN_TEXTS} essays"
            yield name, needs_embedding, Estimate(n=group.size, n_clusters=group.n_clusters, note=note)
        else:
            counts_essays = least == 1.0
            yield name, needs_embedding, _estimate(group, metric, equal, (least, equal if counts_essays else most))


def _estimate(group: _Group, metric: _Metric, equal: int, bounds: tuple[float, float]) -> Estimate:
    """Mean of the metric over samples of equal size."""
    rng = np.random.default_rng(_SEED)
    everything = np.arange(group.size)
    if equal == group.size:
        value = metric(group, everything)
    else:
        samples = (np.sort(rng.choice(group.size, equal, replace=False)) for _ in range(_SAMPLES))
        value = float(np.mean([metric(group, sample) for sample in samples]))
    if not math.isfinite(value):
        return Estimate(n=equal, n_clusters=group.n_clusters, note="not estimable: the essays have no words")
    resampled = np.array([metric(group, _resample(group, equal, rng)) for _ in range(_RESAMPLES)])
    return _with_standard_error(value, resampled, equal, group.n_clusters, bounds)


def _resample(group: _Group, size: int, rng: np.random.Generator) -> IntArray:
    """`size` essays: whole combinations drawn with replacement, the last one as far as it is needed."""
    by_cluster = np.argsort(group.cluster, kind="stable")
    ends = np.cumsum(np.bincount(group.cluster))
    starts = np.concatenate([[0], ends[:-1]])
    drawn = rng.integers(0, ends.size, size)
    chosen = [by_cluster[starts[cluster] : ends[cluster]] for cluster in drawn]
    return np.concatenate(chosen)[:size]


def _with_standard_error(
    value: float, resampled: FloatArray, n: int, n_clusters: int, bounds: tuple[float, float]
) -> Estimate:
    """Repeats make a resample less diverse than the group, so it gives the error but not the place.

    Where a measure is at its end, as when no essay repeats another, the interval ends there, too.
    """
    from scipy.special import stdtrit

    if n_clusters < MIN_CLUSTERS:
        return Estimate(value, n=n, n_clusters=n_clusters, note=FEW_CLUSTERS)
    reach = float(stdtrit(n_clusters - 1, 0.975)) * float(np.nanstd(resampled, ddof=1))
    return Estimate(value, max(bounds[0], value - reach), min(bounds[1], value + reach), n, n_clusters)


def _curve(group: _Group, points: IntArray) -> Iterator[Estimate]:
    rng = np.random.default_rng(_SEED)
    own = _expected_unique(group, np.arange(group.size), points)
    resampled = np.stack(
        [_expected_unique(group, _resample(group, group.size, rng), points) for _ in range(_RESAMPLES)]
    )
    for place, value in enumerate(own):
        bounds = (1.0, float(points[place]))
        yield _with_standard_error(float(value), resampled[:, place], group.size, group.n_clusters, bounds)


def _expected_unique(group: _Group, chosen: IntArray, points: IntArray) -> FloatArray:
    sizes = np.bincount(assign_to_leaders(group.cosines[np.ix_(chosen, chosen)], UNIQUE_BELOW))
    return np.array([compute_rarefaction(sizes, int(point)) for point in points])
