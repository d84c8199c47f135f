"""What an experiment may vary besides its input files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from daydreaming_dagster.domain.catalogue import DescriptionLevel
from daydreaming_dagster.domain.stages import Stage


@dataclass(frozen=True, slots=True)
class StageConfig:
    """How one stage's generations are made.

    Attributes:
        max_tokens: upper bound of an answer, tokens, reasoning included; a model's own `params` may override it.
        temperature: sampling temperature; a model's own `params` may override it.
        min_lines: fewest non-empty lines of a usable response.
        force: call the model even when a usable response to the same request is stored.
    """

    max_tokens: int
    temperature: float
    min_lines: int
    force: bool = False


@dataclass(frozen=True, slots=True)
class ExperimentConfig:
    """Settings of a cohort.

    Attributes:
        k_max: concepts per combination.
        description_level: which text of a concept goes into draft prompts.
    """

    k_max: int
    description_level: DescriptionLevel
    stages: Mapping[Stage, StageConfig]
