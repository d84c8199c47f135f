"""Is A better than B: paired by concept combination, with an interval, a p value, and a plain no where nobody can tell.

Two sides are compared cell by cell: same combination, same evaluator, same templates and model except for what is
being compared; where both sides rated the same essays, by other judges or again later, essay by essay. Differences are
averaged within each combination first; the combinations are the units of everything that follows.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl

from daydreaming_dagster.analysis.estimates import FEW_CLUSTERS, join_notes, or_null
from daydreaming_dagster.analysis.ratings import select_rated
from daydreaming_dagster.analysis.schema import Schema, table_of_rows
from daydreaming_dagster.analysis.statistics.additive import fit_additive
from daydreaming_dagster.analysis.statistics.bootstrap import (
    MIN_CLUSTERS,
    ClusterBootstrap,
    FloatArray,
    as_codes,
    percentile_interval,
)
from daydreaming_dagster.analysis.statistics.multiplicity import adjust_holm
from daydreaming_dagster.analysis.statistics.permutation import compute_label_swap_p, compute_sign_flip_p
from daydreaming_dagster.utils.wording import show_count

COMPARISON_SCHEMA: Schema = {
    "construct": pl.String(),
    "a": pl.String(),
    "b": pl.String(),
    "is_comparable": pl.Boolean(),
    "design": pl.String(),
    "effect": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "mean_a": pl.Float64(),
    "mean_b": pl.Float64(),
    "p": pl.Float64(),
    "p_holm": pl.Float64(),
    "margin": pl.Float64(),
    "is_equivalent": pl.Boolean(),
    "n_a": pl.Int64(),
    "n_b": pl.Int64(),
    "n_clusters": pl.Int64(),
    "note": pl.String(),
}
"""One row per construct and pair of sides; points, more is better.

- `effect`: mean of A less mean of B, every combination counting the same; 95 % interval by cluster bootstrap.
- `design`: over the `n_clusters` combinations that both sides have, `paired_by_essay` where they rated the same essays
  and `paired` where they did not; `unpaired` where they share no combination. Ratings of both sides are left out.
- `p`: by permutation; `p_holm` adjusted for all rows that were asked for together.
- `is_equivalent`: whether the 90 % interval lies within ± `margin` (two one-sided tests at 5 %); null without a margin.
- `n_a`, `n_b`: ratings that went in. Where `is_comparable` is false, `note` says why and there is no number.
"""

ARM = ("draft_template", "essay_template", "generator_model")
EVALUATOR = ("evaluation_template", "judge_model")
COMPARABLE_COLUMNS = ("cohort_id", "experiment_id", *ARM, "generator_family", *EVALUATOR, "judge_family")
"""Columns of the ratings by whose values sides can be chosen."""

_MUCH_CHOSEN = 0.5
"""Standard deviations between essays in common and the others from which on they count as chosen."""
_CHANCE = 2.0
"""Standard errors up to which such a difference may be chance: the others can be those few that a judge failed on."""

_IMPLIED = {"generator_family": ("generator_model",), "judge_family": ("judge_model",)}


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison.

    Attributes:
        label: how it is called in the table.
        ratings: a frame of `RATINGS_LONG_SCHEMA`.
    """

    label: str
    ratings: pl.DataFrame


def compare_levels(
    ratings: pl.DataFrame,
    column: str,
    pairs: Iterable[tuple[str, str]] | None = None,
    margin: float | None = None,
    draws: int = 1000,
) -> pl.DataFrame:
    """Compares values of a column of the ratings with each other; see `COMPARISON_SCHEMA`.

    Args:
        ratings: a frame of `RATINGS_LONG_SCHEMA`.
        column: one of `COMPARABLE_COLUMNS`.
        pairs: the values to compare; None compares all with all.
        margin: how many points count as no difference.
        draws: of the bootstrap.
    """
    if pairs is None:
        pairs = combinations(sorted(ratings[column].drop_nulls().unique().to_list()), 2)
    sides = [(_side(ratings, column, a), _side(ratings, column, b)) for a, b in pairs]
    varying = (column, *_IMPLIED.get(column, ()))
    return compare_sides(sides, varying=varying, margin=margin, draws=draws)


