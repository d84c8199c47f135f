"""The parts of a report that say what was run, what it cost, and how sound the ratings are as data."""

from __future__ import annotations

from typing import Any

import polars as pl

from daydreaming_dagster.analysis.estimates import PER_WORDS
from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.experiments.report_document import Bullets, Facts, Grid, Paragraph, Section
from daydreaming_dagster.experiments.report_material import Material, count_without_essay
from daydreaming_dagster.experiments.report_wording import (
    join_words,
    name_reason,
    show_interval,
    show_length_slope,
    show_number,
    show_share,
    show_usd,
)
from daydreaming_dagster.experiments.template_texts import find_mixed, show_sha256
from daydreaming_dagster.store import files
from daydreaming_dagster.store.states import Status
from daydreaming_dagster.utils.wording import show_count

_SHOWN_COMBINATIONS = 100
_SHOWN_RUNS = 10
_FORECAST = {"calls": "calls", "tokens": "tokens", "cost_usd": "cost, USD", "seconds": "seconds"}
_DIGITS = {"cost_usd": 4, "seconds": 1}
_WHAT_THIS_IS = (
    "Concepts are combined. Models, the writers, make drafts and essays of each combination; models, the judges, rate "
    "the essays on rubrics. What each of them was asked stands in a template, named below."
)


def build_run_section(material: Material) -> Section:
    """What was run: when, from what, by which models, and how far it came."""
    scope, manifest = material.scope, material.scope.manifest
    pairs: list[tuple[str, str]] = [(scope.kind, scope.name)]
    if scope.kind == "experiment":
        pairs.append(("cohorts", ", ".join(scope.cohort_ids) or "none"))
    if manifest.get("created_at"):
        pairs.append(
            (
                "cohort built",
                f"{_show_time(str(manifest['created_at']))}, version {manifest.get('package_version', 'unknown')}",
            )
        )
    mode = (manifest.get("membership") or {}).get("mode")
    if mode:
        pairs.append(("mode", str(mode)))
    if material.times.first and material.times.last:
        pairs.append(("models called", f"{_show_time(material.times.first)} to {_show_time(material.times.last)}"))
    pairs.append(("combinations", _describe_combinations(material)))
    for stage in Stage:
        templates = sorted({member.template_id for member in scope.of_stage(stage)})
        kind = "rubrics (evaluation templates)" if stage is Stage.EVALUATION else f"{stage} templates"
        pairs.append((kind, ", ".join(templates) or "none"))
    pairs.append(("writers", _describe_models(material, Stage.DRAFT, Stage.ESSAY)))
    pairs.append(("judges", _describe_models(material, Stage.EVALUATION)))
    return Section("What was run", [Paragraph(_WHAT_THIS_IS), Facts(pairs), _build_progress(material)])


def build_combination_section(material: Material) -> Section:
    """Which concepts went together."""
    return Section("Combinations", [_build_combinations(material)])


def build_cost_section(material: Material) -> Section:
    """Calls, tokens and money by stage and model."""
    budget = material.table("budget")
    total = budget.filter(pl.col("level") == "total")
    if total.is_empty():
        return Section("Cost", [Paragraph("No model was called.")])
    row = total.row(0, named=True)
    untold = _describe_untold(row["unknown_tokens_at_most"])
    sentence = (
        f"{show_count(row['calls'], 'call')} ({row['failed_calls']} of them without a usable answer) used "
        f"{row['prompt_tokens'] or 0:,} prompt and {row['completion_tokens'] or 0:,} completion tokens{untold} "
        f"and cost {show_usd(row['cost_usd'])}{_describe_unknown(row)}."
    )
    blocks: list[Paragraph | Grid] = [Paragraph(sentence), Paragraph(_describe_ideas(row, material))]
    several = budget.filter(pl.col("level") == "model").group_by("stage").len().filter(pl.col("len") > 1)["stage"]
    shown = (pl.col("level") == "model") | ((pl.col("level") == "stage") & pl.col("stage").is_in(several.to_list()))
    rows = budget.filter(shown).sort(
        pl.col("stage").replace_strict({str(stage): at for at, stage in enumerate(Stage)}, return_dtype=pl.Int64),
        pl.col("llm_model_id"),
        nulls_last=False,
    )
    blocks += _compare_forecasts(material)
    blocks.append(
        Grid(
            "Calls by stage and model; seconds are added up over calls that may have run side by side.",
            ("stage", "model", "calls", "failed", "prompt tokens", "completion tokens", "cost", "seconds"),
            [_budget_cells(part) for part in rows.iter_rows(named=True)],
            n_text=2,
        )
    )
    return Section("Cost", blocks)


