"""Concept combinations: which concepts go together into one draft prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

from daydreaming_dagster.domain.catalogue import Concept, DescriptionLevel
from daydreaming_dagster.domain.errors import ConfigurationError
from daydreaming_dagster.domain.ids import compute_combo_id

LARGEST_TABLE = 1_000_000
"""Combinations; more than that is a slip in `k_max` or in the active concepts, and would fill the memory."""


@dataclass(frozen=True, slots=True)
class Combination:
    """A set of concepts at one description level; `concept_ids` keep the order in which the prompt shows them."""

    combo_id: str
    concept_ids: tuple[str, ...]
    description_level: DescriptionLevel
    k_max: int


def build_combination(concept_ids: Sequence[str], description_level: DescriptionLevel, k_max: int) -> Combination:
    """The combination of exactly these concepts."""
    return Combination(
        combo_id=compute_combo_id(concept_ids, description_level, k_max),
        concept_ids=tuple(concept_ids),
        description_level=description_level,
        k_max=k_max,
    )


def build_all_combinations(
    concepts: Sequence[Concept], description_level: DescriptionLevel, k_max: int
) -> list[Combination]:
    """All C(n, k_max) combinations of the given concepts, in the order of the concepts.

    Raises:
        ConfigurationError: fewer concepts than k_max, k_max below 1, or far too many combinations.
    """
    if k_max < 1:
        raise ConfigurationError(
            f"k_max is {k_max}, but a combination needs at least one concept.",
            fix="Set k_max (DD_K_MAX or --k-max) to 1 or more.",
        )
    if len(concepts) < k_max:
        raise ConfigurationError(
            f"{len(concepts)} active concepts cannot make combinations of k_max = {k_max}.",
            fix="Set more concepts active in 1_raw/concepts_metadata.csv, or lower k_max (DD_K_MAX or --k-max).",
        )
    count = comb(len(concepts), k_max)
    if count > LARGEST_TABLE:
        raise ConfigurationError(
            f"{len(concepts)} active concepts make {count:,} combinations of k_max = {k_max}; "
            f"more than {LARGEST_TABLE:,} are refused.",
            fix="Lower k_max (DD_K_MAX or --k-max), or set fewer concepts active in 1_raw/concepts_metadata.csv.",
        )
    ids = [concept.concept_id for concept in concepts]
    return [build_combination(chosen, description_level, k_max) for chosen in combinations(ids, k_max)]


def has_same_content(first: Combination, second: Combination) -> bool:
    """Whether two combinations are the same concepts at the same level and size; the order of concepts is no part."""
    return (
        sorted(first.concept_ids) == sorted(second.concept_ids)
        and first.description_level == second.description_level
        and first.k_max == second.k_max
    )
