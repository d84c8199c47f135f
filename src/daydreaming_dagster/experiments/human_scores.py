"""People's ratings as rows of the table of scores: judges whose names begin with `human:`."""

from __future__ import annotations

import polars as pl

from daydreaming_dagster.analysis.parsed_scores import EVALUATIONS_SCHEMA, build_parsed_scores
from daydreaming_dagster.analysis.schema import table_of_rows
from daydreaming_dagster.domain.catalogue import Catalogue
from daydreaming_dagster.domain.membership import Cohort
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.human_ratings import HumanRating, Kind, read_ratings
from daydreaming_dagster.store.paths import PARSED, DataPaths

HUMAN_JUDGE_PREFIX = "human:"
"""What a judge's name in any table begins with when the judge is a person."""


def read_human_scores(paths: DataPaths, cohort: Cohort, catalogue: Catalogue) -> pl.DataFrame:
    """What people said of a cohort's essays, a frame of `PARSED_SCORES_SCHEMA`; ids begin with `h_`.

    Of each rater, essay and rubric the last rating counts; what was skipped is not a rating.
    """
    records = (
        _build_record(line, cohort, catalogue, paths)
        for line in read_ratings(paths).current().values()
        if line.kind is Kind.RATING and line.essay_gen_id in cohort.by_gen_id
    )
    return build_parsed_scores(table_of_rows(records, EVALUATIONS_SCHEMA))


def _build_record(line: HumanRating, cohort: Cohort, catalogue: Catalogue, paths: DataPaths) -> dict[str, object]:
    essay = cohort.by_gen_id[line.essay_gen_id]
    draft = cohort.by_gen_id.get(essay.parent_gen_id)
    template = catalogue.templates[Stage.EVALUATION].get(line.evaluation_template)
    return {
        "gen_id": f"h_{line.rating_id}",
        "parent_gen_id": line.essay_gen_id,
        "evaluation_template": line.evaluation_template,
        "evaluation_llm_model": f"{HUMAN_JUDGE_PREFIX}{line.rater}",
        "number": line.score,
        "evaluation_response_path": str(paths.human_ratings),
        "combo_id": essay.combo_id or None,
        "draft_template": draft.template_id if draft else None,
        "generation_template": essay.template_id,
        "generation_model": essay.llm_model_id or None,
        "generation_response_path": str(paths.generation(Stage.ESSAY, essay.gen_id) / PARSED),
        "cohort_id": cohort.cohort_id,
        "draft_gen_id": essay.parent_gen_id or None,
        "replicate": 1,
        "scale_min": template.scale_min if template else None,
        "scale_max": template.scale_max if template else None,
    }
