"""What an unusable HTTP answer means: which error, for which reason, and when to try again.

A failure is judged by what the body says before the status: a server that has begun to answer reports its failures
with status 200. Of the body, `availability.retryable` comes first, then the error's own type, then its code; only
then the status, and last some words of the message, for servers that say nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from daydreaming_dagster.domain.errors import ModelCallError, RateLimitedError, RefusedError, TransportError
from daydreaming_dagster.utils.json_values import as_float, as_mapping

_LONGEST_MESSAGE_CHARS = 500
_DAY_S = 86_400
_SAYS_PER_DAY = ("per-day", "per day", "daily limit", "daily quota")
_IN_FLIGHT_BUDGET = "openrouter_in_flight_budget"
_EPOCH_MS_FROM = 1e11  # larger numbers are milliseconds since 1970, smaller ones seconds

_AGAIN = "Run the command again; what is finished is kept."
_KINDS: dict[str, tuple[type[ModelCallError], str]] = {
    "rate_limited": (
        RateLimitedError,
        "Wait, or lower requests_per_minute of the model's pool in data/1_raw/llm_pools.csv, then run again.",
    ),
    "daily_quota": (
        RateLimitedError,
        "Run the same command again in {hours}: it goes on where this run stopped. More a day is up to the provider; "
        "OpenRouter allows more from 10 credits bought.",
    ),
    "timeout": (TransportError, _AGAIN),
    "overloaded": (TransportError, _AGAIN),
    "server_error": (TransportError, _AGAIN),
    "bad_response": (
        TransportError,
        "Run the command again; if it stays, check base_url of endpoint '{endpoint}' in data/1_raw/llm_endpoints.csv.",
    ),
    "connection": (TransportError, _AGAIN),
    "unreachable": (
        TransportError,
        "Check the network and base_url of endpoint '{endpoint}' in data/1_raw/llm_endpoints.csv: daydreaming doctor",
    ),
    "unauthorized": (RefusedError, "Put a valid key into {api_key_env} (in .env, or exported): daydreaming doctor"),
    "forbidden": (
        RefusedError,
        "Allow model '{model}' in the account behind the key, or deactivate it in data/1_raw/llm_models.csv.",
    ),
    "payment_required": (
        RefusedError,
        "Add credits or raise the limit of the key in {api_key_env}, then: daydreaming run --retry payment_required",
    ),
    "model_unknown": (
        RefusedError,
        "Mend the `model` cell that holds '{model}' in data/1_raw/llm_models.csv, or deactivate the row.",
    ),
    "privacy_restricted": (
        RefusedError,
        "Allow providers that keep data in the account's privacy settings, or choose another model.",
    ),
    "content_policy": (
        RefusedError,
        "Change the prompt or the model, then: daydreaming run --retry content_policy",
    ),
    "context_length": (
        RefusedError,
        "Use a shorter description level (DD_DESCRIPTION_LEVEL=sentence), a smaller max_tokens, or another model.",
    ),
    "max_tokens": (RefusedError, "Lower max_tokens of the stage (DD_DRAFT_MAX_TOKENS and the like) for this model."),
    "bad_request": (
        RefusedError,
        "Mend the `params` of model '{model}' in data/1_raw/llm_models.csv, or `extra_body` and base_url of endpoint "
        "'{endpoint}' in data/1_raw/llm_endpoints.csv.",
    ),
}

_REASON_OF_WORD = {
    # error.metadata.error_type, as OpenRouter has it
    "rate_limit_exceeded": "rate_limited",
    "provider_overloaded": "overloaded",
    "provider_unavailable": "server_error",
    "timeout": "timeout",
    "server": "server_error",
    "context_length_exceeded": "context_length",
    "max_tokens_exceeded": "max_tokens",
    "content_policy_violation": "content_policy",
    "refusal": "content_policy",
    "payment_required": "payment_required",
    "permission_denied": "forbidden",
    # error.availability.code
    "free_variant_ended": "model_unknown",
    "model_deprecated": "model_unknown",
    "privacy_restricted": "privacy_restricted",
    # error.code and error.type of other servers
    "insufficient_quota": "payment_required",
    "invalid_api_key": "unauthorized",
    "authentication_error": "unauthorized",
    "model_not_found": "model_unknown",
    "content_filter": "content_policy",
    "exceed_context_size_error": "context_length",
    "overloaded_error": "overloaded",
    "server_error": "server_error",
}

_REASON_OF_STATUS = {
    400: "bad_request",
    401: "unauthorized",
    402: "payment_required",
    403: "forbidden",
    404: "model_unknown",
    408: "timeout",
    413: "context_length",
    425: "server_error",
    429: "rate_limited",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}

_REASON_OF_PHRASE = (
    ("context length", "context_length"),
    ("context size", "context_length"),
    ("not a valid model", "model_unknown"),
    ("data policy", "privacy_restricted"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """Who was asked for what; the words of an error's sentence.

    Attributes:
        endpoint: name of the endpoint.
        model: API name of the model; empty for calls that name none.
        api_key_env: variable that holds the key; empty when there is none.
        secret: the key, to strike it out wherever a server repeats it.
    """

    endpoint: str
    model: str = ""
    api_key_env: str = ""
    secret: str = field(default="", repr=False)


def build_error(
    asked: Asked,
    *,
    reason: str,
    message: str,
    culprits: Mapping[str, Any] | None = None,
    retry_after_s: float | None = None,
    partial_text: str | None = None,
    usage: Mapping[str, Any] | None = None,
) -> ModelCallError:
    """The error for a reason, with its sentence and its fix.

    Args:
        reason: a key of this module's table of reasons.
        message: what the server or the connection said, without a full stop.
    """
    kind, fix = _KINDS[reason]
    clean = _strike_out(message, asked.secret)
    model = f" for model '{asked.model}'" if asked.model else ""
    return kind(
        f"Endpoint '{asked.endpoint}' gave no usable answer{model} ({reason}): {clean}",
        fix=fix.format(
            endpoint=asked.endpoint,
            model=asked.model,
            api_key_env=asked.api_key_env or "the endpoint's api_key_env",
            hours=f"{(retry_after_s or 0.0) / 3600:.1f} h",
        ),
        reason=reason,
        culprits={"endpoint": asked.endpoint, "model": asked.model, "message": clean, **(culprits or {})},
        retry_after_s=retry_after_s,
        partial_text=partial_text,
        usage=usage,
    )


def build_http_error(
    asked: Asked,
    *,
    status: int,
    headers: Mapping[str, str],
    error: Any,
    now: Callable[[], float],
    partial_text: str | None = None,
    usage: Mapping[str, Any] | None = None,
) -> ModelCallError:
    """The error for an answer that reports a failure, in its status or in its body.

    Args:
        status: of the HTTP answer.
        headers: of the HTTP answer, names in any case.
        error: the body's error as decoded JSON, usually an object; None when the body holds none.
        now: seconds since 1970, for waits that are given as a moment.
    """
    facts = _ErrorFacts.of(error, status)
    reason = _find_reason(facts)
    culprits: dict[str, Any] = {"status": facts.status}
    if facts.error_type:
        culprits["error_type"] = facts.error_type
    if provider := facts.metadata.get("provider_name"):
        culprits["provider"] = provider
    retry_after_s = None if issubclass(_KINDS[reason][0], RefusedError) else _find_retry_after_s(headers, facts, now())
    if reason == "rate_limited" and any(words in facts.message.lower() for words in _SAYS_PER_DAY):
        reason = "daily_quota"
        retry_after_s = _DAY_S - now() % _DAY_S if retry_after_s is None else retry_after_s
    return build_error(
        asked,
        reason=reason,
        message=f"HTTP {facts.status}, {facts.message}" if facts.message else f"HTTP {facts.status}",
        culprits=culprits,
        retry_after_s=retry_after_s,
        partial_text=partial_text,
        usage=usage,
    )


@dataclass(frozen=True, slots=True)
class _ErrorFacts:
    """What an error object says, wherever a server puts it."""

    status: int
    message: str
    error_type: str
    words: tuple[str, ...]
    metadata: Mapping[str, Any]
    availability: Mapping[str, Any]
    is_object: bool

    @classmethod
    def of(cls, error: Any, status: int) -> _ErrorFacts:
        fields = error if isinstance(error, Mapping) else {}
        metadata = as_mapping(fields.get("metadata"))
        availability = as_mapping(fields.get("availability")) or as_mapping(metadata.get("availability"))
        error_type = str(metadata.get("error_type") or "")
        code = fields.get("code")
        return cls(
            status=status if status >= 300 else _status_of_code(code),
            message=_find_message(error, fields, metadata),
            error_type=error_type,
            words=(error_type, str(availability.get("code") or ""), str(code or ""), str(fields.get("type") or "")),
            metadata=metadata,
            availability=availability,
            is_object=bool(fields),
        )


def _find_reason(facts: _ErrorFacts) -> str:
    reason = _find_reason_in_error(facts)
    retryable = facts.availability.get("retryable")
    lasting = issubclass(_KINDS[reason][0], RefusedError)
    if retryable is True and lasting:
        return "overloaded"
    if retryable is False and not lasting:
        return "model_unknown"
    return reason


def _find_reason_in_error(facts: _ErrorFacts) -> str:
    if facts.metadata.get("limit_source") == _IN_FLIGHT_BUDGET:
        return "rate_limited"
    for word in facts.words:
        if reason := _REASON_OF_WORD.get(word):
            return reason
    if 400 <= facts.status < 500:
        message = facts.message.lower()
        for phrase, reason in _REASON_OF_PHRASE:
            if phrase in message:
                return reason
    if facts.status == 403 and ("flagged_input" in facts.metadata or "reasons" in facts.metadata):
        return "content_policy"
    if facts.status == 404 and not facts.is_object:
        return "bad_request"  # no such path: the base_url is wrong, not the model
    return _REASON_OF_STATUS.get(facts.status, "server_error" if facts.status >= 500 else "bad_request")


def _status_of_code(code: Any) -> int:
    """The status that a failure reported inside a 200 stands for; 500 when it does not say."""
    try:
        status = int(code)
    except (TypeError, ValueError):
        return 500
    return status if 400 <= status < 600 else 500


def _find_message(error: Any, fields: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    if isinstance(error, str):
        return error
    message = str(fields.get("message") or "")
    raw = metadata.get("raw")  # what the provider said; the message beside it only says that it said something
    if isinstance(raw, str) and raw and raw not in message:
        message = f"{message}: {raw}" if message else raw
    return message


def _find_retry_after_s(headers: Mapping[str, str], facts: _ErrorFacts, now: float) -> float | None:
    relayed = {str(name).lower(): value for name, value in as_mapping(facts.metadata.get("headers")).items()}
    candidates = (
        parse_retry_after_s(headers.get("Retry-After"), now),
        as_float(facts.availability.get("retry_after")),
        as_float(facts.metadata.get("retry_after_seconds")),
        as_float(facts.metadata.get("retry_after")),
        parse_retry_after_s(relayed.get("retry-after"), now),
        _seconds_until(headers.get("X-RateLimit-Reset"), now),
        _seconds_until(relayed.get("x-ratelimit-reset"), now),
    )
    return next((max(0.0, seconds) for seconds in candidates if seconds is not None), None)


def parse_retry_after_s(value: Any, now: float) -> float | None:
    """Seconds to wait that a `Retry-After` header asks for: a number of them, or the date to wait for.

    Args:
        value: of the header; None when it is missing.
        now: seconds since 1970.

    Returns:
        None when the header is missing or unreadable; never negative.
    """
    if value is None:
        return None
    if (seconds := as_float(value)) is not None:
        return max(0.0, seconds)
    try:
        moment = parsedate_to_datetime(str(value))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - now)


def _seconds_until(value: Any, now: float) -> float | None:
    """From a moment in seconds or milliseconds since 1970; None for small numbers, which mean other things."""
    moment = as_float(value)
    if moment is None or moment < now / 2:
        return None
    return (moment / 1000 if moment > _EPOCH_MS_FROM else moment) - now


def _strike_out(message: str, secret: str) -> str:
    text = " ".join(message.split())
    if secret:
        text = text.replace(secret, "[key]")
    return text if len(text) <= _LONGEST_MESSAGE_CHARS else text[:_LONGEST_MESSAGE_CHARS] + " …"
