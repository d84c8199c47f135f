"""The rows of the input files, as values. Reading and checking the files is `store/raw_inputs.py`.

A `Catalogue` in hand is valid: ids are unique, every template has its text, every parser exists, every model's
endpoint and pool is known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, get_args

from daydreaming_dagster.domain.errors import ConfigurationError
from daydreaming_dagster.domain.stages import Stage

DescriptionLevel = Literal["sentence", "paragraph", "article"]
DESCRIPTION_LEVELS: tuple[DescriptionLevel, ...] = ("sentence", "paragraph", "article")


def require_description_level(text: str) -> DescriptionLevel:
    """The level of that name.

    Raises:
        ConfigurationError: there is none.
    """
    for level in DESCRIPTION_LEVELS:
        if text == level:
            return level
    raise ConfigurationError(
        f"There is no description level {text!r}.", fix=f"Use one of: {', '.join(DESCRIPTION_LEVELS)}."
    )


POOL_FREE, POOL_PAID, POOL_LOCAL = "llm_api_free", "llm_api_paid", "llm_local"
ENDPOINT_OPENROUTER, ENDPOINT_EMBEDDED = "openrouter", "embedded"


@dataclass(frozen=True, slots=True)
class Concept:
    """One idea that can be combined with others.

    Attributes:
        descriptions: stripped, non-empty texts by level; a level without a text is absent.
    """

    concept_id: str
    name: str
    active: bool
    descriptions: Mapping[str, str] = field(default_factory=dict)

    def description(self, level: DescriptionLevel) -> str:
        """The text at the asked level, else paragraph, else sentence, else the name; article is never a fallback."""
        for candidate in (level, "paragraph", "sentence"):
            if text := self.descriptions.get(candidate):
                return text
        return self.name


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt template of one stage.

    Attributes:
        parser: name in the stage's parser registry (`utils/draft_parsers.py`, `domain/score_parsers.py`).
        generator: `llm` asks a model; `copy` (essays only) takes the parent's parsed text as it is.
        source: Jinja2 text of the template; empty for `copy`.
        scale_min, scale_max: ends of the rubric's scale, in points; evaluations only.
        construct: what the rubric measures (`novelty_judged`, `coherence`, …); blank when undeclared.
        direction: `higher_is_better` or `lower_is_better`; evaluations only.
    """

    stage: Stage
    template_id: str
    template_name: str
    description: str
    parser: str
    generator: Literal["llm", "copy"]
    active: bool
    source: str
    scale_min: float = 0.0
    scale_max: float = 9.0
    construct: str = ""
    direction: Literal["higher_is_better", "lower_is_better"] = "higher_is_better"

    @property
    def sha256(self) -> str:
        """Hash of the text: the id names a template for ever, the hash says with which text it was sent."""
        return _compute_sha256(self.source)


@lru_cache(maxsize=1000)
def _compute_sha256(source: str) -> str:
    return hashlib.sha256(source.encode("utf-8", errors="replace")).hexdigest()


@dataclass(frozen=True, slots=True)
class Model:
    """A language model that may write or judge.

    Attributes:
        id: short name used in ids and tables.
        model: name sent to the API.
        provider: the maker's name, a label.
        endpoint: name of an `Endpoint`.
        pool: name of a `Pool`.
        family: makers of one family share training; used to flag judges of the generator's own kind.
        price_prompt, price_completion: USD per token; None when unknown.
        params: extra request fields, merged into each request's body.
    """

    id: str
    model: str
    provider: str
    display_name: str
    for_generation: bool
    for_evaluation: bool
    specialization: str
    endpoint: str
    pool: str
    family: str
    price_prompt: float | None = None
    price_completion: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)


EndpointKind = Literal["openai", "openrouter_batch", "embedded", "scripted"]
ENDPOINT_KINDS: tuple[EndpointKind, ...] = get_args(EndpointKind)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go. The key itself is never here: `api_key_env` names the variable that holds it."""

    endpoint: str
    kind: EndpointKind
    base_url: str = ""
    api_key_env: str = ""
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def answers_later(self) -> bool:
        """Whether calls wait for a batch at the provider, for hours perhaps."""
        return self.kind == "openrouter_batch"

    @property
    def has_server(self) -> bool:
        """Whether calls go to somebody else, who can be asked for prices and keys, and wants money."""
        return self.kind in ("openai", "openrouter_batch")


@dataclass(frozen=True, slots=True)
class Pool:
    """Limits shared by all models of a pool and all processes that use one data root; None means unlimited."""

    pool: str
    max_concurrent: int
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    requests_per_day: int | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything under `data/1_raw`, active or not, in the order of the files.

    Attributes:
        replicates: how many generations of each stage are made per signature, at least 1.
    """

    concepts: Mapping[str, Concept]
    templates: Mapping[Stage, Mapping[str, Template]]
    models: Mapping[str, Model]
    endpoints: Mapping[str, Endpoint]
    pools: Mapping[str, Pool]
    replicates: Mapping[Stage, int]

    def active_concepts(self) -> list[Concept]:
        """Active concepts in file order."""
        return [concept for concept in self.concepts.values() if concept.active]

    def active_templates(self, stage: Stage) -> list[Template]:
        """Active templates of a stage in file order."""
        return [template for template in self.templates[stage].values() if template.active]

    def generation_models(self) -> list[Model]:
        """Models that write drafts (and thereby essays), in file order."""
        return [model for model in self.models.values() if model.for_generation]

    def evaluation_models(self) -> list[Model]:
        """Models that judge, in file order."""
        return [model for model in self.models.values() if model.for_evaluation]
