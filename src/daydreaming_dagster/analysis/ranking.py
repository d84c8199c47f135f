"""Which essays and combinations are better, by how much, and how likely they are among the best.

Being first of many is partly luck. Every entry is therefore shown twice: as it was seen, and drawn towards the mean
by the share of the spread that is noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from daydreaming_dagster.analysis.adjusted_means import adjust_combos, adjust_essays
from daydreaming_dagster.analysis.estimates import join_notes, or_null
from daydreaming_dagster.analysis.panels import Panel, build_panel
from daydreaming_dagster.analysis.ratings import select_rated
from daydreaming_dagster.analysis.schema import Schema, table_of_rows
from daydreaming_dagster.analysis.statistics.bootstrap import FloatArray, IntArray
from daydreaming_dagster.analysis.statistics.shrinkage import MIN_GROUPS, Shrunken, compute_top_probability, shrink

RANKING_SCHEMA: Schema = {
    "construct": pl.String(),
    "level": pl.String(),
    "id": pl.String(),
    "combo_id": pl.String(),
    "generator_model": pl.String(),
    "rank": pl.Int64(),
    "raw_rank": pl.Int64(),
    "raw_mean": pl.Float64(),
    "adjusted_mean": pl.Float64(),
    "shrunken": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "p_top_k": pl.Float64(),
    "k": pl.Int64(),
    "n": pl.Int64(),
    "n_essays": pl.Int64(),
    "n_evaluators": pl.Int64(),
    "n_clusters": pl.Int64(),
    "other_family_mean": pl.Float64(),
    "other_family_shrunken": pl.Float64(),
    "other_family_low": pl.Float64(),
    "other_family_high": pl.Float64(),
    "other_family_rank": pl.Int64(),
    "n_other_family": pl.Int64(),
    "note": pl.String(),
}
"""One row per construct and essay (`level` is `essay`) or combination (`combination`), best first; points.

- `raw_mean`: over evaluators, replicates averaged first; of a combination, over its essays.
- `adjusted_mean`: as if every essay had been rated by the average evaluator and, for combinations, written by the
  average arm (templates and model), so that missing cells do not favour anyone.
