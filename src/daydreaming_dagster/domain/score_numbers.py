"""Numbers as judges write them, and the scales they restate (`7/9`, `(0-9)`, `out of 10`)."""

from __future__ import annotations

import re

from daydreaming_dagster.domain.scores import Scale, ScoreRefusal, ScoreRefused

_LOOK_AHEAD = 400

NUMBER = r"\d{1,15}(?:[.,]\d{1,30})?"
NUMBER_WORDS = {
    word: value
    for value, word in enumerate("zero one two three four five six seven eight nine ten".split())  # noqa: SIM905
}
TOP = re.compile(
    r"\s*(?:/|(?:out\s+of|of|von(?:\s+(?:maximal|max\.|möglichen))?|sur|de|di|su|sobre|em|uit|van(?:\s+de)?|av|af|fra|из|з|z|na"
    r"|dari|trên|από|מתוך|من|में\s+से)(?![^\W_]))"
    rf"\s*(?:an?\s+|the\s+)?(?:(?:possible|maximum|max\.?|total)\s+(?:of\s+)?)?"
    rf"(?P<top>{NUMBER}|(?:{'|'.join(NUMBER_WORDS)})(?![\w-]))(?![\d%])",
    re.IGNORECASE,
)


_RESTATED = re.compile(
    rf"(?:scale|range|skala|échelle|escala|шкал\w{{0,2}})\D{{0,12}}?(?P<low>{NUMBER})"
    rf"\s*(?:-|–|to|through|bis|à|a|до|\.\.\.?)\s*(?P<a>{NUMBER})"
    rf"|[(\[]\s*(?P<low2>{NUMBER})\s*(?:-|–|to|bis|à|\.\.)\s*(?P<b>{NUMBER})(?:\s*(?:scale|points?|skala))?\s*[)\]]"
    rf"|(?P<low3>{NUMBER})\s*(?:-|–|to)\s*(?P<c>{NUMBER})\s+scale"
    rf"|(?P<d>{NUMBER})[\s-](?:point|punkte)[\s-](?:scale|skala)"
    r"|[(\[,]\s*(?:out of|of|/|max(?:imum)?\.?|von|sur|de|su|из|满分|満点|滿分)"
    rf"\s*:?\s*(?:a\s+possible\s+)?(?P<e>{NUMBER})"
    rf"|(?P<f>{NUMBER})\s*(?:点満点|分满分|分制|점\s*만점)",
    re.IGNORECASE,
)


def restated_tops(text: str) -> list[float]:
    """The tops of all scales that a piece of text restates (`(0-9)`, `on a scale of 1 to 10`)."""
    return [
        to_float(next(found[name] for name in "abcdef" if found[name] is not None))
        for found in _RESTATED.finditer(text[:_LOOK_AHEAD])
    ]


def restates_scale(text: str) -> bool:
    """Whether a scale is restated anywhere in a text."""
    return _RESTATED.search(text) is not None


def require_same_top(text: str, scale: Scale) -> None:
    """Refuses a text that restates a scale with another top."""
    for top in restated_tops(text):
        refuse_other_top(top, "", scale)


def refuse_other_top(top: float | None, tail: str, scale: Scale) -> None:
    """Refuses a score whose stated top, or a scale restated behind it, has another top than the scale."""
    for stated in ([] if top is None else [top]) + restated_tops(tail[:120]):
        if stated != scale.max:
            raise ScoreRefused(
                ScoreRefusal.WRONG_DENOMINATOR, f"the judge counts up to {stated:g}, the scale is {scale}"
            )


def to_float(number: str) -> float:
    """Reads a matched number; a comma is a decimal comma unless it may divide thousands."""
    if number[0].isalpha():
        return float(NUMBER_WORDS[number.lower()])
    if re.search(r",\d{3}$", number):
        raise ScoreRefused(ScoreRefusal.MALFORMED_NUMBER, f"'{number}' may be a thousand or a decimal")
    return float(number.replace(",", "."))


def shorten(text: str, limit: int = 40) -> str:
    """The text on one line and no longer than `limit` characters, for a message."""
    text = " ".join(text[: 2 * limit].split())
    return text if len(text) <= limit else f"{text[:limit]}…"
