"""From the store to the frames that the statistics start from: models, rubrics, calls, essay texts, combinations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any

import polars as pl

from daydreaming_dagster.analysis.concept_effects import COMBOS_SCHEMA
from daydreaming_dagster.analysis.diversity import ESSAY_TEXTS_SCHEMA
from daydreaming_dagster.analysis.ratings import CALLS_SCHEMA, ESSAYS_SCHEMA, MODELS_SCHEMA, TEMPLATES_SCHEMA
from daydreaming_dagster.analysis.schema import Schema, table_of_rows, to_schema
from daydreaming_dagster.domain.catalogue import Catalogue
from daydreaming_dagster.domain.combinations import Combination
from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.prompts import render_evaluation_prompt
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.store import files
from daydreaming_dagster.store.generations import GenerationStore, compute_text_sha256
from daydreaming_dagster.store.index import Index


def read_models(catalogue: Catalogue) -> pl.DataFrame:
    """A frame of `MODELS_SCHEMA`."""
    return table_of_rows(
        (
            {
                "llm_model_id": model.id,
                "family": model.family,
                "price_prompt": model.price_prompt,
                "price_completion": model.price_completion,
            }
            for model in catalogue.models.values()
        ),
        MODELS_SCHEMA,
    )


def read_rubrics(catalogue: Catalogue) -> pl.DataFrame:
    """A frame of `TEMPLATES_SCHEMA`."""
    return table_of_rows(
        (
            {
                "template_id": template.template_id,
                "construct": template.construct,
                "direction": template.direction,
            }
            for template in catalogue.templates[Stage.EVALUATION].values()
        ),
        TEMPLATES_SCHEMA,
    )


def read_constructs(catalogue: Catalogue) -> dict[str, str]:
    """The declared construct of each evaluation template that has one."""
    rubrics = catalogue.templates[Stage.EVALUATION].values()
    return {template.template_id: template.construct for template in rubrics if template.construct}


def read_combinations(combinations: Mapping[str, Combination]) -> pl.DataFrame:
    """A frame of `COMBOS_SCHEMA`."""
    return table_of_rows(
        (
            {"combo_id": combination.combo_id, "concept_id": concept_id}
            for combination in combinations.values()
            for concept_id in combination.concept_ids
        ),
        COMBOS_SCHEMA,
    )


def read_essay_texts(store: GenerationStore, members: Iterable[Member]) -> pl.DataFrame:
    """A frame of `ESSAY_TEXTS_SCHEMA`: the essays of a cohort; without a text where there is none."""
    known = list(members)
    drafts = {member.gen_id: member for member in known if member.stage is Stage.DRAFT}
    return table_of_rows(
        (
            {
                "essay_gen_id": member.gen_id,
                "combo_id": member.combo_id or None,
                "draft_template": draft.template_id if (draft := drafts.get(member.parent_gen_id)) else None,
                "essay_template": member.template_id,
                "generator_model": member.llm_model_id,
                "text": _find_text(store, member.stage, member.gen_id),
            }
            for member in known
            if member.stage is Stage.ESSAY
        ),
        ESSAY_TEXTS_SCHEMA,
    )


def count_words(texts: pl.DataFrame) -> pl.DataFrame:
    """A frame of `ESSAYS_SCHEMA` from one of `ESSAY_TEXTS_SCHEMA`."""
    words = pl.col("text").str.count_matches(r"\S+").cast(pl.Int64)
    return to_schema(texts.with_columns(words.alias("essay_length_words")), ESSAYS_SCHEMA)


def read_calls(workspace: Workspace, members: Iterable[Member]) -> pl.DataFrame:
    """A frame of `CALLS_SCHEMA`: all responses of these generations, earlier ones included; copies are no calls.

    Last responses come from the index, earlier ones from the files of the few generations that have any.
    """
    rows = [(m.gen_id, str(m.stage), m.template_id, m.llm_model_id, m.parent_gen_id) for m in members]
    asked = pl.DataFrame(rows, schema=[*list(CALLS_SCHEMA)[:4], "parent_gen_id"], orient="row")
    answered = asked.join(read_answers(workspace), on="gen_id", how="inner", maintain_order="left").with_columns(
        status=pl.when(pl.col("reason") == "").then(pl.lit("ok")).otherwise("reason")
    )
    last = _recognize_texts(workspace, answered)
    made = last.filter(pl.col("input_mode").fill_null("prompt") != "copy", _WAS_CALLED)
    earlier = _read_earlier_calls(workspace.store, last.filter("has_versions"))
    # Sorting keeps the order of equals, so that a generation's last response comes after its earlier ones.
    place = asked.select("gen_id").with_row_index("place")
    calls = pl.concat([earlier, to_schema(made, CALLS_SCHEMA)]).join(place, on="gen_id", maintain_order="left")
    return to_schema(calls.sort("place", maintain_order=True), CALLS_SCHEMA)


_ANSWERS: Schema = {
    "gen_id": pl.String(),
    "reason": pl.String(),
    "has_text": pl.Boolean(),
    "has_versions": pl.Boolean(),
    "input_mode": pl.String(),
    "provider": pl.String(),
    "model_answered": pl.String(),
    "prompt_tokens": pl.Int64(),
    "completion_tokens": pl.Int64(),
    "cost_usd": pl.Float64(),
    "duration_s": pl.Float64(),
    "started_at": pl.String(),
    "finished_at": pl.String(),
    "template_sha256": pl.String(),
    "prompt_sha256": pl.String(),
}
"""What the index knows of each generation's last answer; see `Summary`."""

