from __future__ import annotations

import pytest

from daydreaming_dagster.explorer.pages.searching import find_passage
from daydreaming_dagster.explorer.rendering import show_usd
from daydreaming_dagster.explorer.texts import render_markdown
from daydreaming_dagster.store.search_documents import count_words


@pytest.mark.parametrize("formula", [r"$p_i \* q_j$", r"$$a * b * c \\ \{x\}$$", r"\(x_1*y_1*z\)", r"\[\frac{1}{2}\]"])
def test_a_formula_is_shown_as_it_was_written(formula: str) -> None:
    assert f"<code>{formula}</code>" in render_markdown(f"Let {formula} be *small*.")
    assert "<em>small</em>" in render_markdown(f"Let {formula} be *small*.")


@pytest.mark.parametrize("text", ["It costs $5, not $6.", "From $a to $b.", "US$ 3 and $ 4", "$ x$", "$x"])
def test_money_is_no_formula(text: str) -> None:
    assert "<code>" not in render_markdown(text)


def test_a_table_is_scrolled_by_itself_and_what_is_struck_is_struck() -> None:
    shown = render_markdown("| a | b |\n|---|---|\n| ~~1~~ | <table> |\n")
    assert shown.count('<div class="wider" tabindex="0" role="region" aria-label="Table"><table>') == 1
    assert shown.count("</table></div>") == 1
    assert "<s>1</s>" in shown


@pytest.mark.parametrize("text", ["# a\n\n## b\n", "## a\n\n### b\n", "#### a\n\n##### b\n"])
def test_headings_stand_right_below_those_of_the_page(text: str) -> None:
    assert render_markdown(text).split() == ["<h3>a</h3>", "<h4>b</h4>"]


def test_a_passage_begins_and_ends_with_whole_words() -> None:
    text = "x" * 30 + " beginning. " + "word " * 30 + "the **needle** stands. " + "more " * 60 + "ending."
    passage = find_passage(text, ["needle"])
    assert passage is not None
    words = passage.replace("… ", "").replace(" …", "").split()
    assert {"the", "<mark>needle</mark>", "stands."} < set(words) <= set(text.split()) | {"<mark>needle</mark>"}


def test_a_passage_without_spaces_keeps_what_was_found() -> None:
    passage = find_passage("白" * 500 + "，needle，" + "梦" * 500, ["needle"])
    assert passage is not None
    assert "<mark>needle</mark>" in passage


@pytest.mark.parametrize(("text", "words"), [("", 0), ("one two—three\n", 2), ("大语言模型", 5), ("LLM 做梦。", 4)])
def test_words_are_counted_also_where_no_spaces_are(text: str, words: int) -> None:
    assert count_words(text) == words


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0, "$0.00"), (0.00001, "<$0.0001"), (0.0004, "$0.0004"), (0.12, "$0.120")]
)
def test_small_money_is_not_shown_as_none(value: float, shown: str) -> None:
    assert show_usd(value) == shown
