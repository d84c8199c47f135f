"""A cohort's manifest: what decides its membership, and what was true of the inputs when it was built.

The part `membership` alone decides the cohort id. Everything else is frozen beside it, so that a later run can say what
has changed since: a template that was edited makes other prompts, but the same rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from daydreaming_dagster.domain.catalogue import Catalogue
from daydreaming_dagster.domain.combinations import Combination
from daydreaming_dagster.domain.experiment_config import ExperimentConfig
from daydreaming_dagster.domain.membership import MODE_CARTESIAN, Axes, Member
from daydreaming_dagster.domain.selection import Selection
from daydreaming_dagster.domain.stages import Stage

_SHOWN_IDS = 5


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


def build_curated_part(selection: Selection, axes: Axes) -> dict[str, Any]:
    """What decides the membership of a curated cohort; axes that its mode does not use are no part of it."""
    templates = {"evaluation": sorted(axes.evaluation_templates)}
    if selection.stage is Stage.DRAFT:
        templates["essay"] = sorted(axes.essay_templates)
    stages = list(Stage)
    made = stages[stages.index(selection.mode.minted) :]
    return {
        "mode": selection.mode.value,
        "selection": {
            "stage": selection.stage.value,
            "fill_up": selection.fill_up,
            "gen_ids": sorted(selected.gen_id for selected in selection.ids),
        },
        "templates": templates,
        "models": {"evaluation": sorted(axes.evaluation_models)},
        "replicates": {str(stage): axes.replicates[stage] for stage in made},
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
                template_id: catalogue.templates[stage][template_id].sha256
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


def describe_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two manifests, a sentence each: what has changed since the older one was built."""
    return [
        *_describe_membership(old.get("membership") or {}, new.get("membership") or {}),
        *_describe_texts(old.get("templates") or {}, new.get("templates") or {}),
        *_describe_concepts(old.get("concepts") or {}, new.get("concepts") or {}),
        *_describe_values("Model '{}'", old.get("models") or {}, new.get("models") or {}),
        *_describe_settings(old.get("settings") or {}, new.get("settings") or {}),
        *_describe_value("The package version", old.get("package_version"), new.get("package_version")),
    ]


def _describe_membership(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    yield from _describe_value("The mode", old.get("mode"), new.get("mode"))
    yield from _describe_ids("Combinations", old.get("combinations"), new.get("combinations"))
    for kind in ("templates", "models"):
        before, now = old.get(kind) or {}, new.get(kind) or {}
        for stage in sorted(before.keys() | now.keys()):
            yield from _describe_ids(f"{stage.capitalize()} {kind}", before.get(stage), now.get(stage))
    yield from _describe_values("The number of {} replicates", old.get("replicates") or {}, new.get("replicates") or {})
    before, now = old.get("selection") or {}, new.get("selection") or {}
    yield from _describe_ids("Selected generations", before.get("gen_ids"), now.get("gen_ids"))
    yield from _describe_value("Fill-up", before.get("fill_up"), now.get("fill_up"))


def _describe_texts(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for stage in sorted(old.keys() & new.keys()):
        for template_id in sorted(old[stage].keys() & new[stage].keys()):
            if old[stage][template_id] != new[stage][template_id]:
                yield f"The text of the {stage} template '{template_id}' was edited."


def _describe_concepts(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for concept_id in sorted(old.keys() & new.keys()):
        for level in sorted(old[concept_id].keys() & new[concept_id].keys()):
            if old[concept_id][level] != new[concept_id][level]:
                yield f"The {level} of the concept '{concept_id}' was edited."


def _describe_settings(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    flat_old, flat_new = _flatten(old), _flatten(new)
    for name in sorted(flat_old.keys() & flat_new.keys()):
        yield from _describe_value(f"The setting {name}", flat_old[name], flat_new[name])


def _describe_values(what: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(old.keys() & new.keys()):
        yield from _describe_value(what.format(name), old[name], new[name])


def _describe_value(what: str, old: object, new: object) -> Iterator[str]:
    if old is not None and new is not None and old != new:
        yield f"{what} changed from {old} to {new}."


def _describe_ids(what: str, old: Sequence[str] | None, new: Sequence[str] | None) -> Iterator[str]:
    before, now = set(old or ()), set(new or ())
    for verb, ids in (("added", sorted(now - before)), ("removed", sorted(before - now))):
        if ids:
            shown = ", ".join(ids[:_SHOWN_IDS]) + (
                f" and {len(ids) - _SHOWN_IDS} more" if len(ids) > _SHOWN_IDS else ""
            )
            yield f"{what} {verb}: {shown}."


def _flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, item in value.items():
        flat |= _flatten(item, f"{prefix}{name}.") if isinstance(item, Mapping) else {prefix + name: item}
    return flat


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
