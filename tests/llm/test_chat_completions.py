from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daydreaming_dagster.llm.chat_completions import build_body, find_response, merge, parse_failure
from daydreaming_dagster.llm.protocol import ChatRequest, OutputShape


def body_of(request: ChatRequest, extra_body: dict[str, Any] | None = None) -> dict[str, Any]:
    return orjson.loads(build_body(request, extra_body or {}))


def test_only_what_was_asked_for_is_sent() -> None:
    assert body_of(ChatRequest("m", "Hello")) == {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


def test_params_win_over_the_requests_own_fields_and_those_over_the_endpoint() -> None:
    request = ChatRequest("m", "Hello", max_tokens=10, temperature=0.5, params={"temperature": 0.1, "seed": 7})
    body = body_of(request, {"max_tokens": 99, "seed": 1, "top_k": 3})
    assert (body["max_tokens"], body["temperature"], body["seed"], body["top_k"]) == (10, 0.1, 7, 3)


def test_the_provider_policies_of_endpoint_and_model_are_merged_field_by_field() -> None:
    request = ChatRequest("m", "Hello", params={"provider": {"only": ["a"], "max_price": {"prompt": 1}}})
    extra = {"provider": {"data_collection": "deny", "only": ["b"], "max_price": {"completion": 2}}}
    assert body_of(request, extra)["provider"] == {
        "data_collection": "deny",
        "only": ["a"],
        "max_price": {"prompt": 1, "completion": 2},
    }


def test_a_null_takes_a_field_away() -> None:
    request = ChatRequest("m", "Hello", max_tokens=10, temperature=0.5, params={"temperature": None})
    assert "temperature" not in body_of(request)


def test_models_that_count_reasoning_get_the_newer_name_of_the_bound_alone() -> None:
    body = body_of(ChatRequest("m", "Hello", max_tokens=10, params={"max_completion_tokens": 400}))
    assert "max_tokens" not in body
    assert body["max_completion_tokens"] == 400


def test_streaming_is_never_asked_for() -> None:
    assert "stream" not in body_of(ChatRequest("m", "Hello", params={"stream": True}), {"stream": True})


def test_an_own_response_format_in_params_is_merged_over_the_schema() -> None:
    shape = OutputShape("score_json", 0, 9)
    body = body_of(ChatRequest("m", "Hello", params={"response_format": {"type": "json_object"}}, output=shape))
    assert body["response_format"]["type"] == "json_object"


def test_building_a_body_changes_neither_request_nor_endpoint() -> None:
    params: dict[str, Any] = {"provider": {"only": ["a"]}}
    extra: dict[str, Any] = {"provider": {"zdr": True}}
    body_of(ChatRequest("m", "Hello", params=params), extra)
    assert (params, extra) == ({"provider": {"only": ["a"]}}, {"provider": {"zdr": True}})


plain_objects = st.recursive(
    st.integers() | st.text(max_size=5),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
).filter(lambda value: isinstance(value, dict))


@given(plain_objects)
def test_merging_an_object_with_itself_or_nothing_gives_the_object(value: dict[str, Any]) -> None:
    assert merge(value, value) == value
    assert merge(value, {}) == value
    assert merge({}, value) == value


@given(plain_objects, plain_objects)
def test_every_field_of_the_upper_object_is_in_the_merged_one(base: dict[str, Any], over: dict[str, Any]) -> None:
    merged = merge(base, over)
    assert merged.keys() == base.keys() | over.keys()
    assert all(merged[name] == value for name, value in over.items() if not isinstance(value, dict))


def test_a_text_in_parts_is_put_together() -> None:
    content = [{"type": "text", "text": "One, "}, {"type": "image"}, {"type": "text", "text": "two."}]
    found = find_response({"choices": [{"finish_reason": "stop", "message": {"content": content}}]})
    assert found is not None
    assert found.text == "One, two."


@pytest.mark.parametrize("cost", [0.25, "0.25"])
def test_a_cost_may_be_a_number_or_a_text(cost: Any) -> None:
    choices = [{"finish_reason": "stop", "message": {"content": "x"}}]
    found = find_response({"choices": choices, "usage": {"cost": cost, "prompt_tokens": "7"}})
    assert found is not None
    assert (found.usage.cost_usd, found.usage.prompt_tokens) == (0.25, None)


def test_a_failure_without_a_wrapper_is_found() -> None:
    body = {"object": "error", "message": "The model `x` does not exist.", "code": 404}
    assert find_response(body) is None
    assert parse_failure(body).error == body


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=6,
)
NAMES = ("choices", "message", "content", "finish_reason", "usage", "error", "completion_tokens_details", "cost")
bodies = st.recursive(
    json_values,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@given(bodies)
def test_no_body_breaks_the_reading(body: Any) -> None:
    found = find_response(body)
    failure = parse_failure(body)
    assert found is None or isinstance(found.text, str)
    assert failure.partial_text is None or failure.partial_text
