"""What each column of an exported table means, and in which unit: the words of the data card."""

from __future__ import annotations

from collections.abc import Mapping

Meaning = tuple[str, str]
"""Unit (blank for words and ids) and meaning."""

_POINTS = "points of the scale, more is better"

COLUMNS: Mapping[str, Meaning] = {
    "accepted_ideas": ("essays", "estimated at 7/9 of the scale or more on the first rubric"),
    "adjusted_mean": (_POINTS, "mean as if rated by the average evaluator"),
    "calls": ("calls", "sent to models, answered or not; without a ledger, those that left a response"),
    "calls_of_unknown_cost": ("calls", "left out of the cost"),
    "ceiling_share": ("share, 0 to 1", "ratings at the best end of the scale"),
    "cohort_id": ("", "cohort that the row belongs to"),
    "combo_id": ("", "combination of concepts"),
    "completion_tokens": ("tokens", "written by the model, as the provider counts"),
    "component": ("", "source of variance"),
    "concept_a": ("", "concept"),
    "concept_b": ("", "second concept of a pair; null for a single one"),
    "concept_id": ("", "concept, as in the prompts' input files"),
    "concept_name": ("", "the concept's name"),
    "construct": ("", "what is measured; values of different constructs do not compare"),
    "cost_usd": ("US dollars", "as the provider billed, else by list price; null when unknown"),
    "cost_usd_per_accepted_idea": ("US dollars", "cost over accepted ideas"),
    "cost_usd_per_essay": ("US dollars", "all ratings of one essay by this panel"),
    "direction": ("", "higher_is_better or lower_is_better, for `score`"),
    "draft_gen_id": ("", "draft that the essay was made from"),
    "draft_template": ("", "template of the draft"),
    "duration_s": ("seconds", "from request to answer; sums count calls side by side twice"),
    "e_rho2": ("0 to 1", "reliability for comparing essays rated by the same panel"),
    "effect": ("", "main: one concept; pair: beyond what both add up to"),
    "embedder": ("", "what turned texts into vectors; values of two embedders do not compare"),
    "entropy_bits": ("bits", "how evenly the points of the scale are used; 0 for always the same"),
    "essay_gen_id": ("", "essay"),
    "essay_length_words": ("words", "of the essay's text"),
    "essay_template": ("", "template of the essay"),
    "estimate": ("", "the figure; null when it cannot be estimated, and `note` says why"),
    "evaluation_template": ("", "rubric"),
    "experiment_id": ("", "name given to the run; null without"),
    "failed_calls": ("calls", "without a usable answer"),
    "failures": ("", "missing ratings by reason"),
    "flag": ("", "low below .667, tentative below .8, else reliable"),
    "floor_share": ("share, 0 to 1", "ratings at the worst end of the scale"),
    "gen_id": ("", "generation: the call or rating itself"),
    "generations": ("generations", "that calls were made for"),
    "generator_family": ("", "maker's family of the writer"),
    "generator_model": ("", "model that wrote the essay"),
    "group": ("", "value of the column that `group_by` names"),
    "group_by": ("", "column by which essays are grouped"),
    "high": ("as estimate", "upper end of the 95 % interval; null without an honest one"),
    "id": ("", "essay or combination, as `level` says"),
    "identical_replicate_share": ("share, 0 to 1", "pairs of replicates with the same score"),
    "is_cheapest": ("", "the cheapest panel that reaches phi .8"),
    "is_current": ("", "the panel of the data"),
    "judge_a": ("", "judge; null for all together"),
    "judge_b": ("", "second judge of a pair"),
    "judge_family": ("", "maker's family of the judge"),
    "judge_model": ("", "model that judged"),
    "k": ("entries", "how many count as the best"),
    "length_slope": ("points per 100 words", "how much more longer essays get; null where lengths are the same"),
    "length_spread_words": ("words", "between short and long essays: 10th to 90th percentile of the rated ones"),
    "level": ("", "what a row is about"),
    "llm_model_id": ("", "model that was called"),
    "low": ("as estimate", "lower end of the 95 % interval; null without an honest one"),
    "mean": (_POINTS, "of the ratings"),
    "metric": ("", "measure of diversity"),
    "n": ("ratings", "that the row rests on"),
    "n_asked": ("ratings", "asked for"),
    "n_available": ("essays", "with a text in the group; `n` of them were compared"),
    "n_clusters": ("combinations", "that the row rests on; the unit of every interval"),
    "n_clusters_total": ("combinations", "in the whole analysis"),
    "n_essays": ("essays", "that the row rests on"),
    "n_evaluators": ("evaluators", "rubric and judge, that rated it"),
    "n_judges": ("judges", "of the panel, or that the row rests on"),
    "n_other_family": ("ratings", "by judges of other families than the writer's"),
    "n_replicates": ("replicates", "of each rating"),
    "n_sampled": ("essays", "in a random sample"),
    "n_templates": ("rubrics", "of the panel, or that the row rests on"),
    "n_units": ("units", "essays, by rubric and round, that several judges rated"),
    "note": ("", "what to know about the row"),
    "other_family_high": (_POINTS, "upper end of its 95 % interval"),
    "other_family_low": (_POINTS, "lower end of its 95 % interval"),
    "other_family_mean": (_POINTS, "raw mean without judges of the writer's own family"),
    "other_family_rank": ("", "rank without judges of the writer's own family"),
    "other_family_shrunken": (_POINTS, "estimate without judges of the writer's own family"),
    "p": ("probability", "p value, not adjusted"),
    "p_fdr": ("probability", "p value, adjusted for the number of effects (Benjamini and Hochberg)"),
    "p_top_k": ("probability", "of being among the k truly best"),
    "parse_status": ("", "ok, or the reason why there is no score"),
    "phi": ("0 to 1", "reliability of the values themselves"),
    "points_used": ("values", "how many different ones were given"),
    "position": ("", "place of the concept in the prompt, from 1"),
    "prompt_tokens": ("tokens", "sent, as the provider counts"),
    "provider": ("", "who served the call; `scripted` means made up by a script"),
    "quantity": ("", "what the figure is about"),
    "rank": ("", "1 is best; equal values share a rank"),
    "ratings_per_essay": ("ratings", "of one essay by this panel"),
    "raw_mean": (_POINTS, "mean over evaluators, replicates averaged first"),
    "raw_rank": ("", "rank by raw_mean"),
    "replicate": ("", "how often the same was asked before, from 1"),
    "replicates_per_cell": ("replicates", "mean number per essay, rubric and judge"),
    "same_family": ("", "whether judge and writer are of one family; null when unknown"),
    "scale_max": ("points", "top of the rubric's scale"),
    "scale_min": ("points", "bottom of the rubric's scale"),
    "score": ("points of the scale", "as the judge gave it; null without one"),
    "severity": ("points", "above (lenient) or below (strict) the average evaluator of the same essays"),
    "share": ("share, 0 to 1", "of the variance that can be estimated"),
    "shrunken": (_POINTS, "estimate drawn towards the mean by the share of noise; low and high are its interval"),
    "stage": ("", "draft, essay or evaluation"),
    "statistic": ("", "which measure of agreement"),
    "status": ("", "ok, or why the call gave nothing usable"),
    "template_id": ("", "template of the generation"),
    "template_sha256": ("", "SHA-256 of the template's text as it was sent; null when not known"),
    "text": ("", "the essay as a model wrote it; null without one"),
    "unknown_tokens_at_most": ("tokens", "the most that calls without a count can have used; null when unknown"),
    "unknown_cost_usd_at_most": ("US dollars", "the most that calls of unknown cost can have cost; null when unknown"),
    "value": (_POINTS, "the score, turned round where lower is better"),
    "missing_share": ("share, 0 to 1", "ratings asked for that are missing"),
}