_WAS_CALLED = pl.col("has_text") | pl.col("started_at").is_not_null() | pl.col("reason").is_in(["", "store"]).not_()
"""Whether a model was asked at all; `store` is the reason when a file is damaged."""


def read_answers(workspace: Workspace) -> pl.DataFrame:
    """What is known of the last answer of every generation in the store: a frame of `_ANSWERS`."""
    with closing(Index(workspace.store, read_only=workspace.read_only)) as index:
        rows = [row for stage in Stage for row in index.columns(stage, list(_ANSWERS))]
    stored = {name: pl.Int64() if dtype == pl.Boolean else dtype for name, dtype in _ANSWERS.items()}
    return to_schema(pl.DataFrame(rows, schema=stored, orient="row"), _ANSWERS)


def _recognize_texts(workspace: Workspace, answered: pl.DataFrame) -> pl.DataFrame:
    """The answers; those that kept the hash of their prompt only get today's text of the rubric if it makes that."""
    texts = workspace.catalogue.templates[Stage.EVALUATION]
    pair = ["template_id", "parent_gen_id"]
    rows = []
    vague = answered.filter(pl.col("prompt_sha256").is_not_null(), pl.col("template_id").is_in(list(texts)))
    for template_id, essay_id in vague.select(pair).unique().iter_rows():
        essay = _find_text(workspace.store, Stage.ESSAY, essay_id)
        if essay is not None:
            prompt = render_evaluation_prompt(texts[template_id], essay)
            rows.append((template_id, essay_id, compute_text_sha256(prompt), texts[template_id].sha256))
    made = pl.DataFrame(rows, schema=dict.fromkeys([*pair, "prompt_sha256", "today"], pl.String()), orient="row")
    return answered.join(made, on=[*pair, "prompt_sha256"], how="left", maintain_order="left").with_columns(
        template_sha256=pl.coalesce("template_sha256", "today")
    )


def _read_earlier_calls(store: GenerationStore, generations: pl.DataFrame) -> pl.DataFrame:
    rows = []
    for gen_id, stage, template_id, model_id in generations.select(list(CALLS_SCHEMA)[:4]).iter_rows():
        for raw in _iter_earlier_answers(store, Stage(stage), gen_id):
            rows.append({"gen_id": gen_id, "stage": stage, "template_id": template_id, "llm_model_id": model_id} | raw)
    return table_of_rows(rows, CALLS_SCHEMA)


def _iter_earlier_answers(store: GenerationStore, stage: Stage, gen_id: str) -> Iterator[dict[str, Any]]:
    """What the files of earlier responses say; a damaged one is passed over with those after it."""
    try:
        for version in store.versions(stage, gen_id):
            raw = files.find_json(version.metadata_path)
            if raw is not None and raw.get("input_mode") != "copy":
                usage, failure = raw.get("usage") or {}, raw.get("failure") or {}
                facts = {name: raw.get(name) for name in ("provider", "cost_usd", "duration_s", "template_sha256")}
                tokens = {name: usage.get(name) for name in ("prompt_tokens", "completion_tokens")}
                yield {"status": str(failure.get("reason") or "ok"), **facts, **tokens}
    except StoreError:
        return


def _find_text(store: GenerationStore, stage: Stage, gen_id: str) -> str | None:
    try:
        return store.find_parsed(stage, gen_id)
    except StoreError:
        return None
