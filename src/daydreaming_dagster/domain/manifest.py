"""A cohort's manifest: what decides its membership, and what was true of the inputs when it was built.

The part `membership` alone decides the cohort id. Everything else is frozen beside it, so that a later run can say what
has changed since: a template that was edited makes other prompts, but the same rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from daydreaming_dagster.domain.catalogue import Catalogue
from daydreaming_dagster.domain.combinations import Combination
from daydreaming_dagster.domain.experiment_config import ExperimentConfig
from daydreaming_dagster.domain.membership import MODE_CARTESIAN, Axes, Member
from daydreaming_dagster.domain.stages import Stage


def build_cartesian_part(combo_ids: Iterable[str], axes: Axes) -> dict[str, Any]:
    """What decides the membership of a Cartesian cohort; ids are sorted, for their order changes no row."""
    return {
        "mode": MODE_CARTESIAN,
        "combinations": sorted(combo_ids),
        "templates": {
            "draft": sorted(axes.draft_templates),
            "essay": sorted(axes.essay_templates),
            "evaluation": sorted(axes.evaluation_templates),
        },
        "models": {"generation": sorted(axes.generation_models), "evaluation": sorted(axes.evaluation_models)},
        "replicates": {str(stage): axes.replicates[stage] for stage in Stage},
    }


def build_frozen_part(
    catalogue: Catalogue, config: ExperimentConfig, members: Iterable[Member], combinations: Mapping[str, Combination]
) -> dict[str, Any]:
    """What the members' prompts and requests are made from: hashes of texts, models, settings."""
    template_ids: dict[Stage, set[str]] = {stage: set() for stage in Stage}
    model_ids: set[str] = set()
    for member in members:
        template_ids[member.stage].add(member.template_id)
        model_ids.add(member.llm_model_id)
    concept_ids = {concept for combination in combinations.values() for concept in combination.concept_ids}
    return {
        "templates": {
            str(stage): {
                template_id: _compute_sha256(catalogue.templates[stage][template_id].source)
                for template_id in sorted(template_ids[stage] & catalogue.templates[stage].keys())
            }
            for stage in Stage
        },
        "concepts": _freeze_concepts(catalogue, combinations.values(), concept_ids),
        "models": {
            model_id: {"model": model.model, "endpoint": model.endpoint, "params": dict(model.params)}
            for model_id in sorted(model_ids & catalogue.models.keys())
            if (model := catalogue.models[model_id])
        },
        "settings": {
            "k_max": config.k_max,
            "description_level": config.description_level,
            "stages": {
                str(stage): {
                    "max_tokens": settings.max_tokens,
                    "temperature": settings.temperature,
                    "min_lines": settings.min_lines,
                }
                for stage, settings in config.stages.items()
            },
        },
        "combinations": {
            combo_id: {
                "concept_ids": list(combination.concept_ids),
                "description_level": combination.description_level,
                "k_max": combination.k_max,
            }
            for combo_id, combination in sorted(combinations.items())
        },
    }


def _freeze_concepts(
    catalogue: Catalogue, combinations: Iterable[Combination], concept_ids: set[str]
) -> dict[str, dict[str, str]]:
    levels = sorted({combination.description_level for combination in combinations})
    return {
        concept_id: {level: _compute_sha256(f"{concept.name}\n{concept.description(level)}") for level in levels}
        for concept_id in sorted(concept_ids)
        if (concept := catalogue.concepts.get(concept_id)) is not None
    }


def _compute_sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", errors="replace")).hexdigest()
