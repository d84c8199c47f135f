"""Judges what follows a score on its line: nothing, a reason, or something that changes what the number means."""

from __future__ import annotations

import math
import re

from daydreaming_dagster.domain.score_numbers import (
    NUMBER,
    NUMBER_WORDS,
    TOP,
    refuse_other_top,
    restated_tops,
    shorten,
    to_float,
)
from daydreaming_dagster.domain.scores import Scale, ScoreRefusal, ScoreRefused

_LOOK_AHEAD = 1000

CLOSING = " \t.!)*†\"'’”>,;|"
_TAIL_REFUSALS: tuple[tuple[re.Pattern[str], ScoreRefusal], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), code)
    for pattern, code in (
        (r"[-–~～]\s*\d|(?:to|bis|à|до|through|hasta|até|至|到)\s*(?:an?\s+)?\d", ScoreRefusal.RANGE),
        (
            r"[,;(]?\s*(?:or|and|oder|ou|или|vs\.?|versus|und|et|plus|minus|less|[+×*→/\\&=≈]|->)"
            rf"\s*(?:\w{{1,12}}:?\s+){{0,2}}?(?:\d|(?:{'|'.join(NUMBER_WORDS)})\b)",
            ScoreRefusal.TWO_SCORES,
        ),
        (r"[,;:|]\s*\d", ScoreRefusal.TWO_SCORES),
        (r"/|(?:and\s|,\s?)?(?:an?\s)?(?:half|quarter)\b", ScoreRefusal.MALFORMED_NUMBER),
        (r"\.\s?\d|[²³¹⁰⁴-⁹₀-₉^×]", ScoreRefusal.MALFORMED_NUMBER),
        (r"[?+~]|[-–]\s*[)*]*$", ScoreRefusal.INEXACT),
        (r"\(\s*\?", ScoreRefusal.INEXACT),
        (r"-[^\W\d_]", ScoreRefusal.MALFORMED_NUMBER),
        # `6 for form; content 3`: a second number that ends its clause, unless it is what the first is compared with.
        (
            r"[^.!?\n]{0,60}?[,;](?![^,;]{0,30}\b(?:from|than|below|above|over|under|of|not|max|scale)\b)"
            r"\s*(?:[^\W\d_]+\s+){1,3}\d{1,3}(?:[.,]\d{1,3})?(?:\s*/\s*\d{1,3})?\s*(?:$|[.;,)])",
            ScoreRefusal.TWO_SCORES,
        ),
        # `9 = perfect`, `5 – good; 1 – poor`: the rubric repeated.
        (r"=\s*[^\W\d_]|[^\n]{0,80}?[;,]\s*\d{1,3}\s*[=:–-]\s*[^\W\d_]", ScoreRefusal.UNCLEAR),
    )
)
_HEDGE = re.compile(
    r"\b(?:maybe|perhaps|possibly|borderline|leaning|closer to|almost|nearly|make (?:it|that)|actually|wait|i mean"
    r"|on second thought|revised|adjusted|lowered|raised|reduced|corrected|downgraded|upgraded|should be)\b"
    r"[^.;!?\n]{0,40}?\d|^[,;(–-]?\s*(?:or|oder|ou)\s[^.;!?\n]{0,20}\d",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(
    r"\b(?:(?:make (?:it|that)|i mean|scratch that|correction|on second thought|actually|wait)\b[^.!?\n]{0,60}?"
    r"|(?:revis|chang|correct|lower|rais|adjust|bump|reduc|upgrad|downgrad|increas|decreas)[a-z]{1,4}\b[^.!?\n]{0,30}?"
    r"\b(?:to|at)\s+(?:an?\s+)?)"
    rf"(?<![\d.,]){NUMBER}(?:\s*/\s*\d{{1,4}})?\s*(?:$|(?:is|seems|feels|would be|it is)\b)",
    re.IGNORECASE,
)
_CONDITION = re.compile(r"\b(?:if|once|unless|could|were|when|with (?:an?|better|more))\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?)](?:\s|$)|\n")
_REASON = re.compile(
    r"(?:because|since|as|due|given|reflecting|based|thanks|owing|weil|da|denn|parce|car|porque|ya|perché|потому|так)\s"
    r"|for this (?:essay|response|text|piece)\b",
    re.IGNORECASE,
)
_ASIDE = re.compile(
    r"(?:with|but|though|although|while|overall|indicating|meaning|on (?:a|the) [^\d]{0,20}scale)\s"
    r"|,?\s?not (?:an? )?\d{1,3}\s*[.!)]*$"
    r"|[^\W\d_]{2,20}(?:\s[^\W\d_]{2,20}){0,2}\s?:",
    re.IGNORECASE,
)
_OF_THIS_TEXT = re.compile(
    r"^\s*(?:à|to|for|für|al?|para|per|за)\s+(?:this|the|cet(?:te)?|ce|diese\w{0,2}|den|das|este|el|questo|il|это)?\s*"
    r"(?:l['’])?(?:essay|text|piece|response|submission|essai|texte|ensayo|texto|saggio|testo|эссе|текст)(?![^\W_])"
    r"|^\s*from me\b|^\s*overall\b",
    re.IGNORECASE,
)
_SYMBOLS = re.compile(r"^\s*[^\w\s()|,;:.!?+–→/\\%=“<>~～&×*²³¹⁰⁴-⁹₀-₉^-]+")


def takes_back(text: str) -> bool:
    """Whether the text, which follows a score, replaces it by another number."""
    return any(
        _TAKEN_BACK.search(sentence) and not _CONDITION.search(sentence)
        for sentence in _SENTENCE_END.split(text[:_LOOK_AHEAD])
    )


def require_understood(tail: str, value: float, scale: Scale) -> str:
    """The tail without brackets that only repeat the score; refuses a tail that may change what the number means.

    Raises:
        ScoreRefused: another number, a hedge, a correction or unexplained words follow.
    """
    for pattern, code in _GLUED:
        if pattern.match(tail):
            raise ScoreRefused(code, f"{value:g} runs into '{shorten(tail)}'")
    tail = _skip_brackets(_OF_THIS_TEXT.sub("", tail), value, scale)
    for pattern, code in _TAIL_REFUSALS:
        if pattern.match(tail):
            raise ScoreRefused(code, f"{value:g} is followed by '{shorten(tail)}'")
    if not tail.strip(CLOSING):
        return tail
    if takes_back(tail):
        raise ScoreRefused(ScoreRefusal.CORRECTED, f"{value:g} is taken back in '{shorten(tail)}'")
    first_clause = _CLAUSE_END.split(tail.lstrip(".,;:!–- "), maxsplit=1)[0]
    if _HEDGE.search(tail[:2] + first_clause):
        raise ScoreRefused(ScoreRefusal.INEXACT, f"{value:g} is followed by '{shorten(tail)}'")
    if tail[0] in ".,;:!|–-→=" or _REASON.match(tail) or _ASIDE.match(tail) or restated_tops(tail[:60]):
        return tail
    code = ScoreRefusal.TWO_SCORES if re.search(r"\d", tail) else ScoreRefusal.UNCLEAR
    raise ScoreRefused(code, f"{value:g} runs on into '{shorten(tail)}'")


_GLUED = (
    (re.compile(r"[-\s]?ish\b", re.IGNORECASE), ScoreRefusal.INEXACT),
    (re.compile(r"[^\W_]|[.,]\d"), ScoreRefusal.MALFORMED_NUMBER),
)
_CLAUSE_END = re.compile(r"[.;!?](?:\s|$)")


def _skip_brackets(tail: str, value: float, scale: Scale) -> str:
    if tail.lstrip().startswith(")"):  # the bracket that the label stands in is closed: what follows is set off
        tail = f". {tail.lstrip(' )')}"
    for _ in range(3):
        tail = _SYMBOLS.sub("", tail, count=1).lstrip(" \t)*")
        if not tail.startswith("("):
            break
        inside, closed, after = tail[1:].partition(")")
        _require_harmless_bracket(inside.strip(), value, scale)
        if not closed and re.search(r"\d", inside):
            raise ScoreRefused(ScoreRefusal.UNCLEAR, f"{value:g} is followed by a bracket that never closes")
        tail = after
    return tail


def _require_harmless_bracket(inside: str, value: float, scale: Scale) -> None:
    """Refuses a bracket behind the number that holds another number which may be the score."""
    if re.fullmatch(r"\d[\d.\s+]{1,80}", inside) and "+" in inside:
        parts = [part.strip() for part in inside.split("+")]
        if all(re.fullmatch(NUMBER, part) for part in parts) and math.isclose(sum(map(to_float, parts)), value):
            return  # the sum it was made from
    if restated_tops(f"({inside})"):
        return  # `refuse_other_top` has already looked at it
    if begins := re.match(rf"=?\s*[~≈]?\s*(?P<n>{NUMBER})(?P<more>.{{0,20}})", inside):
        unit = begins["more"].lstrip()
        same = to_float(begins["n"]) == value and not re.match(r"[-–]\s*\d", unit)
        if not (same or unit.startswith("%")):
            raise ScoreRefused(ScoreRefusal.TWO_SCORES, f"{value:g} is followed by '({shorten(inside)})'")
        if same and (top := TOP.match(begins["more"])):
            refuse_other_top(to_float(top["top"]), "", scale)
    elif _HEDGE.search(inside) or re.match(r"\?|or\s", inside):
        raise ScoreRefused(ScoreRefusal.INEXACT, f"{value:g} is followed by '({shorten(inside)})'")