- `shrunken`, `low`, `high`: posterior mean and 95 % interval, kept within the scale; wider where the noise was
  estimated from few values (Student's t). `rank` is by it, or by the adjusted mean without it; equal values share a
  rank.
- `p_top_k`: probability of being among the `k` truly best.
- `other_family_…`: the same without the ratings of judges of the writer's own family.
- `n` ratings; `n_clusters` combinations that the ranking as a whole rests on.
"""

_TOP_K = 10


def build_ranking(ratings: pl.DataFrame, top_k: int = _TOP_K) -> pl.DataFrame:
    """The ranking of each construct; see `RANKING_SCHEMA`.

    Args:
        ratings: a frame of `RATINGS_LONG_SCHEMA`.
        top_k: how many count as the best, at most a tenth of the entries.
    """
    rows: list[dict[str, object]] = []
    rated = select_rated(ratings)
    for construct in sorted(rated["construct"].unique().to_list()):
        of_construct = rated.filter(pl.col("construct") == construct)
        others = of_construct.filter(pl.col("same_family").fill_null(False).not_())
        panel = build_panel(of_construct)
        other_panel = build_panel(others) if others.height > 0 else None
        essays, combos = _rank_essays(panel), _rank_combos(panel)
        other_essays = _rank_essays(other_panel) if other_panel else None
        other_combos = _rank_combos(other_panel) if other_panel else None
        rows += _rows("essay", panel, essays, other_essays, top_k)
        rows += _rows("combination", panel, combos, other_combos, top_k)
    table = table_of_rows(rows, RANKING_SCHEMA)
    return table.sort("construct", "level", "rank", "id", descending=[False, True, False, False], nulls_last=True)


@dataclass(frozen=True, slots=True)
class _Ranked:
    """Entries of one level, by code.

    Attributes:
        names: ids.
        raw, adjusted: means, shape (entries,).
        shrunken: posterior; nan where the noise is not estimable.
        reach: how many standard deviations of it the interval goes each way.
        scale: ends, minus and plus infinity where unknown.
        n, n_essays, n_evaluators: what each entry rests on.
        note: about all of them.
    """

    names: list[str]
    raw: FloatArray
    adjusted: FloatArray
    shrunken: Shrunken
    reach: float
    scale: tuple[float, float]
    n: IntArray
    n_essays: IntArray
    n_evaluators: IntArray
    note: str

    @property
    def rank(self) -> IntArray:
        """1 for the best; by shrunken estimate where there is one."""
        by = self.shrunken.mean if np.isfinite(self.shrunken.mean).all() else self.adjusted
        return _ranks(by)


def _rank_essays(panel: Panel) -> _Ranked:
    essays = adjust_essays(panel)
    count = len(panel.essays)
    return _Ranked(
        names=panel.essays,
        raw=essays.raw,
        adjusted=essays.adjusted,
        shrunken=_shrink(essays.adjusted, essays.noise),
        reach=_compute_reach(essays.freedom),
        scale=_find_scale(panel),
        n=np.bincount(panel.essay, minlength=count),
        n_essays=np.ones(count, dtype=np.int64),
        n_evaluators=essays.n_below,
        note=join_notes(
            "" if essays.has_noise else "noise not estimable: no essay has two evaluators, or they agree exactly",
            "some essays share no evaluator, even indirectly" if essays.n_parts > 1 else "",
            "fewer than four essays" if count < MIN_GROUPS else "",
        ),
    )


def _rank_combos(panel: Panel) -> _Ranked:
    combos = adjust_combos(panel, adjust_essays(panel))
    count = len(panel.combos)
    pairs = np.unique(panel.combo * len(panel.evaluators) + panel.evaluator)
    return _Ranked(
        names=panel.combos,
        raw=combos.raw,
        adjusted=combos.adjusted,
        shrunken=_shrink(combos.adjusted, combos.noise),
        reach=_compute_reach(combos.freedom),
        scale=_find_scale(panel),
        n=np.bincount(panel.combo, minlength=count),
        n_essays=combos.n_below,
        n_evaluators=np.bincount(pairs // len(panel.evaluators), minlength=count),
        note=join_notes(
            "" if combos.has_noise else "noise not estimable: no combination has two comparable essays",
            "some combinations share no template and model, even indirectly" if combos.n_parts > 1 else "",
            "fewer than four combinations" if count < MIN_GROUPS else "",
        ),
    )


def _shrink(means: FloatArray, noise: FloatArray) -> Shrunken:
    if (noise > 1e-12).all():
        return shrink(means, noise)
    unknown = np.full(means.size, np.nan)
    return Shrunken(means, noise, unknown, unknown, np.empty(0), np.empty(0))


def _ranks(values: FloatArray) -> IntArray:
    """1 for the highest; equal values share the better rank."""
    rounded = np.round(values, 9)
    return (1 + np.searchsorted(np.sort(-rounded), -rounded, side="left")).astype(np.int64)


def _rows(level: str, panel: Panel, ranked: _Ranked, other: _Ranked | None, top_k: int) -> Iterator[dict[str, object]]:
    k = min(top_k, max(1, len(ranked.names) // 10))
    chance = compute_top_probability(ranked.shrunken, k)
    rank, raw_rank = ranked.rank, _ranks(ranked.raw)
    facts = _facts_by_name(level, panel)
    others = {name: code for code, name in enumerate(other.names)} if other else {}
    other_rank = other.rank if other else np.empty(0, dtype=np.int64)
    for code, name in enumerate(ranked.names):
        yield {
            "construct": panel.construct,
            "level": level,
            "id": name,
            **facts[name],
            "rank": int(rank[code]),
            "raw_rank": int(raw_rank[code]),
            "raw_mean": or_null(ranked.raw[code]),
            "adjusted_mean": or_null(ranked.adjusted[code]),
            **_posterior("", ranked, code),
            "p_top_k": or_null(chance[code]),
            "k": k,
            "n": int(ranked.n[code]),
            "n_essays": int(ranked.n_essays[code]),
            "n_evaluators": int(ranked.n_evaluators[code]),
            "n_clusters": panel.n_clusters,
            **_without_own_family(other, others.get(name), other_rank),
            "note": ranked.note or None,
        }


def _compute_reach(freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975)) if freedom > 0 else math.nan


def _find_scale(panel: Panel) -> tuple[float, float]:
    """Where values can lie: an estimate beyond the ends of the scale is nowhere that an essay could be."""
    low, high = (panel.frame[name].drop_nulls() for name in ("scale_min", "scale_max"))
    return (float(low[0]), float(high[0])) if low.len() and high.len() else (-math.inf, math.inf)


def _posterior(prefix: str, ranked: _Ranked, code: int) -> dict[str, object]:
    mean, spread = ranked.shrunken.mean[code], ranked.reach * ranked.shrunken.standard_deviation[code]
    low, middle, high = np.clip([mean - spread, mean, mean + spread], *ranked.scale)
    return {f"{prefix}shrunken": or_null(middle), f"{prefix}low": or_null(low), f"{prefix}high": or_null(high)}


def _without_own_family(other: _Ranked | None, code: int | None, rank: IntArray) -> dict[str, object]:
    if other is None or code is None:
        return {"n_other_family": 0}
    return {
        "other_family_mean": or_null(other.adjusted[code]),
        **_posterior("other_family_", other, code),
        "other_family_rank": int(rank[code]),
        "n_other_family": int(other.n[code]),
    }


def _facts_by_name(level: str, panel: Panel) -> dict[str, dict[str, object]]:
    if level == "combination":
        return {name: {"combo_id": name} for name in panel.combos}
    first = panel.frame.group_by("essay_gen_id").agg(pl.col("combo_id").first(), pl.col("generator_model").first())
    return {row["essay_gen_id"]: row for row in first.to_dicts()}
