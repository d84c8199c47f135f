"""Reads the score out of a judge's JSON answer: an object with `score` (and `reasoning`)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from daydreaming_dagster.domain.score_values import read_value
from daydreaming_dagster.domain.scores import Scale, ScoreRefusal, ScoreRefused, require_on_scale
from daydreaming_dagster.domain.thinking import strip_thinking

_MOST_ATTEMPTS = 64
_SCORE_KEYS = ("score", "final_score", "overall_score", "total_score")
_TOP_KEYS = ("max_score", "maximum_score", "max", "maximum", "out_of", "scale_max", "score_max", "scale", "score_range")
_OBJECT_START = re.compile(r"\{\s{0,200}[\"}]")


def read_json_score(text: str, scale: Scale) -> float:
    """The score of the one JSON object in a response, with or without words and a code fence around it.

    Raises:
        ScoreRefused: there is no valid object, it has no score, or objects differ.
    """
    answer = text if text.lstrip().startswith(("{", "[")) else strip_thinking(text)
    objects = [found for value in _decode(answer) for found in _unwrap(value)]
    if not objects:
        raise ScoreRefused(ScoreRefusal.INVALID_JSON, "there is no complete, valid JSON object in the response")
    scored = [found for found in objects if _score_entries(found)]
    if not scored:
        if any(_score_entries(value) for found in objects for value in found.values() if isinstance(value, dict)):
            raise ScoreRefused(ScoreRefusal.ONLY_SUB_SCORES, "single criteria have a score, the whole has none")
        raise ScoreRefused(ScoreRefusal.NO_SCORE, "the JSON object has no member 'score'")
    values = {_read_object(found, scale) for found in scored}
    if len(values) > 1:
        raise ScoreRefused(ScoreRefusal.TWO_SCORES, f"JSON objects with different scores: {sorted(values)}")
    return values.pop()


def _decode(text: str) -> Iterator[Any]:
    """Every complete JSON value in the text that is, or holds, an object."""
    decoder = json.JSONDecoder(object_pairs_hook=_require_unique_keys, parse_constant=_refuse_constant, strict=False)
    whole = text.strip()
    if whole.startswith("["):
        try:
            yield decoder.raw_decode(whole)[0]
            return
        except (ValueError, RecursionError):
            pass
    position = 0
    for _ in range(_MOST_ATTEMPTS):
        start = _OBJECT_START.search(text, position)
        if start is None:
            return
        try:
            value, position = decoder.raw_decode(text, start.start())
            yield value
        except (ValueError, RecursionError):
            position = start.start() + 1
    raise ScoreRefused(ScoreRefusal.INVALID_JSON, f"more than {_MOST_ATTEMPTS} pieces look like JSON objects")


def _require_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and found[key] != value and key.lower() in _SCORE_KEYS:
            raise ScoreRefused(ScoreRefusal.TWO_SCORES, f"'{key}' stands in one object with different values")
        found[key] = value
    return found


def _refuse_constant(name: str) -> float:
    raise ScoreRefused(ScoreRefusal.NOT_FINITE, f"{name} is not a finite number")


def _unwrap(value: Any) -> Iterator[dict[str, Any]]:
    """The object itself, or the one that a list or an object of one member wraps."""
    for _ in range(3):
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            yield from value
            return
        if not isinstance(value, dict):
            return
        only = next(iter(value.values())) if len(value) == 1 else None
        if not isinstance(only, dict | list) or _score_entries(value):
            break
        value = only
    if isinstance(value, dict):
        yield value


def _score_entries(found: dict[str, Any]) -> list[Any]:
    by_key = {key.strip().lower().replace(" ", "_"): value for key, value in found.items()}
    return [by_key[key] for key in _SCORE_KEYS if key in by_key]


def _read_object(found: dict[str, Any], scale: Scale) -> float:
    by_key = {key.strip().lower().replace(" ", "_"): value for key, value in found.items()}
    for key in _TOP_KEYS:
        top = by_key.get(key)
        if isinstance(top, str) and (numbers := re.findall(r"\d{1,9}(?:\.\d{1,9})?", top[:80])):
            top = float(numbers[-1])
        if isinstance(top, int | float) and not isinstance(top, bool) and top != scale.max:
            raise ScoreRefused(ScoreRefusal.WRONG_DENOMINATOR, f"'{key}' is {top}, the scale is {scale}")
    values = {_to_score(entry, scale) for entry in _score_entries(found)}
    if len(values) > 1:
        raise ScoreRefused(ScoreRefusal.TWO_SCORES, f"one object holds different scores: {sorted(values)}")
    return values.pop()


def _to_score(entry: Any, scale: Scale) -> float:
    if isinstance(entry, str):
        reading = read_value(entry, scale)
        if not (reading.clean or reading.has_top):
            raise ScoreRefused(ScoreRefusal.UNCLEAR, f"the score is '{entry[:60]}'")
        return reading.value
    if isinstance(entry, bool) or not isinstance(entry, int | float):
        raise ScoreRefused(ScoreRefusal.NO_NUMBER, f"the score is {json.dumps(entry)[:60]}")
    try:
        value = float(entry)
    except OverflowError:
        value = float("inf")
    return require_on_scale(value, scale)
