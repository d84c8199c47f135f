"""What of a judge's raw response becomes a score. The `parser` column of `evaluation_templates.csv` names one.

A score is read or refused, never guessed. To add a parser: write one function from text and scale to a number that
raises `ScoreRefused`, and add one line to `SCORE_PARSERS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from daydreaming_dagster.domain.errors import ConfigurationError, ResponseError
from daydreaming_dagster.domain.json_scores import read_json_score
from daydreaming_dagster.domain.response_text import PlainLine, read_plain_lines
from daydreaming_dagster.domain.score_labels import Rank, find_labels, is_final, is_whole
from daydreaming_dagster.domain.score_numbers import restates_scale
from daydreaming_dagster.domain.score_statements import (
    Statement,
    find_sentences,
    find_statements,
    read_bare_fraction,
)
from daydreaming_dagster.domain.score_tails import takes_back
from daydreaming_dagster.domain.scores import (
    Scale,
    ScoreRefusal,
    ScoreRefused,
    format_score,
    read_parsed_number,
    require_on_scale,
)
from daydreaming_dagster.domain.thinking import strip_thinking

__all__ = [
    "SCORE_PARSERS",
    "Scale",
    "ScoreRefusal",
    "ScoreRefused",
    "format_score",
    "parse_score",
    "read_parsed_number",
]

_LAST_LINES = 3
_SHOWN_CHARS = 160
_LONGEST_CHARS = 1_000_000


def parse_score(parser_name: str, text: str, scale: Scale) -> float:
    """The score in a judge's response: a finite number on the scale.

    Args:
        parser_name: a key of `SCORE_PARSERS`.
        text: the raw response.
        scale: the template's scale; its top is the only denominator that is accepted.

    Raises:
        ConfigurationError: no parser has that name.
        ResponseError: there is no score, or not exactly one; `reason` is `parse_failed` and `culprits` holds
            `parser` and `code` (a `ScoreRefusal`).
    """
    parser = SCORE_PARSERS.get(parser_name)
    if parser is None:
        raise ConfigurationError(
            f"Unknown evaluation parser '{parser_name}'; known: {', '.join(sorted(SCORE_PARSERS))}.",
            fix="Correct the parser column of data/1_raw/evaluation_templates.csv, then: daydreaming doctor",
            reason="parser_unknown",
            culprits={"parser": parser_name, "allowed": sorted(SCORE_PARSERS)},
        )
    try:
        if not text.strip():
            raise ScoreRefused(ScoreRefusal.EMPTY, "the response is blank")
        return require_on_scale(parser(text, scale), scale)
    except ScoreRefused as refused:
        raise ResponseError(
            f"Parser '{parser_name}' read no score ({refused.code}): {refused.why}.\n{_last_lines(text)}",
            fix="Read the whole response with `daydreaming show GEN_ID`. To see what another parser makes of it: "
            "daydreaming parse --parser labelled_score FILE",
            reason="parse_failed",
            culprits={"parser": parser_name, "code": str(refused.code), "why": refused.why},
        ) from None


def _last_lines(text: str) -> str:
    lines = [line.strip() for line in text[-20_000:].splitlines() if line.strip()][-_LAST_LINES:]
    if not lines:
        return "The response is blank."
    shown = [line if len(line) <= _SHOWN_CHARS else f"… {line[-_SHOWN_CHARS:]}" for line in lines]
    return "\n".join(["Last lines:", *(f"  | {line}" for line in shown)])


# --- the parsers ---------------------------------------------------------------------------------------------------


def _parse_in_last_line(text: str, scale: Scale) -> float:
    if (score := find_undisputed_score(text, scale)) is not None:
        return score
    lines = _require_lines(text)
    return _read(text, lines, scale, first_line=len(lines) - _LAST_LINES, last_wins=True)


def _parse_labelled_score(text: str, scale: Scale) -> float:
    if (score := find_undisputed_score(text, scale)) is not None:
        return score
    return _read(text, _require_lines(text), scale, first_line=0, last_wins=False)


SCORE_PARSERS: Mapping[str, Callable[[str, Scale], float]] = {
    "in_last_line": _parse_in_last_line,
    "labelled_score": _parse_labelled_score,
    "json_score": read_json_score,
}
"""Parser by the name that stands in the `parser` column."""


_PROSE = re.compile(r"[A-Za-z0-9 ,.;!?'()\n-]*")
_CLOSING_SCORE = re.compile(r"SCORE: (0|[1-9]\d{0,2})")


def find_undisputed_score(text: str, scale: Scale) -> float | None:
    """The number of a last line `SCORE: 7` when nothing above it can say otherwise; None when that takes a closer look.

    Judges are told to end so, and the rules below cost a hundred times as much. Above the line may stand prose only,
    without markup, a colon, a word that announces scores, or a scale: then none of those rules has anything to find.
    """
    spoken = text.rstrip()
    start = spoken.rfind("\n") + 1
    closing = _CLOSING_SCORE.fullmatch(spoken, start)
    if closing is None or len(text) > _LONGEST_CHARS or _PROSE.fullmatch(spoken, 0, start) is None:
        return None
    above, score = spoken[:start], float(closing[1])
    # Two dashes may belong to a line that marks a quoted essay.
    if not scale.min <= score <= scale.max or "--" in above or restates_scale(above):
        return None
    if next(find_labels(above), None) is not None:
        return None
    return score


def _require_lines(text: str) -> list[PlainLine]:
    if len(text) > _LONGEST_CHARS and (length := len(strip_thinking(text))) > _LONGEST_CHARS:
        raise ScoreRefused(ScoreRefusal.TOO_LONG, f"the response has {length:,} characters")
    return read_plain_lines(text)


def _read(text: str, lines: Sequence[PlainLine], scale: Scale, *, first_line: int, last_wins: bool) -> float:
    """The score stated on the lines from `first_line` on; the lines before only say what it is about.

    Of several plain scores that differ the last one counts when `last_wins`; else they are refused.
    """
    everywhere = find_statements(lines, scale)
    statements = [statement for statement in everywhere if statement.line >= first_line]
    chosen = (
        _choose_ranked(statements, everywhere, lines, last_wins=last_wins)
        or _choose_sentence(lines, first_line, scale)
        or _choose_fraction(lines, first_line, scale)
    )
    if chosen is None:
        raise _explain_nothing(text, lines, everywhere)
    if chosen.value is None:
        raise chosen.refusal or ScoreRefused(ScoreRefusal.NO_NUMBER, chosen.label)
    _require_not_contradicted(chosen, everywhere)
    _require_not_taken_back(chosen, lines)
    return chosen.value


def _choose_ranked(
    statements: Sequence[Statement],
    everywhere: Sequence[Statement],
    lines: Sequence[PlainLine],
    *,
    last_wins: bool,
) -> Statement | None:
    """The labelled score of the whole; None when nothing is labelled so.

    Raises:
        ScoreRefused: several differ and none of them has the last word.
    """
    ranked = [statement for statement in statements if statement.rank is not None]
    best = max((statement.rank for statement in ranked if statement.rank is not None), default=Rank.SUM)
    if best is Rank.SUM:
        return None
    last = [statement for statement in ranked if statement.rank is best][-1]
    if best is Rank.NAMED:
        return _require_single_name(last, everywhere, lines)
    if best is Rank.PLAIN:
        _require_not_per_criterion(last, everywhere, last_wins=last_wins)
    # Final scores contradict each other wherever they stand, other ones only where this parser looks.
    rivals = [
        other
        for other in (everywhere if last.rank in (Rank.FINAL, Rank.REVISED) else ranked)
        if _may_be_meant_instead(other, last)
    ]
    for rival in rivals:
        if rival.value is None or last.value is None or rival.value != last.value:
            raise ScoreRefused(
                ScoreRefusal.TWO_SCORES, f"'{_shown(rival)}' and '{_shown(last)}' both claim to be the score"
            )
    return last


def _may_be_meant_instead(other: Statement, last: Statement) -> bool:
    """Whether another statement has as good a claim as the last one of the highest rank."""
    if other is last or other.rank is None or last.rank is None or other.rank is Rank.NAMED:
        return False
    if other.rank is last.rank:
        return last.rank is not Rank.PLAIN or other.line == last.line
    # A lower rank gives way, unless it comes later and is a score in its own right.
    is_later = other.line > last.line
    return is_later and last.rank is not Rank.REVISED and (other.rank is Rank.PLAIN or other.value is not None)


def _require_not_per_criterion(last: Statement, everywhere: Sequence[Statement], *, last_wins: bool) -> None:
    """Refuses a plain `Score:` that may be about one criterion only, or that contradicts an earlier one."""
    earlier = [other for other in everywhere if other.rank is Rank.PLAIN and other is not last]
    criteria = {other.topic for other in earlier if _is_criterion(other.topic)}
    on_criterion = _is_criterion(last.topic)
    if on_criterion and last.topic in criteria and len(criteria) > 1:
        return  # its criterion has had a score already, as others have had theirs: this one stands for the whole
    for other in earlier:
        same_part = other.topic == last.topic
        if on_criterion and _is_criterion(other.topic) and not same_part:
            raise ScoreRefused(
                ScoreRefusal.ONLY_SUB_SCORES, f"'{other.topic}' and '{last.topic}' have scores, the whole has none"
            )
        settled = last_wins and (same_part or not on_criterion)
        moved_on = not same_part and (is_final(last.topic) or _is_criterion(other.topic))
        if other.value != last.value and not (settled or moved_on):
            raise ScoreRefused(
                ScoreRefusal.TWO_SCORES, f"'{_shown(other)}' and '{_shown(last)}' both claim to be the score"
            )


def _is_criterion(topic: str) -> bool:
    return bool(topic) and not is_whole(topic)


_OTHER_RATING = re.compile(r"[^\d:|=]{1,40}[:|=–-]\s*\d{1,3}(?:[.,]\d{1,3})?(?:\s*/\s*\d{1,3})?\s*$")


def _require_single_name(last: Statement, everywhere: Sequence[Statement], lines: Sequence[PlainLine]) -> Statement:
    """A score with a name of its own is the score only when it is the one number the response gives."""
    ratings = sum(1 for line in lines if _OTHER_RATING.match(line.text))
    if len(everywhere) > 1 or ratings > 1 or not last.is_sole:
        raise ScoreRefused(
            ScoreRefusal.ONLY_SUB_SCORES, f"'{last.label}' is the score of one criterion, and the whole has none"
        )
    return last


def _choose_sentence(lines: Sequence[PlainLine], first_line: int, scale: Scale) -> Statement | None:
    found = [statement for statement in find_sentences(lines, scale) if statement.line >= first_line]
    if not found:
        return None
    if len({statement.value for statement in found}) > 1:
        raise ScoreRefused(ScoreRefusal.TWO_SCORES, "several sentences give different scores")
    return found[-1]


def _choose_fraction(lines: Sequence[PlainLine], first_line: int, scale: Scale) -> Statement | None:
    """A bare fraction on the last line, or for a parser that reads everything on the first."""
    if not lines:
        return None
    ends = [len(lines) - 1] if first_line > 0 else sorted({0, len(lines) - 1})
    found = [statement for index in ends if (statement := read_bare_fraction(lines[index], index, scale))]
    if len({statement.value for statement in found}) > 1:
        raise ScoreRefused(ScoreRefusal.TWO_SCORES, "the first and the last line give different fractions")
    return found[-1] if found else None


def _require_not_contradicted(chosen: Statement, everywhere: Sequence[Statement]) -> None:
    """A final score must not differ from what was chosen, wherever it stands.

    What is hardly labelled as a score must not differ from anything that is.
    """
    rank = Rank.WEAK if chosen.rank is None else chosen.rank
    rivals = (Rank.FINAL, Rank.REVISED) if rank > Rank.WEAK else tuple(r for r in Rank if r >= Rank.WEAK)
    for other in everywhere:
        if other.rank in rivals and other.rank >= rank and other.value != chosen.value:
            raise ScoreRefused(
                ScoreRefusal.TWO_SCORES, f"'{_shown(other)}' and '{_shown(chosen)}' both claim to be the score"
            )


def _require_not_taken_back(chosen: Statement, lines: Sequence[PlainLine]) -> None:
    for line in lines[chosen.line + 1 :]:
        if takes_back(line.text):
            raise ScoreRefused(ScoreRefusal.CORRECTED, f"'{_shown(chosen)}' is taken back by '{line.text[:80]}'")


def _explain_nothing(text: str, lines: Sequence[PlainLine], everywhere: Sequence[Statement]) -> ScoreRefused:
    """Says where a score would have been, when there is none where it should be."""
    usable = [statement for statement in everywhere if statement.value is not None and statement.rank != Rank.SUM]
    if usable:
        line = usable[-1].line
        return ScoreRefused(
            ScoreRefusal.NOT_IN_LAST_LINES,
            f"'{lines[line].text[:60]}' stands before the last {_LAST_LINES} lines; the parser labelled_score reads it",
        )
    if next(find_labels(text), None) is None:
        return ScoreRefused(ScoreRefusal.NO_SCORE, "there is no labelled score")
    unquoted, quoted, thought = (
        _count_mentions(spoken)
        for spoken in (
            lines,
            read_plain_lines(text, keep_quotes=True),
            read_plain_lines(text, keep_quotes=True, keep_thinking=True),
        )
    )
    if quoted > unquoted:
        return ScoreRefused(ScoreRefusal.ONLY_QUOTED, "the only score stands in a quotation")
    if thought > quoted:
        return ScoreRefused(ScoreRefusal.ONLY_IN_THINKING, "the only score stands in the model's thinking")
    return ScoreRefused(ScoreRefusal.NO_SCORE, "there is no labelled score")


def _count_mentions(lines: Sequence[PlainLine]) -> int:
    """How often a label is followed by a number soon, whatever that number means."""
    return sum(1 for line in lines for label in find_labels(line.text) if _NUMBER_SOON.match(line.text, label.end()))


_NUMBER_SOON = re.compile(r"\D{0,12}\d")


def _shown(statement: Statement) -> str:
    return statement.label if statement.value is None else f"{statement.label}: {statement.value:g}"
