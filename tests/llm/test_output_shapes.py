from __future__ import annotations

import re

import pytest

from daydreaming_dagster.domain.errors import RefusedError
from daydreaming_dagster.llm.output_shapes import build_grammar, build_response_format, whole_scores
from daydreaming_dagster.llm.protocol import OutputShape


@pytest.mark.parametrize(
    ("low", "high", "scores"),
    [(0, 9, range(10)), (1, 5, range(1, 6)), (-2, 2, range(-2, 3)), (0.5, 3.5, range(1, 4)), (3, 3, range(3, 4))],
)
def test_the_scores_are_the_whole_numbers_on_the_scale(low: float, high: float, scores: range) -> None:
    assert whole_scores(OutputShape("score_line", low, high)) == scores


def test_a_scale_without_a_whole_number_is_refused_by_name() -> None:
    with pytest.raises(RefusedError, match=r"from 0\.2 to 0\.8 holds no whole number"):
        whole_scores(OutputShape("score_line", 0.2, 0.8))


def test_the_schema_is_strict_closed_and_puts_the_reasons_first() -> None:
    response_format = build_response_format(OutputShape("score_json", 0, 9))
    schema = response_format["json_schema"]["schema"]
    assert response_format["json_schema"]["strict"] is True
    assert list(schema["properties"]) == schema["required"] == ["reasoning", "score"]
    assert schema["additionalProperties"] is False
    assert "0 to 9" in schema["properties"]["score"]["description"]


def test_the_schema_uses_no_keyword_that_strict_providers_refuse() -> None:
    schema = build_response_format(OutputShape("score_json", 0, 9))["json_schema"]["schema"]
    keywords = {keyword for field in schema["properties"].values() for keyword in field}
    assert keywords == {"type", "description"}


def test_the_grammar_offers_every_score_and_no_other() -> None:
    rule = build_grammar(OutputShape("score_line", -1, 10)).splitlines()[-1]
    assert re.findall(r'"(-?\d+)"', rule) == [str(score) for score in range(-1, 11)]


@pytest.mark.parametrize("max_tokens", [None, 4096, 200, 60, 33, 1])
def test_the_reasoning_leaves_room_for_the_score(max_tokens: int | None) -> None:
    grammar = build_grammar(OutputShape("score_line", 0, 9), max_tokens)
    more_sentences, more_words = (int(found) for found in re.findall(r"\{0,(\d+)\}", grammar))
    words = (more_sentences + 1) * (more_words + 1)
    assert words == 80 if max_tokens in (None, 4096) else words == 1 or words * 4 <= (max_tokens or 0) - 32
