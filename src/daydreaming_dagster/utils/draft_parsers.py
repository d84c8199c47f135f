"""What of a draft's raw response becomes its parsed text. The `parser` column of `draft_templates.csv` names one.

To add a parser: write one function from the raw text to the parsed text that raises `_Refused` when it cannot, and
add one line to `DRAFT_PARSERS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum

from daydreaming_dagster.domain.errors import ConfigurationError, ResponseError
from daydreaming_dagster.domain.thinking import strip_thinking

_SHOWN_LINES = 3
_SHOWN_CHARS = 160


class DraftRefusal(StrEnum):
    """Why a draft parser read nothing; stored as the `code` of the failure."""

    NO_BLOCK = "no_block"
    """The tag the parser looks for is not in the response."""
    EMPTY_BLOCK = "empty_block"
    """The tag is there with nothing inside."""
    UNCLOSED_BLOCK = "unclosed_block"
    """Blocks are opened, but not one of them is closed."""


class _Refused(Exception):
    """A parser's refusal, before `parse_draft` has put the parser's name and the last lines to it."""

    def __init__(self, code: DraftRefusal, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


def parse_draft(parser_name: str, text: str) -> str:
    """The parsed text of a draft.

    Args:
        parser_name: a key of `DRAFT_PARSERS`.
        text: the raw response.

    Raises:
        ConfigurationError: no parser has that name.
        ResponseError: the text has not what the parser reads; `reason` is `parse_failed` and `culprits` holds
            `parser` and `code` (a `DraftRefusal`).
    """
    parser = DRAFT_PARSERS.get(parser_name)
    if parser is None:
        known = ", ".join(sorted(DRAFT_PARSERS))
        raise ConfigurationError(
            f"Unknown draft parser '{parser_name}'; known: {known}.",
            fix="Correct the parser column of data/1_raw/draft_templates.csv, then: daydreaming doctor",
            reason="parser_unknown",
            culprits={"parser": parser_name, "allowed": sorted(DRAFT_PARSERS)},
        )
    try:
        return parser(text)
    except _Refused as refused:
        raise ResponseError(
            f"Parser '{parser_name}' read nothing ({refused.code}): {refused.why}.\n{last_lines(text)}",
            fix="Read the whole response with `daydreaming show GEN_ID`. If this template answers in another form, "
            "change its parser in data/1_raw/draft_templates.csv and try it first: "
            "daydreaming parse --parser identity FILE",
            reason="parse_failed",
            culprits={"parser": parser_name, "code": str(refused.code), "why": refused.why},
        ) from None


def last_lines(text: str) -> str:
    """The last non-blank lines of a response, shortened, as they are shown under a refusal."""
    lines = [line.strip() for line in text[-20_000:].splitlines() if line.strip()][-_SHOWN_LINES:]
    if not lines:
        return "The response is blank."
    shown = [line if len(line) <= _SHOWN_CHARS else f"… {line[-_SHOWN_CHARS:]}" for line in lines]
    return "\n".join(["Last lines:", *(f"  | {line}" for line in shown)])


_ESSAY_OPEN = re.compile(r"<essay(?:\s[^<>]*)?>", re.IGNORECASE)
_ESSAY_CLOSE = re.compile(r"</essay\s*>", re.IGNORECASE)


def _parse_identity(text: str) -> str:
    return text


def _parse_essay_block(text: str) -> str:
    answer = strip_thinking(text)
    opening = _ESSAY_OPEN.search(answer)
    if opening is None:
        raise _Refused(DraftRefusal.NO_BLOCK, "there is no <essay> tag outside the model's thinking")
    closing = _ESSAY_CLOSE.search(answer, opening.end())
    block = answer[opening.end() : closing.start() if closing else len(answer)].strip()
    if not block:
        raise _Refused(DraftRefusal.EMPTY_BLOCK, "there is nothing inside <essay>")
    return block


_IDEA_TAG = re.compile(r"<(?:(?P<close>/)essay-idea\s*|essay-idea(?P<attributes>\s[^<>]*)?)>", re.IGNORECASE)
_STAGE = re.compile(r"(?<![\w-])stage\s*=\s*[\"'“”„‘’`]?\s*(\d{1,9})(?!\d)", re.IGNORECASE)


def _parse_essay_idea_last(text: str) -> str:
    answer = strip_thinking(text)
    best: tuple[int, str] | None = None  # (stage, block); -1 stands for a block without a stage
    opening: re.Match[str] | None = None
    seen = False
    for tag in _IDEA_TAG.finditer(answer):
        if not tag["close"]:
            # An opening tag while a block is open: that block was never closed, and must not swallow this one.
            opening, seen = tag, True
        elif opening is not None:
            number = _STAGE.search(opening["attributes"] or "")
            stage = int(number[1]) if number else -1
            if best is None or stage >= best[0]:
                best = (stage, answer[opening.end() : tag.start()])
            opening = None
    if best is None:
        if seen:
            raise _Refused(DraftRefusal.UNCLOSED_BLOCK, "an <essay-idea> is opened, but none is closed")
        raise _Refused(DraftRefusal.NO_BLOCK, "there is no <essay-idea> tag outside the model's thinking")
    block = best[1].strip()
    if not block:
        raise _Refused(DraftRefusal.EMPTY_BLOCK, "there is nothing inside the <essay-idea> of the highest stage")
    return block


DRAFT_PARSERS: Mapping[str, Callable[[str], str]] = {
    "identity": _parse_identity,
    "essay_block": _parse_essay_block,
    "essay_idea_last": _parse_essay_idea_last,
}
"""Parser by the name that stands in the `parser` column."""
