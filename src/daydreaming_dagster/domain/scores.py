"""A score, its scale, and every reason for which none is read."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum


class ScoreRefusal(StrEnum):
    """Why no score was read; stored as the `code` of the failure."""

    EMPTY = "empty"
    """The response is blank."""
    NO_SCORE = "no_score"
    """There is no labelled score anywhere."""
    NOT_IN_LAST_LINES = "not_in_last_lines"
    """There is a labelled score, but not where `in_last_line` looks."""
    ONLY_IN_THINKING = "only_in_thinking"
    """The only score stands in the model's thinking."""
    ONLY_QUOTED = "only_quoted"
    """The only score stands in a quotation, which may be the essay's."""
    ONLY_SUB_SCORES = "only_sub_scores"
    """Scores of single criteria, but none for the whole."""
    NO_NUMBER = "no_number"
    """A label with something else than a number behind it (`N/A`, a word, nothing)."""
    MALFORMED_NUMBER = "malformed_number"
    """Digits that can be read in more than one way, or in none (`1,234`, `7.5.1`, `7e3`, `7th`)."""
    OFF_SCALE = "off_scale"
    """One clear number, but not on the template's scale."""
    WRONG_DENOMINATOR = "wrong_denominator"
    """The judge used another scale (`7/10` where 9 is the top)."""
    WRONG_UNIT = "wrong_unit"
    """Per cent or stars instead of points."""
    RANGE = "range"
    """From one number to another (`7-8`)."""
    INEXACT = "inexact"
    """A number that is only nearly meant (`~7`, `7+`, `at least 7`, `7?`)."""
    TWO_SCORES = "two_scores"
    """Two or more different numbers that may each be the score."""
    CORRECTED = "corrected"
    """The judge takes the score back afterwards (`Actually, make that 6`)."""
    UNCLEAR = "unclear"
    """A number that runs on into words (`7 ideas`)."""
    TOO_MANY = "too_many"
    """More score labels than any judgement has."""
    TOO_LONG = "too_long"
    """More text than any judgement has: the model ran away."""
    NOT_FINITE = "not_finite"
    """NaN or infinity."""
    INVALID_JSON = "invalid_json"
    """There is no valid JSON object to read."""


class ScoreRefused(Exception):
    """A parser's refusal, before `parse_score` has put the parser's name and the last lines to it."""

    def __init__(self, code: ScoreRefusal, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


@dataclass(frozen=True, slots=True)
class Scale:
    """The ends of a rubric's scale, in points; both ends belong to it."""

    min: float = 0.0
    max: float = 9.0

    def __contains__(self, value: float) -> bool:
        return math.isfinite(value) and self.min <= value <= self.max

    def __str__(self) -> str:
        return f"{self.min:g} to {self.max:g}"


def require_on_scale(value: float, scale: Scale) -> float:
    """The value itself, with -0.0 as 0.0.

    Raises:
        ScoreRefused: the value is not finite or not on the scale.
    """
    if not math.isfinite(value):
        raise ScoreRefused(ScoreRefusal.NOT_FINITE, f"{value} is not a finite number")
    if value not in scale:
        raise ScoreRefused(ScoreRefusal.OFF_SCALE, f"{value:g} is not on the scale {scale}")
    return value + 0.0


_PLAIN_NUMBER = re.compile(r"[+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,4})?", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)


def read_parsed_number(text: str) -> float:
    """What a `parsed.txt` of an evaluation says: the number on its last non-blank line, on whatever scale.

    Raises:
        ScoreRefused: the line is not a finite number (`empty`, `no_number`, `not_finite`).
    """
    last = text.rstrip()[-1000:].rpartition("\n")[2].strip()
    if not last:
        raise ScoreRefused(ScoreRefusal.EMPTY, "the parsed text is blank")
    if not _PLAIN_NUMBER.fullmatch(last):
        code = ScoreRefusal.NOT_FINITE if _NOT_FINITE.fullmatch(last) else ScoreRefusal.NO_NUMBER
        raise ScoreRefused(code, f"the last line, '{last[:80]}', is not a number")
    value = float(last)
    if not math.isfinite(value):
        raise ScoreRefused(ScoreRefusal.NOT_FINITE, f"{last[:80]} is not a finite number")
    return value + 0.0


def format_score(value: float) -> str:
    """The text of an evaluation's `parsed.txt`: the number with a decimal point and a newline (`7.0`)."""
    return f"{float(value)!r}\n"