COLUMNS_OF: Mapping[tuple[str, str], Meaning] = {
    ("variance_components", "estimate"): ("squared points", "variance"),
    ("concept_effects", "estimate"): ("points", "how much better"),
    ("agreement", "estimate"): ("−1 to 1", "agreement; 1 is full, 0 what chance gives"),
    ("judge_card", "estimate"): (
        "points; points per 100 words for length_slope; share for ceiling_share",
        "the figure",
    ),
    ("rarefaction", "estimate"): ("essays", "expected number of different ones"),
    ("diversity", "estimate"): ("as metric", "mean_pairwise_cosine 0 to 1, vendi_score and unique_essays in essays"),
    ("diversity", "n"): ("essays", "compared, the same number in all groups of a grouping"),
    ("rarefaction", "n"): ("essays", "of the group"),
}
"""Where a name means something of its own in one table."""


def find_meaning(table: str, column: str) -> Meaning:
    """Unit and meaning of a column.

    Raises:
        KeyError: nobody has written it down.
    """
    if (own := COLUMNS_OF.get((table, column))) is not None:
        return own
    if column in COLUMNS:
        return COLUMNS[column]
    for ending, words in (("_low", "lower"), ("_high", "upper")):
        if column.endswith(ending):
            unit, _ = COLUMNS[column.removesuffix(ending)]
            return unit, f"{words} end of the 95 % interval of {column.removesuffix(ending)}"
    raise KeyError(column)
