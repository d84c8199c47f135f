"""What people said, beside what models said of the same essays."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any

from daydreaming_dagster.explorer.site import Site
from daydreaming_dagster.store.human_ratings import HumanRating, HumanRatings, Kind, read_ratings

_FEWEST_PAIRS = 3
_FAR_APART = 8


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rater is with a rubric.

    Attributes:
        waiting: the essays that come next, in this rater's own order.
        left: how many there are still to rate.
        rated, skipped: numbers.
        last: the line this rater wrote last for the rubric; None when there is none.
    """

    waiting: list[str]
    left: int
    rated: int
    skipped: int
    last: HumanRating | None


def find_progress(site: Site, rater: str, rubric: str, cohort: str, most: int = 5) -> Progress:
    """What a rater has rated of a rubric, and what comes next.

    Everybody has an order of their own, which neither scores nor models have a part in, so that the first essays
    rated are a fair sample of all.
    """
    essays = find_essay_ids(site, cohort)
    known = read_ratings(site.paths)
    mine = {
        essay: line for (name, essay, template), line in known.current().items() if name == rater and template == rubric
    }
    left = [essay for essay in essays if essay not in mine]
    waiting = nsmallest(most, left, key=lambda essay: _shuffle(rater, rubric, essay))
    last = next(
        (line for line in reversed(known.lines) if line.rater == rater and line.evaluation_template == rubric), None
    )
    among = [line for essay, line in mine.items() if essay in essays]
    rated = sum(line.kind is Kind.RATING for line in among)
    return Progress(
        waiting, len(left), rated, len(among) - rated, None if last is None or last.kind is Kind.WITHDRAWN else last
    )


def find_essay_ids(site: Site, cohort: str) -> set[str]:
    """Essays with a text, of one cohort or of all."""

    def compute() -> set[str]:
        among = "AND EXISTS (SELECT 1 FROM member m WHERE m.cohort_id = ? AND m.gen_id = g.gen_id)" if cohort else ""
        question = f"SELECT gen_id FROM generation g WHERE stage = 'essay' AND status = 'done' {among}"
        return {row[0] for row in site.rows(question, (cohort,) if cohort else ())}

    return site.keep(("essay ids", cohort), compute)


def _shuffle(rater: str, rubric: str, essay: str) -> bytes:
    return hashlib.blake2b(f"{rater}\0{rubric}\0{essay}".encode(), digest_size=8).digest()


def find_human_agreement(site: Site, rubric: str) -> dict[str, Any] | None:
    """People and models on one rubric: who rated how much, how far they agree, what all essays would get.

    Returns:
        None when no person rated by this rubric. `alpha_people` and `alpha_models` are Krippendorff's alpha among
        people, and between the means of people and of models; None where too few essays have both. `arms` holds the
        same estimate for the essays of each model and template.
    """
    path = site.paths.human_ratings
    stamp = (path.stat().st_mtime_ns, path.stat().st_size) if path.is_file() else None
    return None if stamp is None else site.keep(("people", rubric, stamp), lambda: _compare(site, rubric))


@dataclass(frozen=True, slots=True)
class _Judged:
    """An essay that models rated by the rubric: its title, their mean, and what it was made with."""

    title: str
    mean: float
    combo: str
    arms: tuple[tuple[str, str], ...]


