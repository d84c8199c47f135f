from __future__ import annotations

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daydreaming_dagster.domain.catalogue import Concept
from daydreaming_dagster.domain.combinations import build_all_combinations, build_combination, has_same_content
from daydreaming_dagster.domain.errors import ConfigurationError

concept_ids = st.lists(st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True), min_size=1, max_size=7, unique=True)


def concepts(ids: list[str]) -> list[Concept]:
    return [Concept(concept_id, concept_id.title(), True) for concept_id in ids]


@given(concept_ids, st.integers(1, 8))
def test_all_combinations_are_made_once_in_the_order_of_the_concepts(ids: list[str], k_max: int) -> None:
    if k_max > len(ids):
        with pytest.raises(ConfigurationError):
            build_all_combinations(concepts(ids), "paragraph", k_max)
        return
    combinations = build_all_combinations(concepts(ids), "paragraph", k_max)
    assert len({combination.combo_id for combination in combinations}) == len(combinations) == comb(len(ids), k_max)
    for combination in combinations:
        assert list(combination.concept_ids) == sorted(combination.concept_ids, key=ids.index)


@given(concept_ids.flatmap(lambda ids: st.tuples(st.just(ids), st.permutations(ids))))
def test_the_order_of_concepts_changes_neither_id_nor_content(orders: tuple[list[str], list[str]]) -> None:
    first, second = (build_combination(ids, "sentence", len(ids)) for ids in orders)
    assert first.combo_id == second.combo_id
    assert has_same_content(first, second)
    assert not has_same_content(first, build_combination(orders[0], "article", len(orders[0])))


def test_the_id_of_the_format_description() -> None:
    assert build_combination(["b", "a"], "paragraph", 2).combo_id == "combo_v1_e34ea0f62a24"
