"""From the store to the table of scores: what is known of each evaluation, whether it succeeded or not.

Everything comes from the index beside the files. Only what the index cannot vouch for is read from its files: an
evaluation whose parsed text was edited in place since, or one of whose files is damaged.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from operator import attrgetter

import polars as pl

from daydreaming_dagster.analysis.parsed_scores import EVALUATIONS_SCHEMA
from daydreaming_dagster.analysis.schema import Schema, to_schema
from daydreaming_dagster.domain.catalogue import Catalogue
from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.store.generation_files import find_mtime_ns
from daydreaming_dagster.store.generations import GenerationStore
from daydreaming_dagster.store.index import Index, read_summary
from daydreaming_dagster.store.paths import PARSED, DataPaths
from daydreaming_dagster.store.states import Status

_KNOWN: Schema = {
    "gen_id": pl.String(),
    "parent_gen_id": pl.String(),
    "template_id": pl.String(),
    "llm_model_id": pl.String(),
    "combo_id": pl.String(),
    "origin_cohort_id": pl.String(),
    "replicate": pl.Int64(),
    "experiment_id": pl.String(),
    "status": pl.String(),
    "reason": pl.String(),
    "code": pl.String(),
    "score": pl.Float64(),
    "parsed_mtime_ns": pl.Int64(),
    "input_mode": pl.String(),
    "copied_from": pl.String(),
}
"""What is used of the index; see `Summary`."""

_ASKED: Schema = {
    "gen_id": pl.String(),
    "parent_gen_id": pl.String(),
    "template_id": pl.String(),
    "llm_model_id": pl.String(),
    "combo_id": pl.String(),
    "cohort_id": pl.String(),
    "replicate": pl.Int64(),
}
"""What a cohort says of a generation, which may not have been made yet."""

_UNREADABLE = "store"
"""Reason of a generation that is not done because one of its files is damaged."""


def read_cohort_evaluations(workspace: Workspace, members: Iterable[Member]) -> pl.DataFrame:
    """A cohort's evaluations, made or not, in its order: a frame of `EVALUATIONS_SCHEMA`."""
    rows: dict[Stage, list[tuple[object, ...]]] = {stage: [] for stage in Stage}
    for m in members:
        facts = (m.gen_id, m.parent_gen_id, m.template_id, m.llm_model_id, m.combo_id, m.cohort_id, m.replicate)
        rows[m.stage].append(facts)
    known = _read_known(workspace)
    asked = {stage: _complete(pl.DataFrame(rows[stage], schema=_ASKED, orient="row"), known[stage]) for stage in Stage}
    for stage in (Stage.DRAFT, Stage.ESSAY):  # what an evaluation was made from may be of another cohort
        others = known[stage].join(asked[stage], on="gen_id", how="anti")
        asked[stage] = pl.concat([to_schema(asked[stage], _KNOWN), others])
    return _build(workspace, asked)


