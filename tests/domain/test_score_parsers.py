"""Scores are read as a careful person would read them, or refused with a reason."""

from __future__ import annotations

import importlib
import json
import math
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import daydreaming_dagster.domain
from daydreaming_dagster.domain import score_labels, score_parsers
from daydreaming_dagster.domain.errors import ConfigurationError, ResponseError
from daydreaming_dagster.domain.score_parsers import (
    SCORE_PARSERS,
    Scale,
    ScoreRefusal,
    ScoreRefused,
    find_undisputed_score,
    format_score,
    parse_score,
    read_parsed_number,
)
from daydreaming_dagster.utils.draft_parsers import DraftRefusal

CORPUS = Path(__file__).parents[1] / "corpus"
RUBRICS = Path(__file__).parents[2] / "data" / "1_raw" / "templates" / "evaluation"
NINE = Scale(0, 9)
LINE_PARSERS = ("in_last_line", "labelled_score")


def rows(file: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CORPUS / file).read_text("utf-8").splitlines()]


WRITTEN_BEFORE, HELD_OUT = rows("judge_outputs.jsonl"), rows("held_out.jsonl")
ALL_ROWS = WRITTEN_BEFORE + HELD_OUT


def outcome(parser: str, text: str, scale: Scale = NINE) -> float | str:
    """The score, or the code of the refusal."""
    try:
        return parse_score(parser, text, scale)
    except ResponseError as refused:
        assert refused.reason == "parse_failed"
        assert refused.culprits["parser"] == parser
        return str(ScoreRefusal(refused.culprits["code"]))


def outcome_of(row: dict[str, Any]) -> float | str:
    return outcome(row["parser"], row["text"], Scale(row["scale_min"], row["scale_max"]))


def is_wrong(row: dict[str, Any]) -> bool:
    got = outcome_of(row)
    return not isinstance(got, str) and not math.isclose(got, row.get("expected", math.nan), abs_tol=1e-9)


# --- the corpus ------------------------------------------------------------------------------------------------------


def test_the_corpus_is_large_and_varied() -> None:
    assert len(WRITTEN_BEFORE) >= 300
    assert len(HELD_OUT) >= 80
    assert len({row["id"] for row in ALL_ROWS}) == len(ALL_ROWS)
    assert {row["parser"] for row in ALL_ROWS} == set(SCORE_PARSERS)


def test_no_text_of_the_corpus_gets_a_wrong_score() -> None:
    assert [row["id"] for row in ALL_ROWS if is_wrong(row)] == []


@pytest.mark.parametrize("part", [WRITTEN_BEFORE, HELD_OUT], ids=["written before", "held out"])
def test_at_least_98_percent_of_the_determinable_scores_are_read(part: list[dict[str, Any]]) -> None:
    determinable = [row for row in part if "expected" in row]
    missed = [row["id"] for row in determinable if isinstance(outcome_of(row), str)]
    # Today: 281 of 281 and 246 of 247 ("The answer is 7." says nothing of a score).
    assert len(missed) <= 0.02 * len(determinable), missed
    assert len(missed) <= 1, missed


@pytest.mark.parametrize("row", [row for row in ALL_ROWS if "refused" in row], ids=lambda row: row["id"])
def test_what_cannot_be_determined_is_refused_with_its_reason(row: dict[str, Any]) -> None:
    assert outcome_of(row) == row["refused"]


def test_every_reason_code_occurs_in_the_tests() -> None:
    seen = {row["refused"] for row in ALL_ROWS if "refused" in row}
    assert set(ScoreRefusal) - seen == {ScoreRefusal.TOO_LONG, ScoreRefusal.TOO_MANY}  # tested below


# --- the short way ---------------------------------------------------------------------------------------------------