def compare(a: Side, b: Side, margin: float | None = None, draws: int = 1000) -> pl.DataFrame:
    """Compares any two sets of ratings, a row per construct; see `COMPARISON_SCHEMA`."""
    return compare_sides([(a, b)], margin=margin, draws=draws)


def compare_sides(
    sides: Sequence[tuple[Side, Side]],
    varying: Collection[str] = (),
    margin: float | None = None,
    draws: int = 1000,
) -> pl.DataFrame:
    """Compares several pairs of sides that were asked for together, so that p values are adjusted for all of them.

    Args:
        sides: pairs of A and B.
        varying: columns that are being compared, which A and B therefore do not have to share.
        margin: how many points count as no difference.
        draws: of the bootstrap.
    """
    rows = [row for a, b in sides for row in _compare_pair(a, b, tuple(varying), margin, draws)]
    p = np.array([row["p"] if isinstance(row["p"], float) else math.nan for row in rows])
    for row, adjusted in zip(rows, adjust_holm(p), strict=True):
        row["p_holm"] = or_null(float(adjusted))
    return table_of_rows(rows, COMPARISON_SCHEMA)


def _side(ratings: pl.DataFrame, column: str, value: str) -> Side:
    return Side(str(value), ratings.filter(pl.col(column) == value))


def _compare_pair(
    a: Side, b: Side, varying: tuple[str, ...], margin: float | None, draws: int
) -> list[dict[str, object]]:
    both = a.ratings.select("gen_id").join(b.ratings.select("gen_id"), on="gen_id", how="semi")
    rated = [select_rated(side.ratings).join(both, on="gen_id", how="anti") for side in (a, b)]
    measured = [set(frame["construct"].unique().to_list()) for frame in rated]
    names: dict[str, object] = {"a": a.label, "b": b.label, "margin": margin}
    if measured[0].isdisjoint(measured[1]):
        note = f"not comparable because {_why_no_construct(a, b, measured, both.height)}"
        return [{**names, "construct": None, "is_comparable": False, "p": None, "note": note}]
    rows = []
    for construct in sorted(measured[0] | measured[1]):
        row: dict[str, object] = {**names, "construct": construct, "is_comparable": False, "p": None}
        sides = [frame.filter(pl.col("construct") == construct) for frame in rated]
        for side, frame, has in zip("ab", sides, measured, strict=True):
            row[f"n_{side}"] = frame.height
            if construct not in has:
                label = a.label if side == "a" else b.label
                row["note"] = f"not comparable because {label} has no ratings of {construct}"
        if construct in measured[0] & measured[1]:
            row |= _compare_on(sides[0], sides[1], varying, margin, draws)
        rows.append(row)
    return rows


def _why_no_construct(a: Side, b: Side, measured: list[set[str]], n_both: int) -> str:
    empty = [side.label for side, has in zip((a, b), measured, strict=True) if not has]
    if empty and n_both:
        other = b.label if empty[0] == a.label else a.label
        return f"no rating of {empty[0]} is its own: {other} has them, too"
    if empty:
        return f"{' and '.join(dict.fromkeys(empty))} {'has' if len(empty) == 1 else 'have'} no ratings"
    lists = [", ".join(sorted(has)) for has in measured]
    return f"they measure different things: {a.label} is about {lists[0]}, {b.label} about {lists[1]}"