def _complete(asked: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """What the store says of generations of a cohort, and what the cohort says where the store is silent."""
    return asked.join(stored, on="gen_id", how="left", suffix="_stored", maintain_order="left").with_columns(
        *(
            _first_known(f"{name}_stored", name)
            for name in ("parent_gen_id", "template_id", "llm_model_id", "combo_id")
        ),
        _first_known("origin_cohort_id", "cohort_id").alias("origin_cohort_id"),
        pl.col("status").fill_null(str(Status.MISSING)),
    )


def read_all_evaluations(workspace: Workspace) -> pl.DataFrame:
    """Every evaluation in the store, of whatever cohort, by id: a frame of `EVALUATIONS_SCHEMA`."""
    known = _read_known(workspace)
    known[Stage.EVALUATION] = known[Stage.EVALUATION].with_columns(cohort_id=pl.col("origin_cohort_id")).sort("gen_id")
    return _build(workspace, known)


def _first_known(*names: str) -> pl.Expr:
    return pl.coalesce(pl.col(name).replace("", None) for name in names).alias(names[-1])


def _read_known(workspace: Workspace) -> dict[Stage, pl.DataFrame]:
    """What the index says of all generations, a frame of `_KNOWN` for each stage."""
    store = workspace.store
    with closing(Index(store, read_only=workspace.read_only)) as index:
        rows = {stage: index.columns(stage, list(_KNOWN)) for stage in Stage}
    rows[Stage.EVALUATION] = _read_edited_again(store, rows[Stage.EVALUATION])
    return {stage: pl.DataFrame(found, schema=_KNOWN, orient="row") for stage, found in rows.items()}


def _read_edited_again(store: GenerationStore, rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """The rows, those whose parsed text has another time than the index knows from the files."""
    folder, at = store.paths.stage(Stage.EVALUATION), list(_KNOWN).index("parsed_mtime_ns")
    values = attrgetter(*_KNOWN)
    return [
        row
        if find_mtime_ns(f"{folder}/{row[0]}/{PARSED}") == row[at]
        else values(read_summary(store, Stage.EVALUATION, str(row[0])))
        for row in rows
    ]


def _build(workspace: Workspace, known: dict[Stage, pl.DataFrame]) -> pl.DataFrame:
    """Evaluations with what their essays and drafts say."""
    blank = pl.col(pl.String).replace("", None)
    essays = known[Stage.ESSAY].with_columns(blank).rename(lambda name: f"essay_{name}")
    drafts = known[Stage.DRAFT].with_columns(blank).rename(lambda name: f"draft_{name}")
    joined = (
        known[Stage.EVALUATION]
        .with_columns(blank)
        .join(
            essays, left_on="parent_gen_id", right_on="essay_gen_id", how="left", coalesce=False, maintain_order="left"
        )
        .join(drafts, left_on="essay_parent_gen_id", right_on="draft_gen_id", how="left", maintain_order="left")
        .join(_read_scales(workspace.catalogue), on="template_id", how="left", maintain_order="left")
    )
    complete = joined.with_columns(
        _path(workspace.paths, Stage.EVALUATION, "gen_id").alias("evaluation_response_path"),
        pl.when(pl.col("essay_status") != Status.MISSING)
        .then(_path(workspace.paths, Stage.ESSAY, "essay_gen_id"))
        .alias("generation_response_path"),
        pl.coalesce("essay_combo_id", "draft_combo_id", "combo_id").alias("combo_id"),
        pl.coalesce("essay_llm_model_id", "draft_llm_model_id").alias("generation_model"),
        pl.col("template_id").alias("evaluation_template"),
        pl.col("llm_model_id").alias("evaluation_llm_model"),
        pl.col("draft_template_id").alias("draft_template"),
        pl.col("essay_template_id").alias("generation_template"),
        pl.col("essay_parent_gen_id").alias("draft_gen_id"),
        pl.col("essay_input_mode").alias("input_mode"),
        pl.col("essay_copied_from").alias("copied_from"),
        pl.col("score").alias("number"),
        _find_errors(workspace.store, joined).alias("error"),
    )
    return to_schema(complete, EVALUATIONS_SCHEMA)


def _read_scales(catalogue: Catalogue) -> pl.DataFrame:
    rubrics = catalogue.templates[Stage.EVALUATION].values()
    rows = [(rubric.template_id, rubric.scale_min, rubric.scale_max) for rubric in rubrics]
    schema = {"template_id": pl.String(), "scale_min": pl.Float64(), "scale_max": pl.Float64()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _path(paths: DataPaths, stage: Stage, gen_id: str) -> pl.Expr:
    return pl.format("{}/{}/{}", pl.lit(str(paths.stage(stage))), gen_id, pl.lit(PARSED))


def _find_errors(store: GenerationStore, evaluations: pl.DataFrame) -> pl.Series:
    """Why there is no score; null where nothing but the scale can speak against it."""
    status, reason = pl.col("status"), pl.col("reason")
    error = (
        pl.when(reason == _UNREADABLE)
        .then(reason)
        .when(status == Status.DONE)
        .then("code")
        .when(status == Status.FAILED)
        .then(reason)
        .when(status == Status.UNPARSED)
        .then(pl.lit("not_parsed"))
        .otherwise(pl.lit("not_made"))
    )
    errors = evaluations.select("gen_id", error=error)
    damaged = errors.filter(pl.col("error") == _UNREADABLE)["gen_id"]
    files = {gen_id: _find_damage(store, gen_id) for gen_id in damaged}
    named = pl.col("gen_id").replace_strict(files, default=pl.col("error"), return_dtype=pl.String())
    return errors.select(named if files else "error").to_series()


def _find_damage(store: GenerationStore, gen_id: str) -> str:
    """Which file of an evaluation is damaged."""
    try:
        store.find_metadata(Stage.EVALUATION, gen_id)
    except StoreError:
        return "metadata_corrupt"
    try:
        store.find_parsed(Stage.EVALUATION, gen_id)
    except StoreError:
        return "parsed_corrupt"
    return "raw_metadata_corrupt"