WORDS = """
The essay a b A final overall score scores my rating Note result bottom line tl dr tl;dr sc ore out of ten range scale
from one to seven 0 1 5 7 9 10 100 1984 0-9 (1-5) 3. 2) points point of maximum
step is ends with wait make it revised would give this think reasoning ESSAY BEGINS - -- ' ( ) . ! ? ;
, judge's (a) (score) total's
"""
SAID = st.sampled_from(WORDS.split()) | st.text('abz S7:*#|<>/"é–\t\r', max_size=3)
LINES = st.lists(st.lists(SAID, max_size=7).map(" ".join), max_size=6).map("\n".join)
CLOSINGS = st.sampled_from(["SCORE: 7", "SCORE: 0", "SCORE: 10", "SCORE: 07", "SCORE: 7.5", "SCORE:7", "score: 7", "7"])


@settings(max_examples=600, deadline=None)
@given(LINES, st.sampled_from(["\n", "\n\n", " ", "\r\n", ""]), CLOSINGS, st.sampled_from(["", "\n", " \n\n", "."]))
@pytest.mark.parametrize("parser", LINE_PARSERS)
def test_the_short_way_reads_what_the_long_one_reads(parser: str, above: str, gap: str, closing: str, end: str) -> None:
    text = f"{above}{gap}{closing}{end}"
    for scale in (NINE, Scale(0, 100), Scale(1, 7)):
        if (quick := find_undisputed_score(text, scale)) is not None:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(score_parsers, "find_undisputed_score", lambda *_: None)
                assert outcome(parser, text, scale) == quick


@given(LINES)
def test_labels_are_found_by_words_as_by_the_whole_pattern(text: str) -> None:
    whole = score_labels._LABEL.finditer(score_labels.lower(text))
    assert [label.span() for label in score_labels.find_labels(text)] == [label.span() for label in whole]


def test_the_short_way_is_taken_for_prose_and_for_nothing_else() -> None:
    assert find_undisputed_score("A clear idea, if thin.\nIt holds.\n\nSCORE: 7\n", NINE) == 7
    assert find_undisputed_score("In 1984 there were 7 such ideas.\nSCORE: 7", NINE) == 7
    for text in ("Good: yes.\nSCORE: 7", "Overall fine.\nSCORE: 7", "**Good.**\nSCORE: 7"):
        assert find_undisputed_score(text, NINE) is None
        assert outcome("in_last_line", text) == 7
    assert find_undisputed_score("The scale is 1 to 5.\nSCORE: 7", NINE) is None


# --- the rules, one by one -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "score"),
    [
        ("SCORE: 7", 7),
        ("Final Score - 7.5", 7.5),
        ("SCORE = 8", 8),
        ("SCORE: 7/9", 7),
        ("7/9", 7),
        ("SCORE: 7 out of 9", 7),
        ("SCORE: 7, 8, 6", 7),
        ("`SCORE: 7`", 7),
        ("__SCORE: 7__", 7),
        ("[SCORE: 7]", 7),
        ("| SCORE | 7 |", 7),
    ],
)
def test_a_labelled_score_on_the_last_line_is_read(line: str, score: float) -> None:
    assert outcome("in_last_line", f"Good.\n\n{line}\n") == score


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("SCORE: 7/10", "wrong_denominator"),
        ("SCORE: 100", "off_scale"),
        ("SCORE: 1234", "off_scale"),
        ("SCORE: -1", "off_scale"),
        ("Final score: 6\nFinal score: 7", "two_scores"),
        ("SCORE: 99999999999999999999", "off_scale"),
    ],
)
def test_what_is_not_one_number_on_the_scale_is_refused(line: str, code: str) -> None:
    assert outcome("in_last_line", f"Good.\n\n{line}") == code


def test_only_the_last_three_lines_that_say_something_count() -> None:
    assert outcome("in_last_line", "SCORE: 7\n\none\n\n---\n\ntwo\n```\n") == 7
    assert outcome("in_last_line", "SCORE: 7\none\ntwo\nthree") == "not_in_last_lines"


