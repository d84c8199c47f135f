from __future__ import annotations

from daydreaming_dagster.utils.wording import show_count, suggest


def test_a_count_agrees_with_its_noun() -> None:
    shown = [show_count(1, "essay"), show_count(1200, "essay"), show_count(0, "reply", "replies")]
    assert shown == ["1 essay", "1,200 essays", "0 replies"]


def test_a_misspelt_name_is_answered_with_those_most_like_it_whatever_their_case() -> None:
    known = {"Narrative", "novelty", "narrow", "zebra"}
    assert suggest("narativ", known) == "; is 'Narrative' meant?"
    assert suggest("narr", known, most=3) == "; is 'narrow' or 'Narrative' meant?"
    assert suggest("quartz", known) == ""