def build_health_section(material: Material) -> Section:
    """Whether the ratings can be used at all."""
    health = material.table("rating_health")
    ratings = material.ratings
    if ratings.is_empty():
        return Section("Data health", [Paragraph("No evaluation was asked for: there is nothing to judge by.")])
    given = ratings["value"].count()
    lead = f"{given:,} of {ratings.height:,} ratings are there."
    failures = ratings.filter(pl.col("value").is_null())["parse_status"].value_counts(sort=True).rows()
    blocks: list[Paragraph | Grid | Bullets] = [Paragraph(lead, is_lead=True)]
    if failures:
        waiting = count_without_essay(material)
        note = {"not_made": f"; for {waiting:,} of them there is no essay to judge"} if waiting else {}
        lines = [f"{count:,} without a score: {name_reason(why)}{note.get(why, '')}" for why, count in failures]
        blocks.append(Bullets(lines))
    rows = health.to_dicts()
    blocks.append(
        Grid(
            "Ratings by judge and rubric. Top, bottom: share at the ends of the scale. Bits: how evenly the points of "
            "the scale are used (0: always the same point).",
            ("rubric", "judge", "rated", "missing", "mean", "top", "bottom", "points used", "bits"),
            [_use_of_scale_cells(row) for row in rows],
            n_text=2,
        )
    )
    blocks += _build_texts(material)
    blocks.append(_build_leanings(material, rows))
    blocks += _build_favours(material)
    return Section("Data health", blocks)


def _build_leanings(material: Material, rows: list[dict[str, Any]]) -> Grid:
    replicated = any(row["identical_replicate_share"] is not None for row in rows)
    words: list[int] = material.rated["essay_length_words"].drop_nulls().to_list()
    ends = "" if not words else f"{min(words)}" if min(words) == max(words) else f"{min(words)} to {max(words)}"
    lengths = f"; these essays have {ends} words" if words else ""
    if any((row["length_spread_words"] or PER_WORDS) < PER_WORDS for row in rows):
        lengths += "; where the 10th and the 90th percentile are nearer than that, over the words between them"
    alike = " Alike: share of the pairs of replicates that gave the same score." if replicated else ""
    return Grid(
        "Leanings of the judges, with 95 % intervals over combinations. Severity: points above (lenient) or below "
        f"(strict) the average evaluator of the same essays. Length: points more per {PER_WORDS} words of essay"
        f"{lengths}.{alike}",
        ("rubric", "judge", "severity", "length", *(["alike"] * replicated), "combinations"),
        [_leaning_cells(row, replicated=replicated) for row in rows],
        n_text=2,
    )


def _build_favours(material: Material) -> list[Grid]:
    """What judges give their own family beyond what others give it, where that can be told."""
    card = material.table("judge_card").filter(pl.col("quantity") == "self_preference")
    rows = [
        (row["construct"], row["judge_model"], show_interval(row["estimate"], row["low"], row["high"]), str(row["n"]))
        for row in card.filter(pl.col("estimate").is_not_null()).iter_rows(named=True)
    ]
    caption = (
        "Own family: points more that a judge gives writers of its own family than others, each compared with what "
        "judges unrelated to the writer gave the same essay."
    )
    return [Grid(caption, ("construct", "judge", "own family", "ratings"), rows, n_text=2)] if rows else []