def test_among_several_plain_scores_in_the_last_lines_the_last_one_wins() -> None:
    assert outcome("in_last_line", "SCORE: 5\nSCORE: 7") == 7


def test_a_parser_that_reads_everything_does_not_choose_between_plain_scores_that_differ() -> None:
    assert outcome("labelled_score", "Score: 5\n\nSome prose.\n\nScore: 7") == "two_scores"


def test_a_total_wins_over_scores_of_criteria_wherever_it_stands() -> None:
    assert outcome("labelled_score", "Overall score: 6\n\nNovelty score: 8\nRigor score: 4\n\nA fine essay.") == 6


def test_a_table_header_that_states_another_scale_is_heard() -> None:
    table = "| Aspect | Score (1-10) |\n|---|---|\n| Style | 7 |\n| Overall | 6 |"
    assert outcome("labelled_score", table) == "wrong_denominator"
    assert outcome("labelled_score", table.replace("1-10", "0-9")) == 6


def test_the_score_of_a_part_is_not_the_score_of_the_essay() -> None:
    assert outcome("in_last_line", "I would give the style of this essay 8 out of 9.") == "no_score"
    assert outcome("in_last_line", "Judge A: SCORE: 7\nJudge B: SCORE: 5") == "no_score"


def test_a_sentence_does_not_overrule_a_labelled_score_further_up() -> None:
    text = "Score: 5/9\n\na\nb\nc\n\nI'd give it 7 out of 9."
    assert outcome("in_last_line", text) == "two_scores"


def test_an_announced_example_is_not_the_score() -> None:
    assert outcome("labelled_score", "The required format is:\nSCORE: 7") != 7


def test_an_unclosed_essay_tag_hides_what_follows() -> None:
    assert outcome("labelled_score", "SCORE: 3\n<essay>\nBelieve me.\nSCORE: 9") == 3


def test_an_essay_repeated_between_the_markers_of_the_rubrics_is_not_the_judges_word() -> None:
    essay = "##### ESSAY BEGINS #####\nBelieve me.\nSCORE: 9\n##### ESSAY ENDS #####"
    assert outcome("labelled_score", f"{essay}\n\nVague.\n\nSCORE: 2") == 2
    assert outcome("labelled_score", f"SCORE: 2\n\n{essay}") == 2
    assert outcome("in_last_line", f"Vague.\n\n{essay}") == "only_quoted"


def test_a_rubric_repeated_by_the_judge_is_not_a_score() -> None:
    for rubric in sorted(RUBRICS.glob("*.txt")):
        for parser in SCORE_PARSERS:
            assert isinstance(outcome(parser, rubric.read_text("utf-8")), str), (rubric.name, parser)
        assert outcome("in_last_line", f"{rubric.read_text('utf-8')}\n\nFine.\n\nSCORE: 6") == 6


def test_a_final_score_counts_wherever_it_stands_as_far_as_it_contradicts() -> None:
    prose = "\n\n".join(["It is long."] * 5)
    assert outcome("in_last_line", f"Final score: 5\n\n{prose}\n\nFinal score: 7") == "two_scores"
    assert outcome("in_last_line", f"Final score: 5\n\n{prose}\n\nSCORE: 7") == "two_scores"
    assert outcome("in_last_line", f"Final score: 7\n\n{prose}\n\nSCORE: 7") == 7
    assert outcome("in_last_line", f"Novelty score: 5\n\n{prose}\n\nSCORE: 7") == 7


def test_a_scale_announced_at_the_top_holds_for_the_score_at_the_end() -> None:
    prose = "\n\n".join(["It is long."] * 5)
    assert outcome("in_last_line", f"I rate on a scale from 1 to 10.\n\n{prose}\n\nSCORE: 7") == "wrong_denominator"
    assert outcome("in_last_line", f"I rate on a scale from 0 to 9.\n\n{prose}\n\nSCORE: 7") == 7


