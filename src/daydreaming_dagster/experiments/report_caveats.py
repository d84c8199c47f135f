"""What a reader must know before believing a number of this run: every sentence follows from its data."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl

from daydreaming_dagster.analysis.comparison import ARM
from daydreaming_dagster.analysis.estimates import PER_WORDS
from daydreaming_dagster.domain.manifest import build_frozen_part, describe_changes
from daydreaming_dagster.domain.stages import Stage
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
from daydreaming_dagster.experiments.template_texts import describe_texts
from daydreaming_dagster.store.states import Status
from daydreaming_dagster.utils.wording import show_count

FEW_COMBINATIONS = 10
MUCH_MISSING = 0.05
UNEVEN_MISSING = 0.10
MUCH_AT_THE_END = 0.25
_SHOWN_CHANGES = 6


def find_caveats(material: Material) -> list[str]:
    """The caveats that apply to this run, the gravest first."""
    finders: tuple[Callable[[Material], Iterator[str]], ...] = (
        _invented,
        _embedded,
        _unfinished,
        _older_texts,
        _missing,
        _uneven_missing,
        _one_judge,
        _low_agreement,
        _own_family,
        _few_combinations,
        _ends_of_scale,
        _all_equal,
        _length,
        _same_replicates,
        _undeclared,
        _unknown_cost,
        _changed_inputs,
    )
    return [sentence for find in finders for sentence in find(material)]


def _invented(material: Material) -> Iterator[str]:
    if material.data.calls.is_empty():
        return
    writers = material.kinds_of_models("generator_model").get("scripted", [])
    judges = material.kinds_of_models("judge_model").get("scripted", [])
    if writers or judges:
        parts = ["texts" if writers else "", "scores" if judges else ""]
        yield (
            f"The {join_words([part for part in parts if part])} of this run were made up by a script in place of "
            f"{join_words(sorted({*writers, *judges}))}. It shows that the machinery works; nothing in it says "
            "anything about these models, the templates or the concepts."
        )


def _embedded(material: Material) -> Iterator[str]:
    judges = material.kinds_of_models("judge_model").get("embedded", [])
    writers = material.kinds_of_models("generator_model").get("embedded", [])
    if judges:
        yield (
            f"Judging was done by {join_words(judges)}, a very small model that runs inside this program. It shows the "
            "machinery and has no judgement: do not draw conclusions from its scores."
        )
    if writers:
        yield f"Essays were written by {join_words(writers)}, a very small model that runs inside this program."


def _unfinished(material: Material) -> Iterator[str]:
    for stage in material.status.stages:
        done = stage.counts[Status.DONE]
        if done < stage.total:
            reasons = [f"{count} {name_reason(reason)}" for reason, count in stage.failures.most_common()]
            not_made = stage.counts[Status.MISSING]
            unread = stage.counts[Status.UNPARSED]
            parts = [f"failed: {', '.join(reasons)}"] * bool(reasons)
            parts += [f"answered, but not read yet: {unread:,}"] * bool(unread) + [f"not made: {not_made:,}"] * bool(
                not_made
            )
            left = stage.total - done
            text = f"{left:,} of {show_count(stage.total, stage.stage)} {'is' if left == 1 else 'are'} not done"
            waiting = count_without_essay(material) if stage.stage is Stage.EVALUATION else 0
            of_them = "all" if waiting == not_made else f"{waiting:,} of them"
            because = f", {of_them} because there is no essay to judge" if waiting else ""
            yield f"{'; '.join([text, *parts])}{because}."


def _older_texts(material: Material) -> Iterator[str]:
    yield from describe_texts(material.texts_sent)


def _missing(material: Material) -> Iterator[str]:
    ratings = material.ratings
    asked, missing = ratings.height, ratings["value"].null_count()
    if asked and missing == asked:
        yield f"All {asked:,} ratings are missing, so that nothing can be said about any essay."
    elif asked and missing / asked > MUCH_MISSING:
        yield (
            f"{show_share(missing / asked)} of the ratings are missing ({missing} of {asked}). If they are missing for "
            "a reason that has to do with the essays, every mean below is off by an amount that nobody can know."
        )


def _uneven_missing(material: Material) -> Iterator[str]:
    for column in (*ARM, "judge_model", "evaluation_template"):
        shares = (
            material.ratings.filter(pl.col(column).is_not_null(), pl.col("parse_status") != "scale_unknown")
            .group_by(column)
            .agg(pl.col("value").is_null().mean().alias("share"), pl.len().alias("n"))
            .filter(pl.col("n") >= 10)
            .sort("share", column)
        )
        if shares.height < 2:
            continue
        least, most = shares.row(0, named=True), shares.row(-1, named=True)
        if most["share"] - least["share"] >= UNEVEN_MISSING:
            yield (
                f"Ratings are not missing at random: of {column.replace('_', ' ')} {most[column]} "
                f"{show_share(most['share'])} are missing, of {least[column]} {show_share(least['share'])}. Means that "
                "compare the two are means over different essays."
            )


def _one_judge(material: Material) -> Iterator[str]:
    judges = material.rated.group_by("construct").agg(pl.col("judge_model").n_unique().alias("n"))
    alone = sorted(judges.filter(pl.col("n") == 1)["construct"].to_list())
    if alone:
        yield (
            f"Only one judge rated {join_words(alone)}. How far another judge would agree is unknown, and every "
            "interval leaves that uncertainty out."
        )


def _low_agreement(material: Material) -> Iterator[str]:
    alphas = material.table("agreement").filter(pl.col("statistic") == "krippendorff_alpha_ordinal")
    low = alphas.filter(pl.col("flag") == "low")
    if low.height:
        words = [
            f"{row['construct']} {show_interval(row['estimate'], row['low'], row['high'])}"
            for row in low.iter_rows(named=True)
        ]
        yield (
            f"The judges do not agree well enough to rely on single ratings (Krippendorff's alpha below .667): "
            f"{join_words(words)}. An alpha of 1 is full agreement, 0 is what chance gives."
        )


def _own_family(material: Material) -> Iterator[str]:
    own = material.rated.filter(pl.col("same_family").fill_null(False))
    if own.height:
        pairs = sorted(set(own.select("judge_model", "generator_model").rows()))
        words = [f"{judge} judged {writer}" for judge, writer in pairs[:4]]
        what_then = (
            "The rankings show beside each estimate the one without these ratings."
            if own.height < material.rated.height
            else "What judges of other families would say is unknown."
        )
        share = (
            "All" if own.height == material.rated.height else f"{show_share(own.height / material.rated.height)} of the"
        )
        yield (
            f"{share} ratings come from a judge of the writer's own family "
            f"({join_words(words)}{' and others' if len(pairs) > 4 else ''}). {what_then}{_describe_favour(material)}"
        )
    unknown = material.rated["same_family"].null_count()
    if unknown:
        yield (
            f"For {show_count(unknown, 'rating')} the family of judge or writer is not known, so that a preference for "
            "the own family cannot be ruled out."
        )


def _describe_favour(material: Material) -> str:
    """Which judges are found to prefer their own family; if none, how much the data still allow, and of whom."""
    rows = material.table("judge_card").filter(pl.col("quantity") == "self_preference", pl.col("low").is_not_null())
    if rows.is_empty():
        return ""
    words = [
        f"{row['judge_model']} by {show_interval(row['estimate'], row['low'], row['high'])} on {row['construct']}"
        for row in rows.filter(pl.col("low") > 0).iter_rows(named=True)
    ]
    if not words:
        most = rows.sort("high", descending=True, maintain_order=True).row(0, named=True)
        own = material.rated.filter(pl.col("same_family").fill_null(False))["judge_model"].unique()
        untold = sorted(set(own) - set(rows["judge_model"]))
        also = f" Of {join_words(untold)} it cannot be told." if untold else ""
        told = join_words(sorted(set(rows["judge_model"])), "or")
        return (
            f" That {told} favours its own family is not found; up to {show_number(most['high'])} points "
            f"({most['judge_model']} on {most['construct']}) are not ruled out.{also}"
        )
    return f" Points by which judges favour their own family: {join_words(words)}."


def _few_combinations(material: Material) -> Iterator[str]:
    count = material.rated["combo_id"].drop_nulls().n_unique()
    if 0 < count < FEW_COMBINATIONS:
        yield (
            f"The ratings rest on {show_count(count, 'combination')} of concepts, and combinations are the units of "
            "every comparison. With so few, intervals are rough or missing, and only very large differences can be "
            "seen."
        )


def _ends_of_scale(material: Material) -> Iterator[str]:
    health = material.table("rating_health").filter(pl.col("points_used") != 1)
    for end, column in (("top", "ceiling_share"), ("bottom", "floor_share")):
        rows = health.filter(pl.col(column) >= MUCH_AT_THE_END)
        words = [
            f"{row['judge_model']} with {row['evaluation_template']} in {show_share(row[column])}"
            for row in rows.iter_rows(named=True)
        ]
        if words:
            yield (
                f"Many ratings lie at the {end} of the scale, beyond which essays cannot be told apart: "
                f"{join_words(words)} of the ratings."
            )


def _all_equal(material: Material) -> Iterator[str]:
    same = material.table("rating_health").filter(pl.col("points_used") == 1, pl.col("n_essays") > 1)
    for (judge,), rows in same.group_by("judge_model", maintain_order=True):
        words = [
            f"{row['evaluation_template']} ({show_number(row['mean'], 1)}, {row['n_essays']:,} essays)"
            for row in rows.iter_rows(named=True)
        ]
        yield f"{judge} gave all essays the same score with {join_words(words)}. That ranks nothing."


def _length(material: Material) -> Iterator[str]:
    for more, of_length in ((True, "longer"), (False, "shorter")):
        words = []
        for (judge,), rows in material.table("rating_health").group_by("judge_model", maintain_order=True):
            end = pl.col("length_slope_low") > 0 if more else pl.col("length_slope_high") < 0
            figures = [
                f"{row['evaluation_template']} {show_length_slope(row)}"
                for row in rows.filter(end).iter_rows(named=True)
            ]
            words += [f"{judge} ({join_words(figures)})"] if figures else []
        if words:
            yield (
                f"{of_length.capitalize()} essays get more from {join_words(words)}: points by rubric, per "
                f"{PER_WORDS} words where none are named. They may be better, or only {of_length}."
            )


def _same_replicates(material: Material) -> Iterator[str]:
    same = material.table("rating_health").filter(pl.col("identical_replicate_share") == 1.0)
    judges = sorted(same["judge_model"].unique().to_list())
    if judges:
        yield (
            f"All replicates of {join_words(judges)} gave the same score as the first: they are repetitions, not "
            "further evidence."
        )


def _undeclared(material: Material) -> Iterator[str]:
    rubrics = material.workspace.catalogue.templates[Stage.EVALUATION]
    used = material.ratings["evaluation_template"].drop_nulls().unique().to_list()
    bare = sorted(name for name in used if name in rubrics and not rubrics[name].construct)
    gone = sorted(name for name in used if name not in rubrics)
    if bare:
        yield f"No construct is declared for {join_words(bare)}, which therefore stand{'s' * (len(bare) == 1)} alone."
    if gone:
        yield (
            f"{join_words(gone)} {'is' if len(gone) == 1 else 'are'} no longer among the evaluation templates, so the "
            "scale is unknown and these scores cannot be used."
        )


def _unknown_cost(material: Material) -> Iterator[str]:
    total = material.table("budget").filter(pl.col("level") == "total")
    unknown = int(total["calls_of_unknown_cost"].sum() or 0)
    if unknown:
        most = total["unknown_cost_usd_at_most"].item()
        bound = "" if most is None else f" (at most {show_usd(most)} in all)"
        yield f"What {show_count(unknown, 'call')} cost is not known{bound}; the amounts below leave them out."


def _changed_inputs(material: Material) -> Iterator[str]:
    workspace, scope = material.workspace, material.scope
    if not scope.manifest.get("templates"):
        return
    now = build_frozen_part(workspace.catalogue, workspace.config, scope.members, scope.combinations)
    frozen = {name: value for name, value in scope.manifest.items() if name in ("templates", "concepts", "models")}
    changes = describe_changes(frozen, now)
    if changes:
        more = f" And {len(changes) - _SHOWN_CHANGES} more changes." if len(changes) > _SHOWN_CHANGES else ""
        yield f"Inputs were changed after this cohort was built: {' '.join(changes[:_SHOWN_CHANGES])}{more}"