def _build_texts(material: Material) -> list[Grid]:
    """The ratings apart by the text of the rubric, where more than one was sent."""
    mixed = find_mixed(material.texts_sent).filter(pl.col("stage") == Stage.EVALUATION)
    if mixed.is_empty():
        return []
    today = set(mixed.filter("is_today")["template_sha256"].to_list())
    keys = ["evaluation_template", "template_sha256", "judge_model"]
    apart = material.rated.join(mixed, left_on="evaluation_template", right_on="template_id", how="semi")
    means = apart.group_by(keys).agg(pl.len(), pl.col("value").mean()).sort(keys, nulls_last=True)
    rows = [
        (rubric, f"{show_sha256(sha)}{' (today)' if sha in today else ''}", judge, str(n), show_number(mean))
        for rubric, sha, judge, n, mean in means.iter_rows()
    ]
    caption = "Ratings by the text of the rubric that was sent (SHA-256), where there was more than one."
    return [Grid(caption, ("rubric", "text", "judge", "rated", "mean"), rows, n_text=3)]


def _compare_forecasts(material: Material) -> list[Paragraph | Grid]:
    """What each run of these cohorts was expected to take, and what it took."""
    rows = []
    for record in _read_forecasts(material):
        for name, found in (record.get("compared") or {}).items():
            expected, truth = found.get("expected") or {}, found.get("truth")
            if truth is None or expected.get("expected") is None:
                continue
            free = name == "cost_usd" and truth == 0 and expected["expected"] == 0
            digits = 0 if free else _DIGITS.get(name, 0)
            interval = show_interval(expected["expected"], expected.get("low"), expected.get("high"), digits)
            inside = "yes" if found.get("inside") else "no"
            came = show_number(truth, digits)
            rows.append((str(record.get("run_id"))[:8], _FORECAST.get(name, name), interval, came, inside))
    if not rows:
        return [Paragraph("No forecast was kept for these runs.")]
    caption = "What was expected of each run before its first call, with a 90 % interval, and what came of it."
    return [Grid(caption, ("run", "of what", "forecast [90\u00a0%]", "came", "within"), rows, n_text=2)]


def _read_forecasts(material: Material) -> list[dict[str, Any]]:
    """The kept forecasts of the scope's cohorts, oldest first; damaged files are passed over."""
    found = []
    for path in sorted(material.workspace.paths.forecasts.glob("*.json")):
        try:
            record = files.find_json(path)
        except StoreError:
            continue
        if record is not None and record.get("cohort_id") in material.scope.cohort_ids:
            found.append(record)
    return sorted(found, key=lambda record: float(record.get("ended_at") or 0))[-_SHOWN_RUNS:]


def _use_of_scale_cells(row: dict[str, Any]) -> tuple[str, ...]:
    missing = row["n_asked"] - row["n"]
    return (
        row["evaluation_template"],
        row["judge_model"],
        f"{row['n']} of {row['n_asked']}",
        f"{missing} ({show_share(row['missing_share'])})" if missing else "0",
        show_number(row["mean"]),
        show_share(row["ceiling_share"]),
        show_share(row["floor_share"]),
        "–" if row["points_used"] is None else str(row["points_used"]),
        show_number(row["entropy_bits"], 1),
    )


def _leaning_cells(row: dict[str, Any], *, replicated: bool) -> tuple[str, ...]:
    return (
        row["evaluation_template"],
        row["judge_model"],
        show_interval(row["severity"], row["severity_low"], row["severity_high"]),
        show_length_slope(row),
        *([show_share(row["identical_replicate_share"])] * replicated),
        str(row["n_clusters"]),
    )


def _describe_ideas(row: dict[str, Any], material: Material) -> str:
    rubrics = material.workspace.catalogue.active_templates(Stage.EVALUATION)
    if not rubrics:
        return "Whether an essay counts as an accepted idea is not known: no rubric is active."
    first = rubrics[0].construct or rubrics[0].template_id
    if first not in material.constructs:
        return f"No essay counts as an accepted idea: none was rated on {first}, the first active rubric's construct."
    least = "7/9 of the scale or more (the estimate after shrinkage; the mean where there is no estimate)"
    ideas, each = row["accepted_ideas"], show_usd(row["cost_usd_per_accepted_idea"])
    if not ideas:
        return f"No essay counts as an accepted idea: none has on {first} {least}."
    which = "1 essay counts as an accepted idea" if ideas == 1 else f"{ideas:,} essays count as accepted ideas"
    return f"{which}, having on {first} {least}: all calls together cost {each} for {'it' if ideas == 1 else 'each'}."