def _compare_on(
    a: pl.DataFrame, b: pl.DataFrame, varying: tuple[str, ...], margin: float | None, draws: int
) -> dict[str, object]:
    """The comparison on one construct that both sides have."""
    evaluator = [name for name in EVALUATOR if name not in varying]
    if not _shares(a, b, evaluator):
        judges = " against ".join(", ".join(sorted(map(str, _values(side, "judge_model")))) for side in (a, b))
        return {"note": f"not comparable because no evaluator rated both sides (judges: {judges})"}
    # What both rated is compared essay by essay; ways of writing, which share no essay, on the same combination.
    judging = len(evaluator) < len(EVALUATOR) or _shares(a, b, ["essay_gen_id", *evaluator])
    place = ["essay_gen_id"] if judging else ["combo_id"]
    arm = [name for name in ARM if name not in varying and not judging]
    differing = [name for name in arm if _values(a, name).isdisjoint(_values(b, name))]
    keys = [*place, *evaluator, *(name for name in arm if name not in differing)]
    cells = _mean_cells(a, keys).join(_mean_cells(b, keys), on=keys, suffix="_b", nulls_equal=True)
    also = f"they also differ in {' and '.join(differing)}, which may be the reason" if differing else ""
    note = join_notes(also, _note_texts(a, b))
    if cells.height == 0:
        if judging:
            return {"note": "not comparable because no essay was rated by both"}
        return _unpaired(a, b, evaluator, margin, draws, note)
    by_combo = (
        cells.group_by(pl.coalesce("combo", "essay").alias("combo"))
        .agg(pl.col("value").mean(), pl.col("value_b").mean(), pl.col("n").sum(), pl.col("n_b").sum())
        .sort("combo")
    )
    used = int(by_combo["n"].sum()) + int(by_combo["n_b"].sum())
    without = a.height + b.height - used
    left_out = f"{show_count(without, 'rating')} without a counterpart left out" if without else ""
    chosen = join_notes(*(_note_choice(side, cells) for side in (a, b))) if judging else ""
    design = "paired_by_essay" if judging else "paired"
    return {"design": design} | _paired(by_combo, margin, draws, join_notes(note, left_out, chosen))


def _note_texts(a: pl.DataFrame, b: pl.DataFrame) -> str:
    """That a rubric was sent with other texts to one side than to the other."""
    texts = [
        frame.drop_nulls("template_sha256").group_by("evaluation_template").agg(pl.col("template_sha256").unique())
        for frame in (a, b)
    ]
    sent = [{name: set(found) for name, found in frame.iter_rows()} for frame in texts]
    edited = sorted(name for name in sent[0].keys() & sent[1].keys() if sent[0][name] != sent[1][name])
    return f"the text of {' and '.join(edited)} is not the same for both, which may be the reason" if edited else ""


def _note_choice(side: pl.DataFrame, cells: pl.DataFrame) -> str:
    """That the essays in common are the best or the worst of a side: chosen so, they look more so than they are."""
    essays = side.group_by("essay_gen_id").agg(pl.col("value").mean())
    common = essays.join(cells.select(essay_gen_id="essay"), on="essay_gen_id", how="semi")["value"]
    rest = essays.join(cells.select(essay_gen_id="essay"), on="essay_gen_id", how="anti")["value"]
    spread = essays["value"].std()
    if common.is_empty() or rest.is_empty() or not isinstance(spread, float):
        return ""
    mean, others = float(common.to_numpy().mean()), float(rest.to_numpy().mean())
    error = spread * math.sqrt(1 / common.len() + 1 / rest.len())
    if abs(mean - others) <= max(_MUCH_CHOSEN * spread, _CHANCE * error):
        return ""
    return (
        f"the essays in common had {mean:.2f} on one side, its others {others:.2f}: if they were chosen for that, part "
        "of the difference is chance that does not come again"
    )


def _values(frame: pl.DataFrame, column: str) -> set[object]:
    return set(frame[column].unique().to_list())


def _shares(a: pl.DataFrame, b: pl.DataFrame, columns: list[str]) -> bool:
    return not columns or a.select(columns).unique().join(b.select(columns).unique(), on=columns).height > 0


