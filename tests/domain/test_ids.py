from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daydreaming_dagster.domain.ids import (
    compute_cohort_id,
    compute_combo_id,
    compute_draft_gen_id,
    compute_essay_gen_id,
    compute_evaluation_gen_id,
)
from daydreaming_dagster.domain.stages import Stage, find_stage_of

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,12}", fullmatch=True)


def test_the_examples_of_the_format_description() -> None:
    assert compute_combo_id(["b", "a"], "paragraph", 2) == "combo_v1_e34ea0f62a24"
    assert compute_draft_gen_id("combo-1", "draft-A", "gen-model", 1) == "d_21hnyjluy35totlo"
    assert compute_essay_gen_id("d_21hnyjluy35totlo", "essay-X", 1) == "e_2n6ko9fgp89xemwt"
    assert compute_evaluation_gen_id("e_2n6ko9fgp89xemwt", "eval-1", "eval-model", 1) == "v_1i6m1c7p4o18cct"


@given(names, names, names, st.integers(1, 1000))
def test_a_gen_id_ignores_case_and_blanks_around_and_tells_its_stage(
    combo_id: str, template_id: str, model_id: str, replicate: int
) -> None:
    gen_id = compute_draft_gen_id(combo_id, template_id, model_id, replicate)
    assert gen_id == compute_draft_gen_id(f" {combo_id.upper()}", template_id.lower(), f"{model_id}\n", replicate)
    assert find_stage_of(gen_id) is Stage.DRAFT
    assert set(gen_id[2:]) <= set("0123456789abcdefghijklmnopqrstuvwxyz")


@given(names, names, names, names, st.integers(1, 50), st.integers(1, 50))
def test_two_signatures_that_differ_in_more_than_case_have_two_ids(
    first: str, second: str, template_id: str, model_id: str, one: int, two: int
) -> None:
    same = first.lower() == second.lower() and one == two
    ids = {
        compute_evaluation_gen_id(first, template_id, model_id, one),
        compute_evaluation_gen_id(second, template_id, model_id, two),
    }
    assert len(ids) == (1 if same else 2)


@pytest.mark.parametrize("level", ["sentence", "article"])
def test_a_combination_at_another_level_or_size_is_another_one(level: str) -> None:
    assert compute_combo_id(["a", "b"], level, 2) != compute_combo_id(["a", "b"], "paragraph", 2)
    assert compute_combo_id(["a", "b"], level, 2) != compute_combo_id(["a", "b"], level, 3)


def test_a_cohort_id_does_not_depend_on_the_order_of_keys() -> None:
    first = compute_cohort_id({"mode": "cartesian", "replicates": {"draft": 1, "essay": 2}})
    assert first == compute_cohort_id({"replicates": {"essay": 2, "draft": 1}, "mode": "cartesian"})
    assert first.startswith("cohort-")
    assert len(first) == len("cohort-") + 12
