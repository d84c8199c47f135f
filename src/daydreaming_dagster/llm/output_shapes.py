"""An `OutputShape` in the two languages servers understand: JSON schema, and llama.cpp's grammar (GBNF)."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from daydreaming_dagster.domain.errors import RefusedError
from daydreaming_dagster.llm.protocol import OutputShape

_LONGEST_REASONING_WORDS = 60
_LONGEST_REASONING_CHARS = 400
_TOKENS_PER_WORD = 4  # generous for English, so that the score still fits under max_tokens
_TOKENS_OF_SCORE = 16


@lru_cache(maxsize=64)
def build_response_format(output: OutputShape) -> dict[str, Any]:
    """The `response_format` field of a chat completion request that asks for a score as JSON.

    Only keywords that every strict implementation accepts: providers refuse numeric bounds or enums of numbers, so
    the scale stands in the description and the parser checks it.
    """
    low, high = _scale_ends(output)
    return _as_response_format(
        reasoning={"type": "string", "description": "The reasons for the score, before the score."},
        score={"type": "integer", "description": f"A whole number from {low} to {high}."},
    )


@lru_cache(maxsize=64)
def build_bounded_response_format(output: OutputShape) -> dict[str, Any]:
    """The same for a sampler that enforces the whole schema: bounded reasoning, and only scores on the scale."""
    low, high = _scale_ends(output)
    return _as_response_format(
        reasoning={"type": "string", "minLength": 1, "maxLength": _LONGEST_REASONING_CHARS},
        score={"type": "integer", "minimum": low, "maximum": high},
    )


@lru_cache(maxsize=64)
def build_score_line_grammar(output: OutputShape, max_tokens: int | None = None) -> str:
    """A GBNF grammar: some words of reasoning on one line, then `SCORE: ` and a whole number on the scale.

    Args:
        output: the scale.
        max_tokens: bound of the whole answer; the reasoning is kept short enough to leave room for the score.
    """
    low, high = _scale_ends(output)
    longest = _LONGEST_REASONING_WORDS
    if max_tokens is not None:
        longest = max(1, min(longest, (max_tokens - _TOKENS_OF_SCORE) // _TOKENS_PER_WORD))
    shortest = min(5, longest)
    scores = " | ".join(f'"{score}"' for score in range(low, high + 1))
    return "\n".join(
        [
            'root ::= reasoning "\\nSCORE: " score',
            f'reasoning ::= word (" " word){{{shortest - 1},{longest - 1}}}',
            "word ::= [^ \\t\\r\\n]{1,24}",
            f"score ::= {scores}",
        ]
    )


def _scale_ends(output: OutputShape) -> tuple[int, int]:
    low, high = math.ceil(output.scale_min), math.floor(output.scale_max)
    if low > high:
        raise RefusedError(
            f"The scale from {output.scale_min:g} to {output.scale_max:g} holds no whole number to score with.",
            fix="Mend scale_min and scale_max of the template in data/1_raw/evaluation_templates.csv.",
            reason="bad_request",
            culprits={"scale_min": output.scale_min, "scale_max": output.scale_max},
        )
    return low, high


def _as_response_format(*, reasoning: dict[str, Any], score: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "json_schema",
        "json_schema": {
            "name": "evaluation",
            "strict": True,
            "schema": {
                "type": "object",
                "properties": {"reasoning": reasoning, "score": score},
                "required": ["reasoning", "score"],
                "additionalProperties": False,
            },
        },
    }