def _describe_untold(most: int | None) -> str:
    """The tokens of calls that told none: lost ones, and those of providers that do not count."""
    if most == 0:
        return ""
    more = "an unknown number of tokens" if most is None else f"up to {most:,} more,"
    return f" (and {more} of calls that told none)"


def _describe_unknown(row: dict[str, Any]) -> str:
    if not row["calls_of_unknown_cost"]:
        return ""
    most = row["unknown_cost_usd_at_most"]
    more = "an unknown amount" if most is None else f"up to {show_usd(most)}"
    return f", besides {more} for {show_count(row['calls_of_unknown_cost'], 'call')} of unknown cost"


def _budget_cells(row: dict[str, Any]) -> tuple[str, ...]:
    cost = show_usd(row["cost_usd"])
    if row["calls_of_unknown_cost"] and row["cost_usd"] is not None:
        most = row["unknown_cost_usd_at_most"]
        cost += f" + {row['calls_of_unknown_cost']} unknown" + ("" if most is None else f" (≤ {show_usd(most)})")
    return (
        row["stage"] or "",
        row["llm_model_id"] or "all",
        f"{row['calls']:,}",
        f"{row['failed_calls']:,}",
        f"{row['prompt_tokens'] or 0:,}",
        f"{row['completion_tokens'] or 0:,}",
        cost,
        show_number(row["duration_s"], 0),
    )


def _describe_combinations(material: Material) -> str:
    combinations = material.scope.combinations.values()
    used = {member.combo_id for member in material.scope.members if member.combo_id}
    if not used:
        return "none"
    concepts = {concept for combination in combinations for concept in combination.concept_ids}
    sizes = sorted({len(combination.concept_ids) for combination in combinations})
    levels = sorted({combination.description_level for combination in combinations})
    if not combinations:
        return f"{len(used):,}"
    of = f"{join_words([str(size) for size in sizes], 'or')} out of {show_count(len(concepts), 'concept')}"
    return f"{len(used):,}, each of {of}, described by {join_words(levels, 'or')}"


def _describe_models(material: Material, *stages: Stage) -> str:
    ids = sorted({member.llm_model_id for member in material.scope.members if member.stage in stages})
    models = material.workspace.catalogue.models
    words = []
    for model_id in ids:
        facts = []
        model = models.get(model_id)
        asked = model.model if model else ""
        other = sorted(material.times.answered.get(model_id, frozenset()) - {asked})
        if model and model.family:
            facts.append(f"family {model.family}")
        facts += [f"answered as {name}" for name in other]
        words.append(f"{model_id} ({', '.join(facts)})" if facts else model_id)
    return ", ".join(words) or "none"


def _build_progress(material: Material) -> Grid:
    rows = []
    for stage in material.status.stages:
        counts = stage.counts
        reasons = ", ".join(f"{count} {reason}" for reason, count in stage.failures.most_common())
        rows.append(
            (
                f"{stage.stage}s",
                reasons or "–",
                f"{stage.total:,}",
                f"{counts[Status.DONE]:,}",
                f"{counts[Status.FAILED]:,}",
                f"{counts[Status.UNPARSED] + counts[Status.MISSING]:,}",
            )
        )
    return Grid(
        "How far it came.", ("stage", "reasons of failures", "asked for", "done", "failed", "not made"), rows, n_text=2
    )


def _build_combinations(material: Material) -> Grid:
    combinations = list(material.scope.combinations.values())
    concepts = material.workspace.catalogue.concepts
    shown = combinations[:_SHOWN_COMBINATIONS]
    rows = [
        (
            combination.combo_id,
            " + ".join(
                concepts[concept].name if concept in concepts else concept for concept in combination.concept_ids
            ),
        )
        for combination in shown
    ]
    more = "" if len(shown) == len(combinations) else f" The first {len(shown)} of {len(combinations):,}."
    return Grid(f"Which concepts went together.{more}", ("combination", "concepts"), rows, n_text=2)


def _show_time(text: str) -> str:
    """`2026-11-22T20:56:26.123+00:00` as `2026-11-22 20:56 UTC`; other forms as they are."""
    return f"{text[:10]} {text[11:16]} UTC" if len(text) >= 16 and text[10] == "T" else text