def _compare(site: Site, rubric: str) -> dict[str, Any] | None:
    ratings = read_ratings(site.paths)
    by_essay = _group(ratings, rubric)
    if not by_essay:
        return None
    models = _find_judged(site, rubric)
    raters = sorted({rater for scores in by_essay.values() for rater in scores})
    pairs = [
        (essay, sum(scores.values()) / len(scores), models[essay].mean)
        for essay, scores in sorted(by_essay.items())
        if essay in models
    ]
    return {
        "raters": [(rater, sum(rater in scores for scores in by_essay.values())) for rater in raters],
        "n_essays": len(by_essay),
        "n_pairs": len(pairs),
        "damaged": ratings.damaged,
        "difference": sum(human - model for _, human, model in pairs) / len(pairs) if pairs else None,
        "distance": sum(abs(human - model) for _, human, model in pairs) / len(pairs) if pairs else None,
        "alpha_people": _alpha([[scores.get(rater) for scores in by_essay.values()] for rater in raters]),
        "alpha_models": _alpha([[pair[1] for pair in pairs], [pair[2] for pair in pairs]]),
        "powered": _estimate(pairs, models),
        "arms": _estimate_arms(pairs, models),
        "far_apart": [
            (essay, models[essay].title, human, model)
            for essay, human, model in sorted(pairs, key=lambda pair: -abs(pair[1] - pair[2]))[:_FAR_APART]
        ],
    }


def _group(ratings: HumanRatings, rubric: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for (rater, essay, template), line in ratings.current().items():
        if template == rubric and line.kind is Kind.RATING and line.score is not None:
            found[essay][rater] = line.score
    return dict(found)


def _alpha(scores: list[list[float | None]]) -> float | None:
    import numpy as np

    from daydreaming_dagster.analysis.statistics.agreement import compute_krippendorff_alpha

    table = np.array([[np.nan if score is None else score for score in row] for row in scores], dtype=np.float64)
    if table.ndim < 2 or table.shape[0] < 2 or (np.isfinite(table).sum(axis=0) > 1).sum() < _FEWEST_PAIRS:
        return None
    alpha = compute_krippendorff_alpha(table, "ordinal")
    return alpha if np.isfinite(alpha) else None


def _find_judged(site: Site, rubric: str) -> dict[str, _Judged]:
    rows = site.rows(
        "SELECT s.essay_gen_id, e.title, s.mean, e.combo_id, e.llm_model_id, d.template_id, e.template_id "
        "FROM essay_score s JOIN generation e ON e.gen_id = s.essay_gen_id "
        "LEFT JOIN generation d ON d.gen_id = e.parent_gen_id WHERE s.template_id = ?",
        (rubric,),
    )
    axes = ("model", "draft template", "essay template")
    return {row[0]: _Judged(row[1] or "", row[2], row[3] or "", tuple(zip(axes, row[4:], strict=True))) for row in rows}


def _estimate_arms(pairs: list[tuple[str, float, float]], models: dict[str, _Judged]) -> list[dict[str, Any]]:
    """What people would give all essays of each model and template: a row for each that people rated any essay of."""
    from daydreaming_dagster.analysis.statistics.prediction_powered import FEWEST_RATED

    rated = Counter(arm for essay, _, _ in pairs for arm in models[essay].arms if arm[1])
    found = []
    for axis, name in sorted(rated):
        powered = None
        if rated[axis, name] >= FEWEST_RATED:
            of_arm = {essay: judged for essay, judged in models.items() if (axis, name) in judged.arms}
            powered = _estimate([pair for pair in pairs if pair[0] in of_arm], of_arm)
        found.append({"axis": axis, "name": name, "n_rated": rated[axis, name], "powered": powered})
    return found


def _estimate(pairs: list[tuple[str, float, float]], models: dict[str, _Judged]) -> Any:
    import numpy as np

    from daydreaming_dagster.analysis.statistics.prediction_powered import estimate_powered_mean

    rated = {pair[0] for pair in pairs}
    others = [essay for essay in models if essay not in rated]
    combos = sorted({judged.combo for judged in models.values()})
    code = {combo: number for number, combo in enumerate(combos)}
    return estimate_powered_mean(
        np.array([pair[1] for pair in pairs], dtype=np.float64),
        np.array([pair[2] for pair in pairs], dtype=np.float64),
        np.array([code[models[pair[0]].combo] for pair in pairs], dtype=np.int64),
        np.array([models[essay].mean for essay in others], dtype=np.float64),
        np.array([code[models[essay].combo] for essay in others], dtype=np.int64),
    )
