"""How figures are written for people: with sign and interval, and a plain word where there is no figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from daydreaming_dagster.analysis.estimates import PER_WORDS

NOT_ESTIMABLE = "not estimable"

_REASONS: Mapping[str, str] = {
    "parse_failed": "no score or text could be read in the answer",
    "truncated": "cut off at the token limit",
    "too_short": "answer too short",
    "empty": "empty answer",
    "content_filter": "stopped by a filter",
    "timeout": "no answer in time",
    "not_made": "not asked for yet",
    "not_parsed": "not read yet",
    "score_off_scale": "score off the scale",
    "scale_unknown": "rubric no longer among the inputs",
    "score_not_finite": "not a number",
    "score_empty": "the file with the score is empty",
    "store": "a file is damaged or cannot be read",
    "metadata_corrupt": "a file is damaged",
    "raw_metadata_corrupt": "a file is damaged",
    "parsed_corrupt": "a file is damaged",
    "rate_limited": "too many calls for the provider",
    "transport": "the connection failed",
    "refused": "the provider refused",
}
"""What the commonest reason codes mean."""


def show_number(value: float | None, digits: int = 2) -> str:
    """`4.57`, `1,234.50`; a dash when there is none."""
    if value is None:
        return "–"
    text = f"{value:,.{digits}f}"
    return text.replace("-", "−") if round(value, digits) != 0 else text.lstrip("-")


def show_interval(estimate: float | None, low: float | None, high: float | None, digits: int = 2) -> str:
    """`4.57 [4.10, 5.02]`, `4.57 (no interval)`, or that there is no estimate."""
    if estimate is None:
        return NOT_ESTIMABLE
    if low is None or high is None:
        return f"{show_number(estimate, digits)} (no interval)"
    return f"{show_number(estimate, digits)} [{show_number(low, digits)}, {show_number(high, digits)}]"


def show_effect(row: Mapping[str, Any], sign: int = 1) -> str:
    """A contrast's `effect` with its `low` and `high`; with a sign of -1 as seen from the other side."""
    ends = sorted(sign * end for end in (row["low"], row["high"]) if end is not None)
    return show_interval(sign * row["effect"], *(ends if len(ends) == 2 else (None, None)))


def show_length_slope(row: Mapping[str, Any]) -> str:
    """What length makes by a row of `RATING_HEALTH_SCHEMA`: by 100 words, or over the spread where that is less."""
    slope, low, high = (row[f"length_slope{end}"] for end in ("", "_low", "_high"))
    spread = row["length_spread_words"]
    if slope is None or spread is None or spread >= PER_WORDS:
        return show_interval(slope, low, high)
    low, high = (None if end is None else end * spread / PER_WORDS for end in (low, high))
    return f"{show_interval(slope * spread / PER_WORDS, low, high)} over {spread:.0f} words"


def show_share(value: float | None) -> str:
    """`12 %`, with a space that does not break; a dash when there is none."""
    if value is None:
        return "–"
    return "<\u00a01\u00a0%" if 0 < value < 0.005 else f"{100 * value:.0f}\u00a0%"


def show_p(p: float | None) -> str:
    """`.034`, `< .001`; a dash when there is none."""
    if p is None:
        return "–"
    if p < 0.001:
        return "< .001"
    return f"{p:.3f}"[1:] if p < 1 and f"{p:.3f}"[0] == "0" else "1.000"


def show_usd(value: float | None) -> str:
    """`$1.2345`; more digits for small amounts, `unknown` when nobody knows."""
    if value is None:
        return "unknown"
    if value == 0:
        return "$0"
    return f"${value:,.2f}" if value >= 1 else f"${value:.4g}"


def join_words(words: Sequence[str], last: str = "and") -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}" if words else ""


def name_reason(code: str) -> str:
    """A reason code with its meaning, where that is not plain."""
    return f"{code} ({_REASONS[code]})" if code in _REASONS else code