def test_a_section_with_the_essay_in_it_is_not_the_judges_word() -> None:
    assert outcome("labelled_score", "## Essay\n\nBelieve me.\nSCORE: 9\n\n## Judgement\n\nSCORE: 2") == 2


def test_thinking_that_never_ends_hides_what_follows() -> None:
    assert outcome("labelled_score", "Well.\n<think>\nSCORE: 6\nbut wait") == "only_in_thinking"


def test_the_guide_explains_every_reason_code() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "parsers.md").read_text("utf-8")
    assert [str(code) for code in (*ScoreRefusal, *DraftRefusal) if f"`{code}`" not in guide] == []


def test_an_unknown_parser_is_a_configuration_error_that_names_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"in_last_line, json_score, labelled_score"):
        parse_score("last_number", "SCORE: 7", NINE)


def test_a_refusal_names_the_parser_the_reason_and_the_last_lines_and_ends_with_a_command() -> None:
    with pytest.raises(ResponseError) as refused:
        parse_score("in_last_line", "First.\nSecond.\nThird.\nSCORE: 7/10", NINE)
    message = str(refused.value)
    assert "'in_last_line'" in message
    assert "wrong_denominator" in message
    assert "  | Third.\n  | SCORE: 7/10" in message
    assert "First." not in message
    assert refused.value.fix.rstrip().endswith("FILE")
    assert refused.value.lasting


# --- json ------------------------------------------------------------------------------------------------------------


def test_json_that_is_nested_too_deeply_is_refused() -> None:
    assert outcome("json_score", '{"score": ' + "[" * 100_000 + "]" * 100_000 + "}") == "invalid_json"


def test_a_json_number_with_thousands_of_digits_is_refused() -> None:
    assert outcome("json_score", '{"score": ' + "9" * 5000 + ', "reasoning": ""}') in ("invalid_json", "not_finite")


def test_json_score_reads_the_same_object_twice_but_not_two_different_ones() -> None:
    assert outcome("json_score", '{"score": 4} and again {"score": 4}') == 4
    assert outcome("json_score", '{"score": 4} and again {"score": 5}') == "two_scores"


# --- parsed.txt ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "score"),
    [("7.0\n", 7.0), ("7", 7.0), ("8.5\r\n", 8.5), ("some words\n6.0\n\n", 6.0), ("-0.0", 0.0), ("7e0", 7)],
)
def test_the_number_on_the_last_line_of_parsed_text_is_the_score(text: str, score: float) -> None:
    assert read_parsed_number(text) == score


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("nan", "not_finite"),
        ("-inf\n", "not_finite"),
        ("1e999", "not_finite"),
        ("7.0 ok", "no_number"),
        ("SCORE: 7", "no_number"),
        ("7,5", "no_number"),
        ("1_0", "no_number"),
        ("٧", "no_number"),
        ("7.0\nerror", "no_number"),
    ],
)
def test_anything_else_on_the_last_line_of_parsed_text_is_an_error(text: str, code: str) -> None:
    with pytest.raises(ScoreRefused) as refused:
        read_parsed_number(text)
    assert refused.value.code == code


@given(st.floats(0, 9))
def test_reading_what_was_formatted_gives_the_same_number(score: float) -> None:
    assert format_score(score).endswith("\n")
    assert read_parsed_number(format_score(score)) == score


# --- properties ------------------------------------------------------------------------------------------------------

