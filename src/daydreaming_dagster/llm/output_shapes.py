"""An `OutputShape` in the two languages servers understand: JSON schema, and llama.cpp's grammar (GBNF)."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from daydreaming_dagster.domain.errors import RefusedError
from daydreaming_dagster.llm.protocol import OutputShape

_LONGEST_REASONING_WORDS = 80
_LONGEST_SENTENCE_WORDS = 40
_TOKENS_PER_WORD = 4  # generous for English, so that the score still fits under max_tokens
_TOKENS_OF_SCORE = 32  # with what stands around it
_ROOT_RULES = {
    "score_line": 'root ::= reasoning "\\nSCORE: " score',
    "score_json": 'root ::= "{\\"reasoning\\": \\"" reasoning "\\", \\"score\\": " score "}"',
}


@lru_cache(maxsize=64)
def build_response_format(output: OutputShape) -> dict[str, Any]:
    """The `response_format` field of a chat completion request that asks for a score as JSON.

    Only keywords that every strict implementation accepts: providers refuse numeric bounds or enums of numbers, so
    the scale stands in the description and the parser checks it.
    """
    scores = whole_scores(output)
    properties = {
        "reasoning": {"type": "string", "description": "The reasons for the score, before the score."},
        "score": {"type": "integer", "description": f"A whole number from {scores[0]} to {scores[-1]}."},
    }
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "evaluation", "strict": True, "schema": schema}}


@lru_cache(maxsize=64)
def build_grammar(output: OutputShape, max_tokens: int | None = None) -> str:
    """A GBNF grammar for the shape: one or two sentences of reasoning, then a whole number on the scale.

    A grammar also for JSON, because a small model that may put blanks between the fields of a schema spends its
    tokens on them.

    Args:
        output: kind and scale.
        max_tokens: bound of the whole answer; the reasoning is kept short enough to leave room for the score.
    """
    words = _LONGEST_REASONING_WORDS
    if max_tokens is not None:
        words = max(1, min(words, (max_tokens - _TOKENS_OF_SCORE) // _TOKENS_PER_WORD))
    sentences = max(1, words // _LONGEST_SENTENCE_WORDS)
    alternatives = " | ".join(f'"{score}"' for score in whole_scores(output))
    return "\n".join(
        [
            _ROOT_RULES[output.kind],
            f'reasoning ::= sentence (" " sentence){{0,{sentences - 1}}}',
            f'sentence ::= word (" " word){{0,{words // sentences - 1}}} [.!?]',
            "word ::= [\\x23-\\x2D\\x2F-\\x3E\\x40-\\x5B\\x5D-\\x7E]{1,24}",  # visible ASCII without .!?"\
            f"score ::= {alternatives}",
        ]
    )


def whole_scores(output: OutputShape) -> range:
    """The whole numbers on the scale.

    Raises:
        RefusedError: there are none.
    """
    scores = range(math.ceil(output.scale_min), math.floor(output.scale_max) + 1)
    if scores:
        return scores
    raise RefusedError(
        f"The scale from {output.scale_min:g} to {output.scale_max:g} holds no whole number to score with.",
        fix="Mend scale_min and scale_max of the template in data/1_raw/evaluation_templates.csv.",
        reason="bad_request",
        culprits={"scale_min": output.scale_min, "scale_max": output.scale_max},
    )
