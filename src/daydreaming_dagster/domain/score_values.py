"""Reads the number behind a score's label: what counts as one number on the scale, and every way in which it is not.

The grammar is strict on purpose. A number is a score only when everything around it on its line is understood;
anything else is refused with a reason, because a wrong score is worse than a missing one. All patterns are bounded
and look at no more than `_LOOK_AHEAD` characters.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from daydreaming_dagster.domain.score_numbers import (
    NUMBER,
    NUMBER_WORDS,
    TOP,
    refuse_other_top,
    shorten,
    to_float,
)
from daydreaming_dagster.domain.score_tails import CLOSING, require_understood
from daydreaming_dagster.domain.scores import Scale, ScoreRefusal, ScoreRefused, require_on_scale

_LOOK_AHEAD = 400
_EVERY_THREE_DIGITS = 3
_AVERAGED = 3


@dataclass(frozen=True, slots=True)
class Reading:
    """One number that was read.

    Attributes:
        value: finite and on the scale.
        has_top: the judge named the scale's top with it (`7/9`).
        clean: nothing but punctuation follows on the line.
        ends_sentence: what follows, if anything, is set off by punctuation.
    """

    value: float
    has_top: bool
    clean: bool
    ends_sentence: bool


def read_value(text: str, scale: Scale, *, after_separator: bool = True) -> Reading:
    """The number that `text`, the part of a line behind a label, begins with.

    Args:
        text: plain text without markup.
        scale: the template's scale.
        after_separator: whether a colon or the like stood before it; without one a leading hyphen can be a dash or
            a minus.

    Raises:
        ScoreRefused: there is no number, or more than one reading of it.
    """
    rest = _skip_opening(text[:_LOOK_AHEAD])
    if not rest.strip(" .)"):
        raise ScoreRefused(ScoreRefusal.NO_NUMBER, "nothing stands behind the label")
    rest = _skip_worked_sum(rest, scale)
    if found := _TOP_FIRST.match(rest):
        top, number = (found["top"], found["n"]) if found["n"] else (found["top2"], found["n2"])
        return _finish(to_float(number), rest[found.end() :], scale, top=to_float(top))
    _refuse_vague(rest)
    if (numbers := _read_list(rest)) is not None:
        return _average(*numbers, scale)
    found = _NUMBER.match(rest)
    if found is None:
        if word := _NUMBER_WORD.match(rest):
            return _finish(float(NUMBER_WORDS[word[0].lower()]), rest[word.end() :], scale)
        code = ScoreRefusal.OFF_SCALE if rest[:1].isdigit() else ScoreRefusal.NO_NUMBER
        raise ScoreRefused(code, f"'{shorten(rest)}' behind the label is not a number of the scale")
    if found["sign"] and (found["sign"] == "–" or not after_separator):
        raise ScoreRefused(ScoreRefusal.MALFORMED_NUMBER, f"'{shorten(rest)}' begins with a dash or a minus")
    value = to_float(found[0])
    tail = rest[found.end() :]
    if tail[:1] in _PARTS:
        value += math.copysign(_PARTS[tail[0]], -1 if found["sign"] == "-" else 1)
        tail = tail[1:]
    return _finish(value, tail, scale)


_NUMBER = re.compile(rf"(?P<sign>[+–-]?)(?:{NUMBER}|\.\d{{1,30}})(?!\d)")
_PARTS = {"½": 0.5, "¼": 0.25, "¾": 0.75}
_NUMBER_WORD = re.compile(rf"(?:{'|'.join(NUMBER_WORDS)})(?![\w-])", re.IGNORECASE)

_OPENING = re.compile(
    r"(?:[\s(]|[\u2600-\u27bf\u2b50\U0001f300-\U0001faff]{1,40}|boxed:"
    r"|(?:is|a|an|the|of|solid|strong|firm|clear|weak|generous|respectable|ein|eine|un|une|una|um|uma)\s"
    r"|[a-f][+–-]?\s{0,2}(?=\(\s{0,2}\d)|(?:(?:very|quite|above|below)\s{1,3})?"
    r"(?:excellent|outstanding|exceptional|superb|great|very good|good|fair|moderate|average|adequate|satisfactory"
    r"|mediocre|medium|poor|weak|strong|high|low|perfect|level)\s{0,3}(?:[-–:,(]\s{0,3}|\s)(?=[\d(])){0,8}",
    re.IGNORECASE,
)


def _skip_opening(text: str) -> str:
    opening = _OPENING.match(text)
    return text[opening.end() :] if opening else text


_SUM = re.compile(r"[\w\s+*/×÷().,%–-]+")
_OPERATOR = re.compile(r"[+*/×÷]|[\d)]\s*[–-]\s*[\d(]")
_WORDS_IN_BRACKETS = re.compile(r"\([^()\d]{0,40}\)")


def _skip_worked_sum(rest: str, scale: Scale) -> str:
    """What stands behind the last equals sign of a sum that the judge worked out (`(7 + 6 + 8) / 3 = 7`)."""
    for _ in range(4):
        head, sign, tail = rest[:160].partition("=" if "=" in rest[:160] else "≈")
        head = _WORDS_IN_BRACKETS.sub(" ", head)
        if not sign or not _SUM.fullmatch(head) or not _OPERATOR.search(head.strip(" +-–")):
            return rest
        if (fraction := re.fullmatch(rf"\s*{NUMBER}\s*/\s*({NUMBER})\s*", head)) and to_float(fraction[1]) == scale.max:
            return rest  # 7/9 = 0.78 says the same again in another unit
        rest = tail.lstrip() + rest[160:]
    return rest


_TOP_FIRST = re.compile(
    rf"(?P<top>{NUMBER})\s*(?:点満点(?:中|で|のうち)?|点中|점\s*만점(?:에서|에|\s*중)?|(?:\s*puan)?\s*üzerinden)"
    rf"[\s,、]*(?P<n>{NUMBER})"
    rf"|满分\s*(?:为|是)?\s*(?P<top2>{NUMBER})\s*分?[\s,]*(?:实?得分?|评分)?\s*(?:为|是)?\s*(?P<n2>{NUMBER})"
)
_VAGUE = re.compile(
    r"(?:[~∼≈<>≤≥]|(?:about|around|approx(?:imately|\.)?|roughly|circa|ca\.|maybe|perhaps|probably|possibly|somewhere"
    r"|near(?:ly)?|almost|at least|at most|no more than|no less than|more than|less than|over|under|up to|above|below"
    r"|not (?:above|below|over|under)|etwa|ungefähr|rund|mindestens|höchstens|environ|au moins|aproximadamente|unos"
    r"|al menos|около|примерно|大约|约|約|およそ)(?![^\W\d_])).{0,40}\d",
    re.IGNORECASE,
)
_FROM_TO = re.compile(
    r"(?:between|zwischen|entre|from|tra|fra|między|mellan|tussen|между|от)\s.{0,40}\d", re.IGNORECASE
)


def _refuse_vague(rest: str) -> None:
    if _VAGUE.match(rest):
        raise ScoreRefused(ScoreRefusal.INEXACT, f"'{shorten(rest)}' is not an exact number")
    if _FROM_TO.match(rest):
        raise ScoreRefused(ScoreRefusal.RANGE, f"'{shorten(rest)}' is a range")


_AND = r"(?:and|und|et|y|e|и|&)\s+"
_LIST_SPACED = re.compile(
    rf"{NUMBER}(?:(?:\s*,\s+(?:{_AND})?|\s*;\s*(?:{_AND})?|\s+(?:{_AND})?){NUMBER}(?![\d.,/%]*[\d/%])){{1,9}}",
    re.IGNORECASE,
)
_LIST_TIGHT = re.compile(r"\d{1,15}(?:\.\d{1,30})?(?:,\d{1,15}(?:\.\d{1,30})?){2,9}(?![\d,])")


def _read_list(rest: str) -> tuple[list[float], str] | None:
    """Several numbers in a row and what follows them; None when there is only one."""
    if tight := _LIST_TIGHT.match(rest):
        parts = tight[0].split(",")
        if all(len(part) == _EVERY_THREE_DIGITS for part in parts[1:]):
            raise ScoreRefused(ScoreRefusal.MALFORMED_NUMBER, f"'{shorten(rest)}' may be thousands or a list")
        return [float(part) for part in parts], rest[tight.end() :]
    spaced = _LIST_SPACED.match(rest)
    if spaced is None:
        return None
    return [to_float(number) for number in re.findall(NUMBER, spaced[0])], rest[spaced.end() :]


def _average(numbers: list[float], tail: str, scale: Scale) -> Reading:
    if len(numbers) != _AVERAGED:
        shown = ", ".join(f"{number:g}" for number in numbers)
        raise ScoreRefused(ScoreRefusal.TWO_SCORES, f"{len(numbers)} numbers stand behind the label ({shown})")
    for number in numbers:
        require_on_scale(number, scale)
    # fsum before the division: the mean of three numbers on the scale must not leave it by rounding.
    mean = min(max(math.fsum(numbers) / _AVERAGED, scale.min), scale.max)
    reading = _finish(mean, tail, scale)
    if not reading.clean and not reading.has_top:
        raise ScoreRefused(ScoreRefusal.TWO_SCORES, f"{_AVERAGED} numbers and '{shorten(tail)}' stand behind the label")
    return reading


_UNIT = re.compile(
    r"\s*(?:(?:points?|pts|pt|punkten?|punkt[óy]w?|puntos?|punti|punto|pontos?|балл(?:а|ов|ы)?|очк(?:а|ов)|бал(?:и|ів)?"
    r"|poäng|poeng|puan|điểm|poin|puncte|pontot|marks?)(?![^\W_])\.?|分|点|點|점)",
    re.IGNORECASE,
)
_STARS = re.compile(
    r"\s*(?:[★☆⭐🌟]+|(?:stars?|sterne?n?|étoiles?|estrellas?|stelle|звезд\w{0,3})(?![^\W_]))", re.IGNORECASE
)
_PERCENT = re.compile(r"\s*(?:%|(?:per ?cent|prozent|pour ?cent|por ciento|процент\w{0,3})(?![^\W_]))", re.IGNORECASE)
_BRACKET_CLOSED = re.compile(r"^\)+(?=\s{0,3}(?:/|out of))")
_PRECISION = re.compile(rf"^\s{{0,3}}\(?\s{{0,3}}(?:±|\+/-)\s{{0,3}}{NUMBER}\s{{0,3}}\)?")
# A fraction worked out (`7/9 = 78 %`) says the same again in another unit.
_SAME_AGAIN = re.compile(r"^\s*[=≈~]\s*(?:\d{1,3}(?:[.,]\d{1,9})?\s*%|0?[.,]\d{1,9}(?![\d.,])|[A-F][+-]?(?!\w))")


def _finish(value: float, tail: str, scale: Scale, *, top: float | None = None) -> Reading:
    """Judges what follows a number on its line and makes the reading."""
    tail = _PRECISION.sub("", _BRACKET_CLOSED.sub("", tail))
    stars = percent = False
    for _ in range(4):  # number, unit, top and unit again come in any order
        if found := _UNIT.match(tail):
            pass
        elif found := _STARS.match(tail):
            stars = True
        elif found := _PERCENT.match(tail):
            percent = True
        elif top is None and (found := TOP.match(tail)):
            top = to_float(found["top"])
            tail = _SAME_AGAIN.sub("", tail[found.end() :])
            continue
        else:
            break
        tail = tail[found.end() :]
    refuse_other_top(top, tail, scale)
    if (percent and (scale.min, scale.max) != (0, 100)) or (stars and top is None):
        raise ScoreRefused(ScoreRefusal.WRONG_UNIT, f"{value:g} is in {'per cent' if percent else 'stars'}, not points")
    tail = require_understood(tail, value, scale)
    return Reading(
        value=require_on_scale(value, scale),
        has_top=top is not None,
        clean=not tail.strip(CLOSING),
        ends_sentence=not tail.strip() or tail.lstrip()[0] in ".,;:!)–",
    )
