from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daydreaming_dagster.domain.errors import ModelCallError, RateLimitedError, RefusedError, TransportError
from daydreaming_dagster.llm.http_failures import Asked, build_http_error, parse_retry_after_s

NOW = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC
RESET = NOW + 8200
ASKED = Asked("openrouter", "maker/model", "OPENROUTER_API_KEY", "sk-secret")


def error_of(status: int = 200, error: Any = None, headers: dict[str, str] | None = None) -> ModelCallError:
    return build_http_error(ASKED, status=status, headers=headers or {}, error=error, now=lambda: NOW)


def error_of_type(error_type: str, **metadata: Any) -> ModelCallError:
    return error_of(200, {"code": 400, "message": "", "metadata": {"error_type": error_type, **metadata}})


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (400, RefusedError, "bad_request"),
        (401, RefusedError, "unauthorized"),
        (402, RefusedError, "payment_required"),
        (403, RefusedError, "forbidden"),
        (404, RefusedError, "model_unknown"),
        (405, RefusedError, "bad_request"),
        (408, TransportError, "timeout"),
        (413, RefusedError, "context_length"),
        (422, RefusedError, "bad_request"),
        (429, RateLimitedError, "rate_limited"),
        (500, TransportError, "server_error"),
        (502, TransportError, "server_error"),
        (503, TransportError, "overloaded"),
        (504, TransportError, "timeout"),
        (524, TransportError, "server_error"),
        (529, TransportError, "overloaded"),
    ],
)
@pytest.mark.parametrize("inside_a_200", [False, True])
def test_each_status_has_one_meaning_in_the_header_and_in_the_body(
    status: int, kind: type[ModelCallError], reason: str, inside_a_200: bool
) -> None:
    error = error_of(200 if inside_a_200 else status, {"code": status, "message": "no"})
    assert (type(error), error.reason) == (kind, reason)
    assert error.lasting == (kind is RefusedError)
    assert error.culprits["status"] == status


@pytest.mark.parametrize(
    ("error_type", "kind", "reason"),
    [
        ("rate_limit_exceeded", RateLimitedError, "rate_limited"),
        ("provider_overloaded", TransportError, "overloaded"),
        ("provider_unavailable", TransportError, "server_error"),
        ("timeout", TransportError, "timeout"),
        ("server", TransportError, "server_error"),
        ("context_length_exceeded", RefusedError, "context_length"),
        ("max_tokens_exceeded", RefusedError, "max_tokens"),
        ("content_policy_violation", RefusedError, "content_policy"),
        ("refusal", RefusedError, "content_policy"),
        ("payment_required", RefusedError, "payment_required"),
        ("permission_denied", RefusedError, "forbidden"),
    ],
)
def test_the_error_type_decides_over_the_code(error_type: str, kind: type[ModelCallError], reason: str) -> None:
    error = error_of_type(error_type)
    assert (type(error), error.reason) == (kind, reason)
    assert error.culprits["error_type"] == error_type


def test_an_unknown_error_type_leaves_the_decision_to_the_code() -> None:
    assert error_of(200, {"code": 503, "metadata": {"error_type": "brand_new"}}).reason == "overloaded"


def test_402_is_final_unless_only_the_budget_in_flight_is_used_up() -> None:
    plain = error_of(402, {"code": 402, "message": "Insufficient credits", "metadata": {"limit_source": "key_limit"}})
    assert isinstance(plain, RefusedError)
    assert plain.fix.endswith("daydreaming run --retry payment_required")
    in_flight = error_of(
        402,
        {"code": 402, "metadata": {"limit_source": "openrouter_in_flight_budget", "error_type": "payment_required"}},
        {"Retry-After": "3"},
    )
    assert isinstance(in_flight, RateLimitedError)
    assert in_flight.retry_after_s == 3


@pytest.mark.parametrize("within_metadata", [False, True])
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("free_variant_ended", "model_unknown"),
        ("model_deprecated", "model_unknown"),
        ("privacy_restricted", "privacy_restricted"),
        ("something_new", "model_unknown"),
    ],
)
def test_what_is_not_retryable_is_final_whatever_the_status(code: str, reason: str, within_metadata: bool) -> None:
    availability = {"availability": {"code": code, "retryable": False}}
    body = {"code": 503, "metadata": availability} if within_metadata else {"code": 503, **availability}
    error = error_of(503, body)
    assert (type(error), error.reason) == (RefusedError, reason)


def test_what_is_retryable_is_tried_again_whatever_the_status() -> None:
    availability = {"code": "no_capacity", "retryable": True, "retry_after": 12}
    error = error_of(404, {"code": 404, "message": "No endpoints found", "availability": availability})
    assert (type(error), error.reason, error.retry_after_s) == (TransportError, "overloaded", 12)


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        (400, {"message": "This endpoint's maximum context length is 32768 tokens."}, "context_length"),
        (400, {"type": "exceed_context_size_error", "message": "request (9031 tokens)"}, "context_length"),
        (400, {"code": "context_length_exceeded", "message": "too long"}, "context_length"),
        (400, {"code": 400, "message": "nobody/nothing is not a valid model ID"}, "model_unknown"),
        (404, {"code": 404, "message": "No endpoints found for nobody/nothing"}, "model_unknown"),
        (404, {"code": 404, "message": "No endpoints found matching your data policy"}, "privacy_restricted"),
        (404, {"type": "api_error", "message": "model 'x' not found"}, "model_unknown"),
        (429, {"code": "insufficient_quota", "message": "You exceeded your current quota"}, "payment_required"),
        (403, {"code": 403, "metadata": {"reasons": ["violence"], "flagged_input": "…"}}, "content_policy"),
        (404, "<html>nginx</html>", "bad_request"),
        (404, None, "bad_request"),
        (401, "Unauthorized", "unauthorized"),
        (200, "the model crashed", "server_error"),
        (200, {"code": "server_error"}, "server_error"),
        (200, {"message": "nobody knows", "code": None}, "server_error"),
    ],
)
def test_what_other_servers_say_is_understood(status: int, error: Any, reason: str) -> None:
    assert error_of(status, error).reason == reason


