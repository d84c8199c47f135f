"""From the store to the frames that the statistics start from: models, rubrics, calls, essay texts, combinations."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import polars as pl

from daydreaming_dagster.analysis.concept_effects import COMBOS_SCHEMA
from daydreaming_dagster.analysis.diversity import ESSAY_TEXTS_SCHEMA
from daydreaming_dagster.analysis.ratings import CALLS_SCHEMA, ESSAYS_SCHEMA, MODELS_SCHEMA, TEMPLATES_SCHEMA
from daydreaming_dagster.analysis.schema import table_of_rows, to_schema
from daydreaming_dagster.domain.catalogue import Catalogue
from daydreaming_dagster.domain.combinations import Combination
from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store import files
from daydreaming_dagster.store.generations import GenerationStore


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
                "template_sha256": hashlib.sha256(template.source.encode()).hexdigest(),
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
                "text": _find_text(store, member),
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


def read_calls(store: GenerationStore, members: Iterable[Member]) -> pl.DataFrame:
    """A frame of `CALLS_SCHEMA`: all responses of these generations, earlier ones included; copies are no calls."""
    return table_of_rows((call for member in members for call in _iter_calls(store, member)), CALLS_SCHEMA)


def _iter_calls(store: GenerationStore, member: Member) -> Iterator[dict[str, Any]]:
    for raw in _iter_raw_metadata(store, member):
        if raw.get("input_mode") == "copy":
            continue
        usage = raw.get("usage") or {}
        failure = raw.get("failure") or {}
        yield {
            "gen_id": member.gen_id,
            "stage": str(member.stage),
            "template_id": member.template_id,
            "llm_model_id": member.llm_model_id,
            "provider": raw.get("provider"),
            "status": str(failure.get("reason") or "ok"),
            "prompt_tokens": usage.get("prompt_tokens"),
            "completion_tokens": usage.get("completion_tokens"),
            "cost_usd": raw.get("cost_usd"),
            "duration_s": raw.get("duration_s"),
        }


def _iter_raw_metadata(store: GenerationStore, member: Member) -> Iterator[dict[str, Any]]:
    try:
        for version in store.versions(member.stage, member.gen_id):
            if (earlier := files.find_json(version.metadata_path)) is not None:
                yield earlier
        if (raw := store.find_raw_metadata(member.stage, member.gen_id)) is not None:
            yield raw
    except StoreError:
        return  # the damaged generation is a row with its reason in the table of scores


def _find_text(store: GenerationStore, member: Member) -> str | None:
    try:
        return store.find_parsed(member.stage, member.gen_id)
    except StoreError:
        return None