def _mean_cells(frame: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Mean over what lies in one cell: first replicates of one rating, then essays."""
    one = [*dict.fromkeys([*keys, "essay_gen_id", *EVALUATOR])]
    combo = frame.with_columns(combo=pl.col("combo_id"), essay=pl.col("essay_gen_id"))
    essays = combo.group_by(one).agg(
        pl.col("combo").first(), pl.col("essay").first(), pl.col("value").mean(), pl.len().alias("n")
    )
    return essays.group_by(keys).agg(
        pl.col("combo").first(), pl.col("essay").first(), pl.col("value").mean(), pl.col("n").sum().cast(pl.Int64)
    )


def _paired(by_combo: pl.DataFrame, margin: float | None, draws: int, note: str) -> dict[str, object]:
    mean_a, mean_b = (by_combo[name].to_numpy() for name in ("value", "value_b"))
    difference = mean_a - mean_b
    n = difference.size
    drawn = ClusterBootstrap(n, draws).draw_sums(difference[:, None])[:, 0] / n
    return {
        "mean_a": float(mean_a.mean()),
        "mean_b": float(mean_b.mean()),
        "p": or_null(compute_sign_flip_p(difference)),
        "n_a": int(by_combo["n"].sum()),
        "n_b": int(by_combo["n_b"].sum()),
        **_effect(float(difference.mean()), drawn, n, n, margin, note),
    }


def _unpaired(
    a: pl.DataFrame, b: pl.DataFrame, evaluator: list[str], margin: float | None, draws: int, note: str
) -> dict[str, object]:
    """Means of combinations that only one side has, with the evaluators' severity taken out."""
    shared = a.select(evaluator).unique().join(b.select(evaluator).unique(), on=evaluator)
    sides = [frame.join(shared, on=evaluator, how="semi") for frame in (a, b)]
    keys = ["combo_id", *evaluator]
    cells = pl.concat(
        [_mean_cells(frame, keys).with_columns(side=pl.lit(side)) for side, frame in zip("ab", sides, strict=True)]
    ).with_columns(unit=pl.format("{}|{}", "side", pl.coalesce("combo", "essay")))
    unit, units = as_codes(cells["unit"].to_numpy().astype(str))
    judge_name = cells.select(pl.concat_str(evaluator, separator="\x1f")).to_series()
    judge, judges = as_codes(judge_name.to_numpy().astype(str))
    fit = fit_additive(unit, judge, cells["value"].to_numpy(), units.size, judges.size)
    in_a = np.array([str(name).startswith("a|") for name in units])
    value_a, value_b = fit.row[in_a], fit.row[~in_a]
    drawn = [
        ClusterBootstrap(value.size, draws, seed=seed).draw_sums(value[:, None])[:, 0] / value.size
        for seed, value in enumerate((value_a, value_b))
    ]
    smaller = min(value_a.size, value_b.size)
    note = join_notes("unpaired: no combination in common", note)
    return {
        "design": "unpaired",
        "mean_a": float(value_a.mean()),
        "mean_b": float(value_b.mean()),
        "p": or_null(compute_label_swap_p(value_a, value_b)),
        "n_a": sides[0].height,
        "n_b": sides[1].height,
        **_effect(float(value_a.mean() - value_b.mean()), drawn[0] - drawn[1], smaller, units.size, margin, note),
    }


def _effect(
    effect: float, drawn: FloatArray, n_independent: int, n_clusters: int, margin: float | None, note: str
) -> dict[str, object]:
    low, high = percentile_interval(drawn, n_independent)
    inner_low, inner_high = percentile_interval(drawn, n_independent, level=0.9)
    few = FEW_CLUSTERS if n_independent < MIN_CLUSTERS else ""
    within = None
    if margin is not None and math.isfinite(inner_low):
        within = -margin < inner_low and inner_high < margin
    return {
        "is_comparable": True,
        "effect": effect,
        "low": or_null(low),
        "high": or_null(high),
        "is_equivalent": within,
        "n_clusters": n_clusters,
        "note": join_notes(note, few) or None,
    }
