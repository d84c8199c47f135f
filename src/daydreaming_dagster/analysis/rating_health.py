"""Whether the ratings can be used at all: what is missing, what piles up at an end of the scale, what is repeated."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from daydreaming_dagster.analysis.estimates import (
    Estimate,
    estimate_from_sums,
    estimate_length_slope,
    estimate_share,
    join_notes,
    measure_length_spread,
    or_null,
)
from daydreaming_dagster.analysis.panels import Panel, build_panel
from daydreaming_dagster.analysis.ratings import select_rated
from daydreaming_dagster.analysis.schema import Schema, table_of_rows
from daydreaming_dagster.analysis.severity import estimate_severities
from daydreaming_dagster.analysis.statistics.bootstrap import (
    BoolArray,
    ClusterBootstrap,
    FloatArray,
    IntArray,
    as_codes,
)

_QUANTITIES = (
    "missing_share",
    "floor_share",
    "ceiling_share",
    "entropy_bits",
    "severity",
    "length_slope",
    "identical_replicate_share",
)

RATING_HEALTH_SCHEMA: Schema = {
    "construct": pl.String(),
    "evaluation_template": pl.String(),
    "judge_model": pl.String(),
    "n_asked": pl.Int64(),
    "n": pl.Int64(),
    "n_essays": pl.Int64(),
    "n_clusters": pl.Int64(),
    "failures": pl.String(),
    "mean": pl.Float64(),
    "points_used": pl.Int64(),
    "length_spread_words": pl.Float64(),
    **{name + end: pl.Float64() for name in _QUANTITIES for end in ("", "_low", "_high")},
    "note": pl.String(),
}
"""One row per construct, evaluation template and judge; 95 % intervals by cluster bootstrap over combinations.

- `n_asked` evaluations, of which `n` gave a rating; `failures` counts the others by reason.
- `floor_share`, `ceiling_share`: ratings at the worst and at the best end of the scale.
- `points_used`, `entropy_bits`: how many different values, and how evenly they are used (0 bits: always the same).
- `severity`: points above (lenient) or below (strict) the average evaluator of the same essays; null with one.
- `length_slope`: points per 100 words of the essay; null where four lengths in five are the same.
- `length_spread_words`: words between short and long essays, 10th to 90th percentile; where they are less than 100,
  `length_slope` is about essays longer or shorter than any, and `note` says what it makes over these words.
