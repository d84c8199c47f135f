"""What differs between two texts, word by word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

MOST_WORDS = 12_000
"""Of both texts together; longer ones are compared line by line."""

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text: in both, only in the first (`gone`), or only in the second (`new`)."""

    kind: Literal["same", "gone", "new"]
    text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two texts side by side.

    Attributes:
        spans: both texts, woven into one.
        share: of the words of both that they have in common, 0 to 1.
        by_line: lines were compared and not words, because the texts are long.
    """

    spans: list[Span]
    share: float
    by_line: bool = False


def compare_texts(first: str, second: str) -> Comparison:
    """The spans that make the second text out of the first."""
    a, b = _WORDS.findall(first), _WORDS.findall(second)
    by_line = len(a) + len(b) > 2 * MOST_WORDS
    if by_line:
        a, b = _LINES.findall(first), _LINES.findall(second)
    # Words that stand everywhere are no anchors; without that rule a long comparison takes seconds.
    matcher = SequenceMatcher(lambda token: token.isspace(), a, b, autojunk=len(a) + len(b) > 1500)
    spans = list(_merge(_iterate_spans(matcher, a, b)))
    common = sum(len(span.text.split()) for span in spans if span.kind == "same")
    total = len(first.split()) + len(second.split())
    return Comparison(spans, 2 * common / total if total else 1.0, by_line)


def _iterate_spans(matcher: SequenceMatcher[str], a: list[str], b: list[str]) -> Iterator[Span]:
    for kind, a_start, a_end, b_start, b_end in matcher.get_opcodes():
        if kind == "equal":
            yield Span("same", "".join(a[a_start:a_end]))
            continue
        if a_start < a_end:
            yield Span("gone", "".join(a[a_start:a_end]))
        if b_start < b_end:
            yield Span("new", "".join(b[b_start:b_end]))


def _merge(spans: Iterator[Span]) -> Iterator[Span]:
    """Joins changes that only a space stands between, so that a changed phrase is one change and not five."""
    gone, new = "", ""
    for span in spans:
        if span.kind == "gone":
            gone += span.text
        elif span.kind == "new":
            new += span.text
        elif gone and new and span.text.isspace() and "\n" not in span.text:
            gone, new = gone + span.text, new + span.text
        else:
            yield from _flush(gone, new)
            gone, new = "", ""
            yield span
    yield from _flush(gone, new)


def _flush(gone: str, new: str) -> Iterator[Span]:
    if gone:
        yield Span("gone", gone)
    if new:
        yield Span("new", new)
