"""Cohorts with known truth: what the statistics should find, and what they should not."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import polars as pl

from daydreaming_dagster.analysis.ratings import RATINGS_LONG_SCHEMA
from daydreaming_dagster.analysis.schema import to_schema


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is planted, in points of a 0-9 scale.

    Standard deviations: `combo` between combinations, `essay` between essays of one, `judge` severity, `interaction`
    of essay and judge, `template` and `essay_template` likewise, `noise` of a single rating. `self_preference` is
    added by judges to essays of their own family, `length_slope` per 100 words by every judge.
    """

    n_combos: int = 60
    essays_per_combo: int = 3
    judges: tuple[str, ...] = ("judge-a", "judge-b", "judge-c", "judge-d")
    families: dict[str, str] = field(default_factory=dict)
    generators: tuple[str, ...] = ("writer-a", "writer-b", "writer-c")
    generator_effects: dict[str, float] = field(default_factory=dict)
    templates: tuple[str, ...] = ("novelty-v1",)
    replicates: int = 1
    combo: float = 0.8
    essay: float = 0.6
    judge: float = 0.7
    interaction: float = 0.4
    template: float = 0.0
    noise: float = 0.5
    self_preference: dict[str, float] = field(default_factory=dict)
    length_slope: dict[str, float] = field(default_factory=dict)
    missing: float = 0.0
    rounded: bool = True
    construct: str = "novelty_judged"
    direction: str = "higher_is_better"
    seed: int = 0


def simulate_ratings(truth: Truth, combo_effects: np.ndarray | None = None) -> pl.DataFrame:
    """A long table of ratings made from the truth; `combo_effects` replaces the random ones."""
    rng = np.random.default_rng(truth.seed)
    n_essays = truth.n_combos * truth.essays_per_combo
    shape = (n_essays, len(truth.templates), len(truth.judges), truth.replicates)
    essay, template, judge, replicate = (axis.ravel() for axis in np.indices(shape))
    combo_of_essay = np.repeat(np.arange(truth.n_combos), truth.essays_per_combo)
    generator_of_essay = np.arange(n_essays) % truth.essays_per_combo % len(truth.generators)
    generator_names = np.array(truth.generators)
    effects = rng.normal(size=truth.n_combos) * truth.combo if combo_effects is None else combo_effects
    planted = np.array([truth.generator_effects.get(name, 0.0) for name in truth.generators])
    quality = effects[combo_of_essay] + rng.normal(size=n_essays) * truth.essay + planted[generator_of_essay]
    length = np.maximum(50, rng.normal(600, 150, n_essays)).astype(np.int64)
    value = 4.5 + quality[essay]
    value += (rng.normal(size=len(truth.judges)) * truth.judge)[judge]
    value += (rng.normal(size=len(truth.templates)) * truth.template)[template]
    value += (rng.normal(size=(n_essays, len(truth.judges))) * truth.interaction)[essay, judge]
    value += rng.normal(size=essay.size) * truth.noise
    judge_family = np.array([truth.families.get(name, f"family of {name}") for name in truth.judges])
    writer_family = np.array([truth.families.get(name, f"family of {name}") for name in truth.generators])
    own = judge_family[judge] == writer_family[generator_of_essay[essay]]
    value += np.array([truth.self_preference.get(name, 0.0) for name in truth.judges])[judge] * own
    slope = np.array([truth.length_slope.get(name, 0.0) for name in truth.judges])[judge]
    value += slope * (length[essay] - 600) / 100
    if truth.rounded:
        value = np.clip(np.round(value), 0, 9)
    absent = rng.random(essay.size) < truth.missing
    score = value if truth.direction == "higher_is_better" else 9 - value
    frame = pl.DataFrame(
        {
            "essay": essay,
            "combo": combo_of_essay[essay],
            "replicate": replicate + 1,
            "draft_template": "draft-A",
            "essay_template": "essay-X",
            "generator_model": generator_names[generator_of_essay[essay]],
            "generator_family": writer_family[generator_of_essay[essay]],
            "judge_model": np.array(truth.judges)[judge],
            "judge_family": judge_family[judge],
            "evaluation_template": np.array(truth.templates)[template],
            "score": score,
            "value": value,
            "essay_length_words": length[essay],
            "same_family": own,
            "absent": absent,
        }
    ).with_columns(
        pl.format("{}|v_{}", pl.lit(truth.construct), pl.int_range(pl.len())).alias("gen_id"),
        pl.format("e_{}", pl.col("essay").cast(pl.String).str.zfill(6)).alias("essay_gen_id"),
        pl.format("d_{}", pl.col("essay").cast(pl.String).str.zfill(6)).alias("draft_gen_id"),
        pl.format("combo_{}", pl.col("combo").cast(pl.String).str.zfill(5)).alias("combo_id"),
        pl.lit("cohort-1").alias("cohort_id"),
        pl.lit(None).alias("experiment_id"),
        pl.lit("sha").alias("template_sha256"),
        pl.lit(truth.construct).alias("construct"),
        pl.lit(truth.direction).alias("direction"),
        pl.lit(0.0).alias("scale_min"),
        pl.lit(9.0).alias("scale_max"),
        pl.when("absent").then(pl.lit("parse_failed")).otherwise(pl.lit("ok")).alias("parse_status"),
        pl.lit(1200).alias("prompt_tokens"),
        pl.lit(80).alias("completion_tokens"),
        pl.lit(0.0004).alias("cost_usd"),
        pl.lit("provider").alias("provider"),
    )
    gone = [pl.when(~pl.col("absent")).then(name).alias(name) for name in ("score", "value")]
    return to_schema(frame.with_columns(gone), RATINGS_LONG_SCHEMA)


def concept_pairs(n_concepts: int) -> pl.DataFrame:
    """Which concepts make up each combination of two: `combo_id`, `concept_id`; as many as `simulate_ratings` names."""
    rows = [
        (f"combo_{number:05d}", f"concept-{concept:02d}")
        for number, pair in enumerate(combinations(range(n_concepts), 2))
        for concept in pair
    ]
    return pl.DataFrame(rows, schema=["combo_id", "concept_id"], orient="row")
