"""What of a judge's raw response becomes a score. The `parser` column of `evaluation_templates.csv` names one.

A score is read or refused, never guessed. To add a parser: write one function from text and scale to a number that
raises `ScoreRefused`, and add one line to `SCORE_PARSERS`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from daydreaming_dagster.domain.errors import ConfigurationError, ResponseError
from daydreaming_dagster.domain.thinking import strip_thinking


@dataclass(frozen=True, slots=True)
class Scale:
    """The ends of a rubric's scale, in points; both ends belong to it."""

    min: float = 0.0
    max: float = 9.0

    def __contains__(self, value: float) -> bool:
        return math.isfinite(value) and self.min <= value <= self.max

    def __str__(self) -> str:
        return f"{self.min:g} to {self.max:g}"


class ScoreRefusal(StrEnum):
    """Why no score was read; stored as the `code` of the failure."""

    EMPTY = "empty"
    NO_SCORE = "no_score"
    OFF_SCALE = "off_scale"
    WRONG_DENOMINATOR = "wrong_denominator"
    TWO_SCORES = "two_scores"
    NOT_FINITE = "not_finite"
    INVALID_JSON = "invalid_json"
    NOT_A_NUMBER = "not_a_number"


class ScoreRefused(Exception):
    """A parser's refusal, before `parse_score` has put the parser's name and the last lines to it."""

    def __init__(self, code: ScoreRefusal, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


def parse_score(parser_name: str, text: str, scale: Scale) -> float:
    """The score in a judge's response: a finite number on the scale.

    Raises:
        ConfigurationError: no parser has that name.
        ResponseError: there is no score, or not exactly one; `reason` is `parse_failed` and `culprits` holds
            `parser` and `code` (a `ScoreRefusal`).
    """
    parser = SCORE_PARSERS.get(parser_name)
    if parser is None:
        raise ConfigurationError(
            f"Unknown evaluation parser '{parser_name}'; known: {', '.join(sorted(SCORE_PARSERS))}.",
            fix="Correct the parser column of data/1_raw/evaluation_templates.csv, then: daydreaming check",
            reason="parser_unknown",
            culprits={"parser": parser_name, "allowed": sorted(SCORE_PARSERS)},
        )
    try:
        return _on_scale(parser(text, scale), scale)
    except ScoreRefused as refused:
        raise ResponseError(
            f"Parser '{parser_name}' read no score ({refused.code}): {refused.why}.",
            fix="Read the whole response with `daydreaming show GEN_ID`.",
            reason="parse_failed",
            culprits={"parser": parser_name, "code": str(refused.code)},
        ) from None


def read_parsed_score(text: str, scale: Scale) -> float:
    """The score in a `parsed.txt`: the number on its last non-blank line, finite and on the scale.

    Raises:
        ResponseError: the line is not such a number; `culprits["code"]` is a `ScoreRefusal`.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    try:
        if not lines:
            raise ScoreRefused(ScoreRefusal.EMPTY, "the parsed text is blank")
        last = lines[-1]
        if not re.fullmatch(r"[+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,4})?", last, re.ASCII):
            code = ScoreRefusal.NOT_FINITE if re.fullmatch(r"[+-]?(nan|inf|infinity)", last, re.I) else None
            raise ScoreRefused(code or ScoreRefusal.NOT_A_NUMBER, f"the last line, {last[:80]!r}, is not a number")
        return _on_scale(float(last), scale)
    except ScoreRefused as refused:
        raise ResponseError(
            f"The parsed text holds no score ({refused.code}): {refused.why}.",
            fix="Parse the stored response again: daydreaming materialize --select evaluation_parsed "
            "--partition GEN_ID",
            reason="parse_failed",
            culprits={"parser": "parsed.txt", "code": str(refused.code)},
        ) from None


def _on_scale(value: float, scale: Scale) -> float:
    if not math.isfinite(value):
        raise ScoreRefused(ScoreRefusal.NOT_FINITE, f"{value} is not a finite number")
    if value not in scale:
        raise ScoreRefused(ScoreRefusal.OFF_SCALE, f"{value:g} is not on the scale {scale}")
    return value + 0.0  # -0.0 becomes 0.0


_FIRST = re.compile(
    r"score\W{0,12}?(?P<n>-?\d{1,9}(?:\.\d{1,9})?)(?:\s{0,3}(?:/|out of)\s{0,3}(?P<d>\d{1,9}))?\W{0,8}$", re.IGNORECASE
)


def _labelled(lines: list[str], scale: Scale) -> float:
    for line in reversed(lines):
        if found := _FIRST.search(line[-200:]):
            if found["d"] is not None and float(found["d"]) != scale.max:
                raise ScoreRefused(ScoreRefusal.WRONG_DENOMINATOR, f"/{found['d']} on a scale of {scale}")
            return float(found["n"])
    raise ScoreRefused(ScoreRefusal.NO_SCORE, "there is no labelled score")


def _parse_in_last_line(text: str, scale: Scale) -> float:
    return _labelled([line for line in strip_thinking(text).splitlines() if line.strip()][-3:], scale)


def _parse_labelled_score(text: str, scale: Scale) -> float:
    return _labelled(strip_thinking(text).splitlines(), scale)


def _parse_json_score(text: str, scale: Scale) -> float:
    import json

    try:
        value = json.loads(strip_thinking(text))["score"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ScoreRefused(ScoreRefusal.INVALID_JSON, "the response is not a JSON object with a score") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ScoreRefused(ScoreRefusal.NOT_A_NUMBER, f"score is {value!r}")
    return _on_scale(float(value), scale)


SCORE_PARSERS: Mapping[str, Callable[[str, Scale], float]] = {
    "in_last_line": _parse_in_last_line,
    "labelled_score": _parse_labelled_score,
    "json_score": _parse_json_score,
}
"""Parser by the name that stands in the `parser` column."""