def test_a_used_up_day_is_told_from_a_busy_minute_and_ends_when_the_server_says_or_at_midnight() -> None:
    message = "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day"
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int((RESET) * 1000))}
    told = error_of(429, {"code": 429, "message": message, "metadata": {"headers": headers}})
    assert (told.reason, told.retry_after_s) == ("daily_quota", pytest.approx(RESET - NOW))
    untold = error_of(429, {"code": 429, "message": message})
    assert untold.retry_after_s == pytest.approx(86_400 - NOW % 86_400)
    assert "in 9.8 h" in untold.fix
    assert error_of(429, {"code": 429, "message": "20 requests per minute"}).reason == "rate_limited"


def test_the_sentence_names_endpoint_model_reason_and_the_providers_own_words() -> None:
    relayed = {"code": 502, "message": "Provider returned error", "metadata": {"raw": "GPU fell over\n(node 3)"}}
    assert error_of(200, relayed).what == (
        "Endpoint 'openrouter' gave no usable answer for model 'maker/model' (server_error): "
        "HTTP 502, Provider returned error: GPU fell over (node 3)"
    )


def test_a_long_message_is_cut() -> None:
    assert len(error_of(400, {"message": "x" * 10_000}).what) < 700


def test_the_key_never_shows() -> None:
    error = error_of(400, {"message": "you sent sk-secret"})
    assert "sk-secret" not in f"{error} {error.culprits} {ASKED!r}"
    assert "[key]" in error.what


@pytest.mark.parametrize(
    ("headers", "error", "seconds"),
    [
        ({"Retry-After": "20"}, {}, 20),
        ({"Retry-After": "1.5"}, {}, 1.5),
        ({"Retry-After": "Mon, 21 Sep 2026 14:14:20 GMT"}, {}, 60),
        ({}, {"metadata": {"retry_after_seconds": 17}}, 17),
        ({}, {"metadata": {"headers": {"retry-after": "9"}}}, 9),
        ({}, {"availability": {"retry_after": 4}}, 4),
        ({"Retry-After": "2"}, {"metadata": {"retry_after_seconds": 17}}, 2),
        ({"Retry-After": "soon"}, {"metadata": {"retry_after_seconds": 17}}, 17),
        ({}, {"metadata": {"headers": {"X-RateLimit-Reset": str(int((NOW + 3600) * 1000))}}}, 3600),
        ({"X-RateLimit-Reset": str(int(NOW + 30))}, {}, 30),
        ({"X-RateLimit-Reset": "45"}, {}, None),
        ({"X-RateLimit-Reset": str(int(NOW - 30))}, {}, 0),
        ({}, {}, None),
    ],
)
def test_the_wait_is_found_wherever_the_server_puts_it(
    headers: dict[str, str], error: dict[str, Any], seconds: float | None
) -> None:
    assert error_of(429, {"code": 429, **error}, headers).retry_after_s == seconds


def test_an_overloaded_server_may_ask_for_a_wait_too() -> None:
    assert error_of(503, {"code": 503}, {"Retry-After": "5"}).retry_after_s == 5


@pytest.mark.parametrize("value", ["", "soon", "nan", "inf", "Mon, 99 Foo 2026", None])
def test_an_unreadable_retry_after_is_none(value: str | None) -> None:
    assert parse_retry_after_s(value, NOW) is None


@pytest.mark.parametrize("value", ["-5", "Mon, 21 Sep 2020 13:34:20 GMT"])
def test_a_retry_after_in_the_past_is_no_wait(value: str) -> None:
    assert parse_retry_after_s(value, NOW) == 0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
ERROR_FIELDS = ("code", "message", "metadata", "availability", "type")
METADATA_FIELDS = ("error_type", "raw", "headers", "retry_after_seconds", "availability", "limit_source")
error_objects = st.fixed_dictionaries({}, optional=dict.fromkeys(ERROR_FIELDS, json_values))
metadata_objects = st.fixed_dictionaries({}, optional=dict.fromkeys(METADATA_FIELDS, json_values))


@given(
    status=st.integers(200, 599),
    error=json_values | error_objects | metadata_objects.map(lambda metadata: {"metadata": metadata}),
    retry_after=st.text(max_size=12),
)
def test_whatever_a_server_says_becomes_one_of_the_known_errors(status: int, error: Any, retry_after: str) -> None:
    found = error_of(status, error, {"Retry-After": retry_after})
    assert type(found) in (RateLimitedError, TransportError, RefusedError)
    assert found.retry_after_s is None or found.retry_after_s >= 0
    assert "{" not in found.fix
