"""What differs between two texts, word by word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby
from typing import Literal

MOST_WORDS = 15_000
"""Of both texts together, signs counted as words; longer ones are compared line by line."""
_FEWEST_IN_COMMON = 3
"""Words in common, fewer than which do not part a long change in two."""

_WORDS = re.compile(r"(\s*)(\w+|[^\w\s]|\Z)")
_LINES = re.compile(r"()([^\n]*\n|[^\n]+)")
Token = tuple[str, str]
"""The space before a word, and the word; the last one may be empty."""


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
    by_line = len(a) + len(b) > MOST_WORDS
    if by_line:
        a, b = _LINES.findall(first), _LINES.findall(second)
    # Words are matched whatever space is between them: runs of them are told apart better than single ones.
    # Words that stand everywhere are no anchors; without that rule a long comparison takes seconds.
    words = [word for _, word in a], [word for _, word in b]
    matcher = SequenceMatcher(None, *words, autojunk=len(a) + len(b) > 1500)
    spans = list(_merge(_iterate_spans(_fold(matcher.get_opcodes()), a, b)))
    common = sum(len(span.text.split()) for span in spans if span.kind == "same")
    total = len(first.split()) + len(second.split())
    return Comparison(spans, 2 * common / total if total else 1.0, by_line)


def _fold(steps: Sequence[tuple[str, int, int, int, int]]) -> Iterator[tuple[bool, int, int, int, int]]:
    """Steps as `(is_same, …)`; a few words in common within a longer change are part of it."""
    for place, (kind, *ends) in enumerate(steps):
        is_same = kind == "equal"
        if is_same and 0 < place < len(steps) - 1 and ends[1] - ends[0] < _FEWEST_IN_COMMON:
            around = [max(step[2] - step[1], step[4] - step[3]) for step in (steps[place - 1], steps[place + 1])]
            is_same = min(around) <= ends[1] - ends[0]
        yield is_same, ends[0], ends[1], ends[2], ends[3]


def _iterate_spans(steps: Iterator[tuple[bool, int, int, int, int]], a: list[Token], b: list[Token]) -> Iterator[Span]:
    for is_same, a_start, a_end, b_start, b_end in steps:
        if not is_same:
            yield Span("gone", "".join(map("".join, a[a_start:a_end])))
            yield Span("new", "".join(map("".join, b[b_start:b_end])))
            continue
        for (space, word), (other_space, _) in zip(a[a_start:a_end], b[b_start:b_end], strict=True):
            if space == other_space:
                yield Span("same", space + word)
            else:
                yield from (Span("gone", space), Span("new", other_space), Span("same", word))


def _merge(spans: Iterator[Span]) -> Iterator[Span]:
    """Joins neighbours of one kind."""
    found = (span for span in _gather(spans) if span.text)
    for kind, group in groupby(found, key=lambda span: span.kind):
        yield Span(kind, "".join(span.text for span in group))


def _gather(spans: Iterator[Span]) -> Iterator[Span]:
    """Makes one change of neighbours; a space that it begins with on both sides is no part of it."""
    for is_same, group in groupby(spans, key=lambda span: span.kind == "same"):
        if is_same:
            yield from group
            continue
        found = list(group)
        gone, new = ("".join(span.text for span in found if span.kind == kind) for kind in ("gone", "new"))
        spaces = [text[: len(text) - len(text.lstrip())] for text in (gone, new)]
        start = len(spaces[0]) if spaces[0] == spaces[1] else 0
        yield from (Span("same", gone[:start]), Span("gone", gone[start:]), Span("new", new[start:]))