- `identical_replicate_share`: pairs of replicates that gave the same score; null without replicates.
"""


def build_rating_health(ratings: pl.DataFrame, draws: int = 1000) -> pl.DataFrame:
    """The health of each judge with each template; a judge who gave no rating at all has a row, too.

    Args:
        ratings: a frame of `RATINGS_LONG_SCHEMA`.
        draws: of the bootstrap.
    """
    asked = ratings.filter(
        *(pl.col(name).is_not_null() for name in ("construct", "evaluation_template", "judge_model"))
    )
    rows: list[dict[str, object]] = []
    for construct in sorted(asked["construct"].unique().to_list()):
        rows += _rows_of_construct(construct, asked.filter(pl.col("construct") == construct), draws)
    return table_of_rows(rows, RATING_HEALTH_SCHEMA)


def _rows_of_construct(construct: str, asked: pl.DataFrame, draws: int) -> Iterator[dict[str, object]]:
    rated = select_rated(asked)
    panel = build_panel(rated) if rated.height else None
    severity = estimate_severities(panel, draws) if panel else []
    places = {}
    if panel:
        names = [(panel.templates[template], panel.judges[judge]) for template, judge in panel.evaluators]
        places = {name: code for code, name in enumerate(names)}
    for (template, judge), group in sorted(asked.group_by("evaluation_template", "judge_model")):
        place = places.get((str(template), str(judge)))
        figures = {"missing_share": _missing_share(group, draws)}
        facts: dict[str, object] = {"n": 0, "n_essays": 0, "n_clusters": 0, "points_used": 0}
        if panel and place is not None:
            chosen = panel.evaluator == place
            figures |= _figures(panel, chosen, draws) | {"severity": severity[place]}
            facts = {
                "n": int(chosen.sum()),
                "n_essays": int(np.unique(panel.essay[chosen]).size),
                "n_clusters": panel.clusters_of(chosen),
                "mean": float(panel.value[chosen].mean()),
                "points_used": int(np.unique(panel.value[chosen]).size),
                "length_spread_words": or_null(measure_length_spread(panel.essay_words()[chosen])),
            }
        yield {
            "construct": construct,
            "evaluation_template": template,
            "judge_model": judge,
            "n_asked": group.height,
            "failures": _failures(group),
            **facts,
            **_flatten(figures),
        }


def _flatten(figures: dict[str, Estimate]) -> dict[str, object]:
    row: dict[str, object] = {}
    for name, figure in figures.items():
        row |= figure.columns(name)
    row["note"] = join_notes(*(figure.note for figure in figures.values())) or None
    return row


def _missing_share(group: pl.DataFrame, draws: int) -> Estimate:
    cluster, combos = as_codes(group.select(pl.coalesce("combo_id", "essay_gen_id", pl.lit(""))).to_series().to_numpy())
    missing = group["value"].is_null().to_numpy().astype(np.float64)
    return estimate_share(cluster, missing, np.ones_like(missing), ClusterBootstrap(combos.size, draws))


def _failures(group: pl.DataFrame) -> str | None:
    counts = group.filter(pl.col("parse_status") != "ok")["parse_status"].value_counts(sort=False).sort("parse_status")
    return "; ".join(f"{reason}: {count}" for reason, count in counts.rows()) or None


def _figures(panel: Panel, chosen: BoolArray, draws: int) -> dict[str, Estimate]:
    bootstrap = ClusterBootstrap(panel.n_clusters, draws)
    cluster, value = panel.combo[chosen], panel.value[chosen]
    low, high = (panel.frame[name].to_numpy()[chosen] for name in ("scale_min", "scale_max"))
    one = np.ones_like(value)

    levels, code = np.unique(value, return_inverse=True)
    used = np.zeros((value.size, levels.size))
    used[np.arange(value.size), code] = 1.0
    return {
        "floor_share": estimate_share(cluster, (value <= low) * one, one, bootstrap),
        "ceiling_share": estimate_share(cluster, (value >= high) * one, one, bootstrap),
        "entropy_bits": estimate_from_sums(cluster, used, _entropy, bootstrap, ""),
        "length_slope": estimate_length_slope(panel.essay_words()[chosen], value, cluster, bootstrap),
        "identical_replicate_share": _identical_share(panel, chosen, bootstrap),
    }


def _entropy(totals: FloatArray) -> FloatArray:
    share = totals / totals.sum(axis=-1, keepdims=True)
    return np.asarray(-(share * np.log2(np.where(share > 0, share, 1.0))).sum(axis=-1))


def _identical_share(panel: Panel, chosen: BoolArray, bootstrap: ClusterBootstrap) -> Estimate:
    """Over all pairs of replicates of one essay."""
    essay, value = panel.essay[chosen], panel.value[chosen]
    n_essays = len(panel.essays)
    levels, code = np.unique(value, return_inverse=True)
    same_value = np.bincount(essay * levels.size + code, minlength=n_essays * levels.size).reshape(n_essays, -1)
    ratings = same_value.sum(axis=1)
    pairs = _pairs(ratings)
    repeated = pairs > 0
    identical = _pairs(same_value).sum(axis=1)[repeated].astype(np.float64)
    return estimate_share(panel.essay_combo[repeated], identical, pairs[repeated].astype(np.float64), bootstrap)


def _pairs(count: IntArray) -> IntArray:
    return count * (count - 1) // 2
