"""Identifiers, computed from names alone so that the same request always has the same id.

What an id does not say, and must not, is what was really sent: that is `request_sha256` in `raw_metadata.json`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from daydreaming_dagster.domain.stages import Stage

_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"


def compute_combo_id(concept_ids: Iterable[str], description_level: str, k_max: int) -> str:
    """`combo_v1_` and 12 hex digits of SHA-256; the order of the concepts does not matter."""
    key = "|".join([*sorted(concept_ids), description_level, str(k_max)])
    return "combo_v1_" + hashlib.sha256(key.encode()).hexdigest()[:12]


def compute_draft_gen_id(combo_id: str, template_id: str, llm_model_id: str, replicate: int) -> str:
    """Id of the draft that this model writes from this combination with this template."""
    return _compute_gen_id(Stage.DRAFT, combo_id, template_id, llm_model_id, str(replicate))


def compute_essay_gen_id(draft_gen_id: str, template_id: str, replicate: int) -> str:
    """Id of the essay made from a draft; the model is the draft's and therefore no part of it."""
    return _compute_gen_id(Stage.ESSAY, draft_gen_id, template_id, str(replicate))


def compute_evaluation_gen_id(essay_gen_id: str, template_id: str, llm_model_id: str, replicate: int) -> str:
    """Id of one judge model's evaluation of an essay with one template."""
    return _compute_gen_id(Stage.EVALUATION, essay_gen_id, template_id, llm_model_id, str(replicate))


def compute_cohort_id(membership_manifest: Mapping[str, Any]) -> str:
    """`cohort-` and 12 hex digits of BLAKE2s over the canonical JSON of what decides the membership."""
    canonical = orjson.dumps(membership_manifest, option=orjson.OPT_SORT_KEYS)
    return "cohort-" + hashlib.blake2s(canonical, digest_size=6).hexdigest()


def _compute_gen_id(stage: Stage, *signature: str) -> str:
    text = "|".join(field.strip().lower() for field in signature)
    number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=10).digest(), "big")
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _BASE36[digit] + digits
    return stage.id_prefix + (digits or "0")