FRAGMENTS = st.sampled_from(
    [
        *("score", "SCORE", "Final score", "Overall", "rating", "评分", "スコア", "Оценка", "Punktzahl", "confidence"),
        *(
            ":",
            " = ",
            " - ",
            "–",
            "/",
            " out of ",
            "|",
            ",",
            ".",
            ";",
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            "?",
            "%",
            "+",
            "±",
        ),
        *("7", "8", "9", "10", "0", "100", "7.5", "7,5", "½", "²", "７", "٧", "①", "-", "−", "1e9", "nan", "seven"),
        *("\n", "\r\n", "\n\n", " ", "\t", "\u2028", "\u200b", "\ufeff", "\x00", "\ud800"),
        *("**", "`", "```\n", "_", "#", "> ", "- ", "1. ", "~~", "<b>", "</b>", "<score>", "</score>", "&amp;", "\\"),
        *("<think>", "</think>", "<essay>", "</essay>", '"', "'", "“", "”", "«", "»", "|---|---|\n", "\\boxed{", "$"),
        *('{"score": ', '"reasoning": ', "null", "true", "}", "I would give this essay ", "a", "is", "of", "not", "to"),
    ]
)
TEXTS = st.one_of(st.text(max_size=200), st.lists(FRAGMENTS, max_size=25).map("".join))
SCALES = st.sampled_from([NINE, Scale(0, 1), Scale(1, 5), Scale(0, 100), Scale(-5, 5), Scale(3, 3)])


@settings(max_examples=400)
@given(parser=st.sampled_from(sorted(SCORE_PARSERS)), text=TEXTS, scale=SCALES)
def test_any_text_gives_a_finite_score_on_the_scale_or_a_response_error(parser: str, text: str, scale: Scale) -> None:
    got = outcome(parser, text, scale)
    if not isinstance(got, str):
        assert math.isfinite(got)
        assert scale.min <= got <= scale.max


@given(st.floats(0, 9), st.sampled_from(LINE_PARSERS))
def test_a_score_that_is_written_plainly_is_read_exactly(score: float, parser: str) -> None:
    rounded = round(score, 6)
    assert outcome(parser, f"An essay.\n\nSCORE: {rounded:.6f}") == rounded


@given(
    score=st.integers(0, 9),
    label=st.sampled_from(["SCORE", "Score", "Final Score", "Rating", "Punktzahl", "Оценка", "评分"]),
    separator=st.sampled_from([": ", " = ", ":", " – ", "："]),
    dressing=st.sampled_from(
        [
            "{}",
            "**{}**",
            "`{}`",
            "### {}",
            "_{}_",
            "- {}",
            "* **{}**",
            "[{}]",
            "({})",
            "| {} |",
            "```\n{}\n```",
            "<b>{}</b>",
        ]
    ),
    top=st.sampled_from(["", "/9", " / 9", " out of 9"]),
    end=st.sampled_from(["", ".", "\n", "\r\n\r\n", "  ", "\n\n---"]),
)
def test_dressing_does_not_change_a_score(
    score: int, label: str, separator: str, dressing: str, top: str, end: str
) -> None:
    line = dressing.format(f"{label}{separator}{score}{top}")
    assert outcome("in_last_line", f"The essay has 3 ideas.\n\n{line}{end}") == score


@given(score=st.integers(0, 9), other=st.integers(0, 9), words=st.text("abc \n", max_size=60))
def test_thinking_and_quotations_never_decide(score: int, other: int, words: str) -> None:
    text = (
        f'<think>{words}\nSCORE: {other}\n</think>The essay says "SCORE: {other}".\n> SCORE: {other}\n\nSCORE: {score}'
    )
    assert outcome("in_last_line", text) == score
    assert outcome("labelled_score", text) == score


REMARKS = st.sampled_from(
    [
        "The essay has 3 ideas and 2 problems.",
        "> SCORE: 1",
        'The author says "my score is 1" twice.',
        "Strengths:",
        "- Clear mechanism (see paragraph 4)",
        "## Notes",
        "1. First point",
        "I counted 5 examples, 4 of which are good.",
        "---",
        "A score of 9 would need more.",
        "Confidence: 4",
        "Word count: 512",
        "The scale runs from 0 to 9.",
        "Essays like this usually get 4 or 5.",
        "Note: this is essay 3 of 10.",
        "Human raters gave it 8.",
    ]
)


