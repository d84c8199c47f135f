"""A draft's parsed text is the part of the response that the template asks for, or a refusal with a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daydreaming_dagster.domain.errors import ConfigurationError, ResponseError
from daydreaming_dagster.utils.draft_parsers import DRAFT_PARSERS, DraftRefusal, parse_draft


def refusal(parser: str, text: str) -> str:
    with pytest.raises(ResponseError) as refused:
        parse_draft(parser, text)
    assert refused.value.reason == "parse_failed"
    assert refused.value.culprits["parser"] == parser
    return str(DraftRefusal(refused.value.culprits["code"]))


@given(st.text())
def test_identity_changes_nothing(text: str) -> None:
    assert parse_draft("identity", text) == text


# --- essay_block -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "<essay>An idea.</essay>",
        "Here it is:\n\n<essay>\n  An idea.\n</essay>\nDone.",
        "<ESSAY>An idea.</Essay>",
        '<essay title="On dreams" lang=en>An idea.</essay>',
        "<essay >An idea.</essay >",
        "<essay>\r\nAn idea.\r\n</essay>",
        "<essay>An idea.",
        "<think>I could write <essay>a draft</essay>.</think><essay>An idea.</essay>",
        "<thinking>\n<essay>\n</thinking>\n<essay>An idea.</essay>",
        "The tag <essay> belongs here</think>\n<essay>An idea.</essay>",
        "<essay>An idea.</essay>\n<essay>A second one.</essay>",
    ],
)
def test_the_essay_is_what_stands_between_its_tags(text: str) -> None:
    assert parse_draft("essay_block", text) == "An idea."


def test_markup_inside_the_essay_is_kept() -> None:
    assert parse_draft("essay_block", "<essay># Title\n\nOne <em>idea</em>.</essay>") == "# Title\n\nOne <em>idea</em>."


def test_an_essay_may_speak_of_thinking_tags() -> None:
    text = "<essay>Models open a <think> tag and forget it.</essay>"
    assert parse_draft("essay_block", text) == "Models open a <think> tag and forget it."


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "no_block"),
        ("An idea without tags.", "no_block"),
        ("<essays>An idea.</essays>", "no_block"),
        ("<essay-idea>An idea.</essay-idea>", "no_block"),
        ("<think><essay>Only a thought.</essay></think>", "no_block"),
        ("<think><essay>Cut off while thinking.</essay>", "no_block"),
        ("<essay></essay>", "empty_block"),
        ("<essay> \n\t</essay> trailing words", "empty_block"),
        ("<essay>", "empty_block"),
    ],
)
def test_no_tag_or_nothing_inside_is_a_failure(text: str, code: str) -> None:
    assert refusal("essay_block", text) == code


# --- essay_idea_last -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '<essay-idea stage="1">early</essay-idea><essay-idea stage="2">late</essay-idea>',
        '<essay-idea stage="2">late</essay-idea><essay-idea stage="1">early</essay-idea>',
        '<essay-idea stage="2">early</essay-idea><essay-idea stage="10">late</essay-idea>',
        '<essay-idea stage="1">early</essay-idea><essay-idea stage="1">late</essay-idea>',
        "<essay-idea>early</essay-idea>\n<essay-idea>late</essay-idea>",
        '<essay-idea stage="1">late</essay-idea><essay-idea>no stage</essay-idea>',
        "<essay-idea stage='1'>early</essay-idea><essay-idea stage=2>late</essay-idea>",
        "<essay-idea stage=“2”>late</essay-idea><essay-idea stage=1>early</essay-idea>",
        '<essay-idea stage="1">\r\nearly\r\n</essay-idea>\r\n<essay-idea stage="2">\r\nlate\r\n</essay-idea>\r\n',
        '  <essay-idea stage="1">\n    early\n  </essay-idea>\n  <essay-idea stage="2">\n    late\n  </essay-idea>',
        '<Essay-Idea Stage="2">late</ESSAY-IDEA>',
        '<essay-idea id="a" stage="2" tone="calm">late</essay-idea><essay-idea stage="1">early</essay-idea>',
        '<essay-idea stage="1">never closed <essay-idea stage="2">late</essay-idea>',
        '<essay-idea stage="3">never closed <essay-idea stage="2">late</essay-idea>',
        '<essay-idea stage="2">late</essay-idea><essay-idea stage="3">never closed',
        '<think><essay-idea stage="9">a thought</essay-idea></think><essay-idea stage="2">late</essay-idea>',
        'stray </essay-idea><essay-idea stage="2">late</essay-idea>',
        '<essay-idea sub-stage="9" stage="2">late</essay-idea><essay-idea stage="3" >late</essay-idea>',
    ],
)
def test_the_last_idea_of_the_highest_stage_wins(text: str) -> None:
    assert parse_draft("essay_idea_last", text) == "late"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "no_block"),
        ("no tags", "no_block"),
        ("<essay>another tag</essay>", "no_block"),
        ('<essay-idea stage="1">never closed', "unclosed_block"),
        ('<essay-idea stage="1">early</essay-idea><essay-idea stage="2"> </essay-idea>', "empty_block"),
    ],
)
def test_without_a_whole_idea_the_parser_refuses(text: str, code: str) -> None:
    assert refusal("essay_idea_last", text) == code


@given(
    st.lists(st.tuples(st.integers(1, 99), st.text("abc <&\n", min_size=1).filter(str.strip)), min_size=1, max_size=6),
    st.sampled_from(['"', "'", ""]),
    st.sampled_from(["\n", "\r\n", ""]),
)
def test_any_number_of_stages_in_any_order_gives_the_highest(
    ideas: list[tuple[int, str]], quote: str, newline: str
) -> None:
    text = newline.join(
        f"<essay-idea stage={quote}{stage}{quote}>{newline}{idea}</essay-idea>" for stage, idea in ideas
    )
    highest = max(stage for stage, _ in ideas)
    assert parse_draft("essay_idea_last", text) == [idea for stage, idea in ideas if stage == highest][-1].strip()


# --- all of them -----------------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        "<essay>",
        "</essay>",
        "<essay-idea>",
        '<essay-idea stage="2">',
        "</essay-idea>",
        "<think>",
        "</think>",
        "a",
        "\n",
        "<",
        ">",
    ]
)


@given(st.sampled_from(sorted(DRAFT_PARSERS)), st.one_of(st.text(), st.lists(PIECES, max_size=20).map("".join)))
def test_any_text_gives_text_from_the_response_or_a_response_error(parser: str, text: str) -> None:
    try:
        parsed = parse_draft(parser, text)
    except ResponseError as refused:
        assert refused.culprits["code"] in set(DraftRefusal)
    else:
        assert parser == "identity" or (parsed == parsed.strip() != "")


@pytest.mark.parametrize(
    "unit", ["<essay>", "<essay ", "</essay>", "<essay-idea stage=", "<essay-idea>", "<think>", "<", "a"]
)
def test_a_megabyte_of_one_tag_is_answered(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    for parser in ("essay_block", "essay_idea_last"):
        try:
            assert parse_draft(parser, text)
        except ResponseError as refused:
            assert refused.culprits["code"] in set(DraftRefusal)


def test_a_refusal_shows_the_last_lines_and_what_to_do() -> None:
    with pytest.raises(ResponseError) as refused:
        parse_draft("essay_block", "one\ntwo\n\nthree\nfour " + "x" * 400)
    message = str(refused.value)
    assert "'essay_block'" in message
    assert "no_block" in message
    assert "  | two\n  | three\n  | … x" in message
    assert "one" not in message
    assert len(message) < 900
    assert "daydreaming show GEN_ID" in refused.value.fix


def test_an_unknown_parser_is_a_configuration_error_that_names_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="essay_block, essay_idea_last, identity"):
        parse_draft("essay_blok", "text")
