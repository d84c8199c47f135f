"""Reads the number behind a score's label: what counts as one number on the scale, and every way in which it is not.

The grammar is strict on purpose. A number is a score only when everything around it on its line is understood;
anything else is refused with a reason, because a wrong score is worse than a missing one. All patterns are bounded
and look at no more than `_LOOK_AHEAD` characters.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum

_LOOK_AHEAD = 400
_EVERY_THREE_DIGITS = 3
_AVERAGED = 3


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
        return _finish(_to_float(number), rest[found.end() :], scale, top=_to_float(top))
    _refuse_vague(rest)
    if (numbers := _read_list(rest)) is not None:
        return _average(*numbers, scale)
    found = _NUMBER.match(rest)
    if found is None:
        if word := _NUMBER_WORD.match(rest):
            return _finish(float(_WORDS[word[0].lower()]), rest[word.end() :], scale)
        raise ScoreRefused(ScoreRefusal.NO_NUMBER, f"'{_shorten(rest)}' behind the label is not a number")
    if found["sign"] and (found["sign"] == "–" or not after_separator):
        raise ScoreRefused(ScoreRefusal.MALFORMED_NUMBER, f"'{_shorten(rest)}' begins with a dash or a minus")
    value = _to_float(found[0])
    tail = rest[found.end() :]
    if tail[:1] in _PARTS:
        value += math.copysign(_PARTS[tail[0]], -1 if found["sign"] == "-" else 1)
        tail = tail[1:]
    return _finish(value, tail, scale)


_N = r"\d{1,15}(?:[.,]\d{1,30})?"
_NUMBER = re.compile(rf"(?P<sign>[+–-]?)(?:{_N}|\.\d{{1,30}})(?!\d)")
_PARTS = {"½": 0.5, "¼": 0.25, "¾": 0.75}
_WORDS = {
    word: value
    for value, word in enumerate("zero one two three four five six seven eight nine ten".split())  # noqa: SIM905
}
_NUMBER_WORD = re.compile(rf"(?:{'|'.join(_WORDS)})(?![\w-])", re.IGNORECASE)

_OPENING = re.compile(
    r"(?:[\s(]|boxed:|(?:is|a|an|the|of|solid|strong|firm|clear|weak|generous|respectable|ein|eine|un|une|una|um|uma)\s"
    r"|(?:(?:very|quite|above|below)\s{1,3})?"
    r"(?:excellent|outstanding|exceptional|superb|great|very good|good|fair|moderate|average|adequate|satisfactory"
    r"|mediocre|medium|poor|weak|strong|high|low|perfect|level)\s{0,3}(?:[-–:,(]\s{0,3}|\s)(?=[\d(])){0,8}",
    re.IGNORECASE,
)


def _skip_opening(text: str) -> str:
    opening = _OPENING.match(text)
    return text[opening.end() :] if opening else text


_SUM_CHARS = re.compile(r"[\d\s+*/×÷().,–-]+")
_OPERATOR = re.compile(r"[+*/×÷–-]")
_WORDS_IN_BRACKETS = re.compile(r"\([^()\d]{0,40}\)")


def _skip_worked_sum(rest: str, scale: Scale) -> str:
    """What stands behind the last equals sign of a sum that the judge worked out (`(7 + 6 + 8) / 3 = 7`)."""
    for _ in range(4):
        head, sign, tail = rest[:160].partition("=" if "=" in rest[:160] else "≈")
        head = _WORDS_IN_BRACKETS.sub(" ", head)
        if not sign or not _SUM_CHARS.fullmatch(head) or not _OPERATOR.search(head.strip(" +-–")):
            return rest
        if (fraction := re.fullmatch(rf"\s*{_N}\s*/\s*({_N})\s*", head)) and _to_float(fraction[1]) == scale.max:
            return rest  # 7/9 = 0.78 says the same again in another unit
        rest = tail.lstrip() + rest[160:]
    return rest


_TOP_FIRST = re.compile(
    rf"(?P<top>{_N})\s*(?:点満点(?:中|で|のうち)?|점\s*만점(?:에서|에|\s*중)?|(?:\s*puan)?\s*üzerinden)[\s,、]*(?P<n>{_N})"
    rf"|满分\s*(?:为|是)?\s*(?P<top2>{_N})\s*分?[\s,]*(?:实?得分?|评分)?\s*(?:为|是)?\s*(?P<n2>{_N})"
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
        raise ScoreRefused(ScoreRefusal.INEXACT, f"'{_shorten(rest)}' is not an exact number")
    if _FROM_TO.match(rest):
        raise ScoreRefused(ScoreRefusal.RANGE, f"'{_shorten(rest)}' is a range")


_AND = r"(?:and|und|et|y|e|и|&)\s+"
_LIST_SPACED = re.compile(
    rf"{_N}(?:(?:\s*[,;]\s+(?:{_AND})?|\s+(?:{_AND})?){_N}(?![\d.,/%]*[\d/%])){{1,9}}", re.IGNORECASE
)
_LIST_TIGHT = re.compile(r"\d{1,15}(?:\.\d{1,30})?(?:,\d{1,15}(?:\.\d{1,30})?){2,9}(?![\d,])")


def _read_list(rest: str) -> tuple[list[float], str] | None:
    """Several numbers in a row and what follows them; None when there is only one."""
    if tight := _LIST_TIGHT.match(rest):
        parts = tight[0].split(",")
        if all(len(part) == _EVERY_THREE_DIGITS for part in parts[1:]):
            raise ScoreRefused(ScoreRefusal.MALFORMED_NUMBER, f"'{_shorten(rest)}' may be thousands or a list")
        return [float(part) for part in parts], rest[tight.end() :]
    spaced = _LIST_SPACED.match(rest)
    if spaced is None:
        return None
    return [_to_float(number) for number in re.findall(_N, spaced[0])], rest[spaced.end() :]


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
        raise ScoreRefused(
            ScoreRefusal.TWO_SCORES, f"{_AVERAGED} numbers and '{_shorten(tail)}' stand behind the label"
        )
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
_TOP = re.compile(
    r"\s*(?:/|(?:out\s+of|of|von(?:\s+(?:maximal|max\.|möglichen))?|sur|de|di|su|sobre|em|uit|van(?:\s+de)?|av|af|fra|из|з|z|na"
    r"|dari|trên|από|מתוך|من|में\s+से)(?![^\W_]))"
    rf"\s*(?:an?\s+|the\s+)?(?:(?:possible|maximum|max\.?|total)\s+(?:of\s+)?)?(?P<top>{_N})(?![\d%])",
    re.IGNORECASE,
)


def _finish(value: float, tail: str, scale: Scale, *, top: float | None = None) -> Reading:
    """Judges what follows a number on its line and makes the reading."""
    stars = percent = False
    for _ in range(4):  # number, unit, top and unit again come in any order
        if found := _UNIT.match(tail):
            pass
        elif found := _STARS.match(tail):
            stars = True
        elif found := _PERCENT.match(tail):
            percent = True
        elif top is None and (found := _TOP.match(tail)):
            top = _to_float(found["top"])
        else:
            break
        tail = tail[found.end() :]
    _refuse_other_top(top, tail, scale)
    if (percent and (scale.min, scale.max) != (0, 100)) or (stars and top is None):
        raise ScoreRefused(ScoreRefusal.WRONG_UNIT, f"{value:g} is in {'per cent' if percent else 'stars'}, not points")
    tail = _require_understood(tail, value, scale)
    return Reading(
        value=require_on_scale(value, scale),
        has_top=top is not None,
        clean=not tail.strip(_CLOSING),
        ends_sentence=not tail.strip() or tail.lstrip()[0] in ".,;:!)–",
    )


_CLOSING = " \t.!)*†\"'’”>,;"
_RESTATED = re.compile(
    rf"(?:scale|range|skala|échelle|escala|шкал\w{{0,2}})\D{{0,12}}?(?P<low>{_N})\s*(?:-|–|to|through|bis|à|a|до|\.\.\.?)\s*(?P<a>{_N})"
    rf"|[(\[]\s*(?P<low2>{_N})\s*(?:-|–|to|bis|à|\.\.)\s*(?P<b>{_N})(?:\s*(?:scale|points?|skala))?\s*[)\]]"
    rf"|(?P<low3>{_N})\s*(?:-|–|to)\s*(?P<c>{_N})\s+scale"
    rf"|(?P<d>{_N})[\s-](?:point|punkte)[\s-](?:scale|skala)"
    r"|[(\[,]\s*(?:out of|of|/|max(?:imum)?\.?|von|sur|de|su|из|满分|満点|滿分)"
    rf"\s*:?\s*(?:a\s+possible\s+)?(?P<e>{_N})",
    re.IGNORECASE,
)


def restated_tops(text: str) -> list[float]:
    """The tops of all scales that a piece of text restates (`(0-9)`, `on a scale of 1 to 10`)."""
    return [
        _to_float(next(found[name] for name in "abcde" if found[name] is not None))
        for found in _RESTATED.finditer(text[:_LOOK_AHEAD])
    ]


def require_same_top(text: str, scale: Scale) -> None:
    """Refuses a text that restates a scale with another top."""
    for top in restated_tops(text):
        _refuse_other_top(top, "", scale)


def _refuse_other_top(top: float | None, tail: str, scale: Scale) -> None:
    for stated in ([] if top is None else [top]) + restated_tops(tail[:120]):
        if stated != scale.max:
            raise ScoreRefused(
                ScoreRefusal.WRONG_DENOMINATOR, f"the judge counts up to {stated:g}, the scale is {scale}"
            )


_TAIL_REFUSALS: tuple[tuple[re.Pattern[str], ScoreRefusal], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), code)
    for pattern, code in (
        (r"[-–~～]\s*\d|(?:to|bis|à|до|through|hasta|até|至|到)\s*(?:an?\s+)?\d", ScoreRefusal.RANGE),
        (
            r"[,;(]?\s*(?:or|and|oder|ou|или|vs\.?|versus|und|et|plus|minus|less|[+×*→/\\&=≈]|->)"
            rf"\s*(?:\w{{1,12}}:?\s+){{0,2}}?(?:\d|(?:{'|'.join(_WORDS)})\b)",
            ScoreRefusal.TWO_SCORES,
        ),
        (r"[,;:|]\s*\d", ScoreRefusal.TWO_SCORES),
        (r"/|(?:and\s|,\s?)?(?:an?\s)?(?:half|quarter)\b", ScoreRefusal.MALFORMED_NUMBER),
        (r"\.\s?\d|[²³¹⁰⁴-⁹₀-₉^×]", ScoreRefusal.MALFORMED_NUMBER),
        (r"[?+~]|[-–]\s*[)*]*$|ish\b", ScoreRefusal.INEXACT),
        (r"\(\s*\?", ScoreRefusal.INEXACT),
    )
)
_HEDGE = re.compile(
    r"\b(?:maybe|perhaps|possibly|borderline|leaning|closer to|almost|nearly|make (?:it|that)|actually|wait|i mean"
    r"|on second thought|revised|adjusted|lowered|raised|reduced|corrected|downgraded|upgraded|should be)\b"
    r"[^.;!?\n]{0,40}?\d|^[,;(–-]?\s*(?:or|oder|ou)\s[^.;!?\n]{0,20}\d",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(
    r"\b(?:make (?:it|that)|i mean|scratch that|correction|on second thought|actually|wait|revised to|changed to"
    r"|i(?:['’]ll| will)? (?:revise|change|correct|lower|raise))\b"
    rf"[^.!?\n]{{0,60}}?(?<![\d.,]){_N}(?:\s*/\s*\d{{1,4}})?\s*(?:[.!)]\s*$|[.!)]\s|$)",
    re.IGNORECASE | re.MULTILINE,
)
_REASON = re.compile(
    r"(?:because|since|as|due|given|reflecting|based|thanks|owing|weil|da|denn|parce|car|porque|ya|perché|потому|так)\s"
    r"|for this (?:essay|response|text|piece)\b",
    re.IGNORECASE,
)
_ASIDE = re.compile(
    r"(?:with|but|though|although|while|overall|indicating|meaning|on (?:a|the) [^\d]{0,20}scale)\s"
    r"|[^\W\d_]{2,20}(?:\s[^\W\d_]{2,20}){0,2}\s?:",
    re.IGNORECASE,
)
_SYMBOLS = re.compile(r"[^\w\s(|,;:.!?+–→/\\%=“<>~～&×*²³¹⁰⁴-⁹₀-₉^-]+")


def takes_back(text: str) -> bool:
    """Whether the text, which follows a score, replaces it by another number."""
    return _TAKEN_BACK.search(text) is not None


def _require_understood(tail: str, value: float, scale: Scale) -> str:
    """The tail without brackets that only repeat the score; refuses a tail that may change what the number means."""
    if tail[:1].isalnum():
        raise ScoreRefused(ScoreRefusal.MALFORMED_NUMBER, f"{value:g} runs into '{_shorten(tail)}'")
    if re.match(r"[.,]\d", tail):
        raise ScoreRefused(ScoreRefusal.MALFORMED_NUMBER, f"{value:g}{_shorten(tail)} is not one number")
    for _ in range(3):
        tail = _SYMBOLS.sub("", tail[:40]).lstrip(" \t)*") + tail[40:]
        if not tail.startswith("("):
            break
        inside, closed, after = tail[1:].partition(")")
        _require_harmless_bracket(inside.strip(), value, scale)
        if not closed:
            return ""
        tail = after
    for pattern, code in _TAIL_REFUSALS:
        if pattern.match(tail):
            raise ScoreRefused(code, f"{value:g} is followed by '{_shorten(tail)}'")
    if not tail.strip(_CLOSING):
        return tail
    first_clause = re.split(r"[.;!?](?:\s|$)", tail.lstrip(".,;:!–- ")[:_LOOK_AHEAD], maxsplit=1)[0]
    if takes_back(tail):
        raise ScoreRefused(ScoreRefusal.CORRECTED, f"{value:g} is taken back in '{_shorten(tail)}'")
    if _HEDGE.search(tail[:2] + first_clause):
        raise ScoreRefused(ScoreRefusal.INEXACT, f"{value:g} is followed by '{_shorten(tail)}'")
    if tail[0] in ".,;:!|–-→=" or _REASON.match(tail) or _ASIDE.match(tail) or restated_tops(tail[:60]):
        return tail
    code = ScoreRefusal.TWO_SCORES if re.search(r"\d", tail) else ScoreRefusal.UNCLEAR
    raise ScoreRefused(code, f"{value:g} runs on into '{_shorten(tail)}'")


def _require_harmless_bracket(inside: str, value: float, scale: Scale) -> None:
    """Refuses a bracket behind the number that holds another number which may be the score."""
    if restated_tops(f"({inside})"):
        return  # `_refuse_other_top` has already looked at it
    if begins := re.match(rf"=?\s*[~≈]?\s*(?P<n>{_N})(?P<more>.{{0,20}})", inside):
        unit = begins["more"].lstrip()
        same = _to_float(begins["n"]) == value and not re.match(r"[-–]\s*\d", unit)
        if not (same or unit.startswith("%")):
            raise ScoreRefused(ScoreRefusal.TWO_SCORES, f"{value:g} is followed by '({_shorten(inside)})'")
        if same and (top := _TOP.match(begins["more"])):
            _refuse_other_top(_to_float(top["top"]), "", scale)
    elif _HEDGE.search(inside) or re.match(r"\?|or\s", inside):
        raise ScoreRefused(ScoreRefusal.INEXACT, f"{value:g} is followed by '({_shorten(inside)})'")


def _to_float(number: str) -> float:
    """Reads a matched number; a comma is a decimal comma unless it may divide thousands."""
    if re.search(r",\d{3}$", number):
        raise ScoreRefused(ScoreRefusal.MALFORMED_NUMBER, f"'{number}' may be a thousand or a decimal")
    return float(number.replace(",", "."))


def _shorten(text: str, limit: int = 40) -> str:
    text = " ".join(text[: 2 * limit].split())
    return text if len(text) <= limit else f"{text[:limit]}…"
