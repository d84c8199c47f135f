"""The dialect of OpenAI's chat completions: the body of a request, and what the body of an answer says.

Servers speak it with parts missing, so every field of an answer is optional and every type is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from daydreaming_dagster.llm.output_shapes import build_response_format
from daydreaming_dagster.llm.protocol import ChatRequest, ChatResponse, Usage
from daydreaming_dagster.utils.json_values import as_float, as_int, as_mapping, as_text

_NO_USAGE = Usage()


def build_body(request: ChatRequest, extra_body: Mapping[str, Any]) -> bytes:
    """The JSON of a chat completion request.

    The endpoint's `extra_body` comes first, then the request's own fields, then its `params`: later ones win, nested
    objects are merged, and a null takes a field away (some models refuse `temperature`).
    """
    fields: dict[str, Any] = {
        "model": request.model,
        "messages": [{"role": "user", "content": request.prompt}],
    }
    if request.max_tokens is not None and "max_completion_tokens" not in request.params:
        fields["max_tokens"] = request.max_tokens
    if request.temperature is not None:
        fields["temperature"] = request.temperature
    if request.output is not None and request.output.kind == "score_json":
        fields["response_format"] = build_response_format(request.output)
    if extra_body:
        fields = merge(extra_body, fields)
    if request.params:
        fields = merge(fields, request.params)
    fields.pop("stream", None)  # the answer is read as one JSON object
    return orjson.dumps(fields)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `base` with `over` on top: nested objects are merged, a null takes a field away."""
    merged = dict(base)
    for name, value in over.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping):
            merged[name] = merge(as_mapping(merged.get(name)), value)
        else:
            merged[name] = value
    return merged


def find_response(body: Any) -> ChatResponse | None:
    """The answer in a body; None when it holds a failure, or nothing at all.

    An empty text with a finish reason is an answer: whether it is of any use is not for the client to say.
    """
    choice = _first_choice(body)
    finish_reason = as_text(choice.get("finish_reason"))
    if not choice or finish_reason == "error" or choice.get("error") or body.get("error"):
        return None
    text = _text_of(choice)
    if not text and finish_reason is None:
        return None
    return ChatResponse(
        text=text,
        finish_reason=finish_reason,
        native_finish_reason=as_text(choice.get("native_finish_reason")),
        model=as_text(body.get("model")),
        provider=as_text(body.get("provider")),
        response_id=as_text(body.get("id")),
        usage=_parse_usage(body.get("usage")),
    )


@dataclass(frozen=True, slots=True)
class FailedBody:
    """What a body without an answer still holds.

    Attributes:
        error: the error as the server wrote it, an object or a text; None when the body names none.
        partial_text: text that came before the failure; None without one.
        usage: what the failed call used, only the fields that the server told.
    """

    error: Any = None
    partial_text: str | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)


def parse_failure(body: Any) -> FailedBody:
    """Reads a body in which `find_response` found no answer."""
    choice = _first_choice(body)
    fields = as_mapping(body)
    usage = _parse_usage(fields.get("usage"))
    told = {name: value for name in Usage.__slots__ if (value := getattr(usage, name)) is not None}
    error = fields.get("error") or choice.get("error")
    if not error and choice.get("finish_reason") == "error":
        error = {"message": "the model broke off"}
    if not error and "choices" not in fields and as_text(fields.get("message")):
        error = body  # some servers send the error's fields without a wrapper
    return FailedBody(error=error or None, partial_text=_text_of(choice) or None, usage=told)


def _first_choice(body: Any) -> Mapping[str, Any]:
    choices = body.get("choices") if isinstance(body, dict) else None
    return as_mapping(choices[0]) if isinstance(choices, list) and choices else {}


def _text_of(choice: Mapping[str, Any]) -> str:
    """The answer's text; servers give it in one piece or as a list of parts."""
    content = as_mapping(choice.get("message")).get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(as_text(as_mapping(part).get("text")) or "" for part in content)
    return ""


def _parse_usage(value: Any) -> Usage:
    if not isinstance(value, dict):
        return _NO_USAGE
    return Usage(
        prompt_tokens=as_int(value.get("prompt_tokens")),
        completion_tokens=as_int(value.get("completion_tokens")),
        reasoning_tokens=as_int(as_mapping(value.get("completion_tokens_details")).get("reasoning_tokens")),
        cached_tokens=as_int(as_mapping(value.get("prompt_tokens_details")).get("cached_tokens")),
        cost_usd=as_float(value.get("cost")),
    )