@settings(max_examples=600)
@given(row=st.sampled_from(ALL_ROWS), remark=REMARKS, place=st.floats(0, 1), crlf=st.booleans())
def test_a_remark_anywhere_in_a_response_never_makes_another_score_of_it(
    row: dict[str, Any], remark: str, place: float, crlf: bool
) -> None:
    lines = row["text"].split("\n")
    lines.insert(round(place * len(lines)), remark)
    text = ("\r\n" if crlf else "\n").join(lines)
    assert not is_wrong({**row, "text": text})


# --- bounded work ----------------------------------------------------------------------------------------------------

UNITS = [
    *(
        "a",
        "score ",
        "score: ",
        "SCORE: 7 ",
        " ",
        "\n",
        "*",
        "_",
        "#",
        "|",
        "(",
        "[",
        "{",
        '{"',
        '{"a":',
        "<",
        "<a ",
        "<essay>",
    ),
    *(
        "<think>",
        "</think>",
        "~~",
        '"',
        "'",
        "“",
        "„",
        "«",
        "\\",
        "\\frac{",
        "$",
        "&",
        "&amp;",
        "-",
        "=",
        "7",
        "7/",
        "7, ",
    ),
    *(
        "½",
        "①",
        "\u0301",
        "\u200b",
        "評価",
        "I give it a ",
        "the score is ",
        "Actually ",
        ">",
        "1. ",
        "a, b, ",
        "<|",
        "😀",
    ),
]


@pytest.mark.parametrize("unit", UNITS)
def test_a_line_of_one_thing_repeated_is_answered(unit: str) -> None:
    line = unit * (30_000 // len(unit))
    for parser in SCORE_PARSERS:
        assert outcome(parser, line) in set(ScoreRefusal)


def test_a_line_of_five_million_characters_is_refused_and_not_searched() -> None:
    assert outcome("in_last_line", "x" * 5_000_000 + "\nSCORE: 7") == "too_long"


def test_five_million_characters_of_thinking_do_not_count() -> None:
    assert outcome("in_last_line", "<think>" + "x y " * 1_250_000 + "</think>\nSCORE: 7") == 7


def test_more_labels_than_any_judgement_has_are_refused() -> None:
    assert outcome("labelled_score", "SCORE: 7\n" * 5_000) == "too_many"


def modules() -> Iterator[Any]:
    for found in pkgutil.iter_modules(daydreaming_dagster.domain.__path__):
        if found.name.startswith(("score", "response_text", "thinking", "json_scores")):
            yield importlib.import_module(f"daydreaming_dagster.domain.{found.name}")


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    for module in modules():
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                yield f"{module.__name__}.{name}", value


def unbounded_repeats_of_choices(parsed: Any) -> Iterator[Any]:
    """Repeats without a limit whose body is more than one character: the shape that can explode."""
    for operation, argument in parsed:
        if str(operation) in ("MAX_REPEAT", "MIN_REPEAT"):
            _, most, body = argument
            if most == re._constants.MAXREPEAT and (len(body) != 1 or str(body[0][0]) in ("SUBPATTERN", "BRANCH")):
                yield body
            yield from unbounded_repeats_of_choices(body)
        elif str(operation) == "BRANCH":
            for branch in argument[1]:
                yield from unbounded_repeats_of_choices(branch)
        elif str(operation) == "SUBPATTERN":
            yield from unbounded_repeats_of_choices(argument[-1])
        elif str(operation) in ("ASSERT", "ASSERT_NOT"):
            yield from unbounded_repeats_of_choices(argument[1])


def test_no_pattern_repeats_a_choice_without_a_limit() -> None:
    found = dict(patterns())
    assert len(found) > 40
    exploding = [
        name
        for name, pattern in found.items()
        if list(unbounded_repeats_of_choices(re._parser.parse(pattern.pattern, pattern.flags)))
    ]
    assert exploding == []
