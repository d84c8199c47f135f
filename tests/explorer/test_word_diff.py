from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daydreaming_dagster.explorer.word_diff import compare_texts

TEXTS = st.text(alphabet="ab .\n", max_size=60)


def weave(first: str, second: str, kind: str) -> str:
    return "".join(span.text for span in compare_texts(first, second).spans if span.kind in {"same", kind})


@given(TEXTS, TEXTS)
def test_both_texts_can_be_read_in_the_comparison(first: str, second: str) -> None:
    assert weave(first, second, "gone") == first
    assert weave(first, second, "new") == second


@given(TEXTS)
def test_a_text_is_the_same_as_itself(text: str) -> None:
    comparison = compare_texts(text, text)
    assert comparison.share == 1
    assert all(span.kind == "same" for span in comparison.spans)


def test_a_changed_phrase_is_one_change() -> None:
    spans = compare_texts("The slow archive waits.", "The very quick map waits.").spans
    assert [(span.kind, span.text) for span in spans] == [
        ("same", "The "),
        ("gone", "slow archive"),
        ("new", "very quick map"),
        ("same", " waits."),
    ]


def test_a_paragraph_that_is_new_leaves_those_around_it_alone() -> None:
    before, after = "It wanders, and we look on.\n\n", "Consider the network of a mind, when it attends to a task."
    spans = compare_texts(before + after, f"{before}## A mechanism, not a metaphor\n\n{after}").spans
    assert [span.kind for span in spans] == ["same", "new", "same"]
    assert spans[1].text.strip() == "## A mechanism, not a metaphor"


def test_a_few_common_words_do_not_part_a_long_change() -> None:
    spans = compare_texts("So: one two three of four five six.", "So: red green blue of black white grey.").spans
    assert [span.kind for span in spans] == ["same", "gone", "new", "same"]


def test_a_text_of_which_only_the_lines_are_broken_otherwise_keeps_its_words() -> None:
    spans = compare_texts("One two three\nfour.\n", "One two\nthree four.").spans
    assert {span.text.strip() for span in spans if span.kind != "same"} == {""}


def test_long_texts_are_compared_by_line() -> None:
    first = "\n".join(f"line {number} of a long text" for number in range(5000))
    comparison = compare_texts(first, first.replace("line 77 ", "row 77 "))
    assert comparison.by_line
    assert [span.kind for span in comparison.spans] == ["same", "gone", "new", "same"]
