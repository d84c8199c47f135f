"""What OpenRouter tells about keys, models and past generations: its JSON as values. Asking is the client's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daydreaming_dagster.utils.json_values import as_float, as_int, as_mapping, as_text


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """What a key may still do; None where the server did not say or there is no limit.

    Attributes:
        limit_usd, limit_remaining_usd: spending limit of the key.
        usage_usd: spent with the key so far.
        is_free_tier: whether the account has never bought credits.
        free_requests_limit, free_requests_remaining: requests to free models today (UTC).
    """

    limit_usd: float | None = None
    limit_remaining_usd: float | None = None
    usage_usd: float | None = None
    is_free_tier: bool | None = None
    free_requests_limit: int | None = None
    free_requests_remaining: int | None = None


@dataclass(frozen=True, slots=True)
class GenerationRecord:
    """What the account was charged for one response.

    Attributes:
        cost_usd: total charge.
        native_prompt_tokens, native_completion_tokens: by the model's own tokenizer.
    """

    cost_usd: float | None = None
    native_prompt_tokens: int | None = None
    native_completion_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ModelOffer:
    """A model one can ask for.

    Attributes:
        model: name sent to the API.
        price_prompt, price_completion: USD per token; None when unknown or decided per request.
        price_request: USD per request, on top.
        supported_parameters: fields of the request that some provider of the model heeds.
        expiration_date: day after which the model is gone, ISO 8601; None when none is announced.
    """

    model: str
    price_prompt: float | None = None
    price_completion: float | None = None
    price_request: float | None = None
    supported_parameters: tuple[str, ...] = ()
    expiration_date: str | None = None


def parse_key_status(body: Mapping[str, Any]) -> KeyStatus:
    """From the body of `GET /key`."""
    data = as_mapping(body.get("data"))
    free = as_mapping(data.get("free_model_daily_requests"))
    is_free_tier = data.get("is_free_tier")
    return KeyStatus(
        limit_usd=as_float(data.get("limit")),
        limit_remaining_usd=as_float(data.get("limit_remaining")),
        usage_usd=as_float(data.get("usage")),
        is_free_tier=is_free_tier if isinstance(is_free_tier, bool) else None,
        free_requests_limit=as_int(free.get("limit")),
        free_requests_remaining=as_int(free.get("remaining")),
    )


def parse_generation(body: Mapping[str, Any]) -> GenerationRecord:
    """From the body of `GET /generation`."""
    data = as_mapping(body.get("data"))
    return GenerationRecord(
        cost_usd=as_float(data.get("total_cost")),
        native_prompt_tokens=as_int(data.get("native_tokens_prompt")),
        native_completion_tokens=as_int(data.get("native_tokens_completion")),
    )


def parse_models(body: Mapping[str, Any]) -> list[ModelOffer]:
    """From the body of `GET /models`; entries without an id are left out."""
    data = body.get("data")
    entries = [entry for entry in data if isinstance(entry, Mapping)] if isinstance(data, list) else []
    return [_as_offer(entry, model) for entry in entries if (model := as_text(entry.get("id")))]


def _as_offer(entry: Mapping[str, Any], model: str) -> ModelOffer:
    pricing = as_mapping(entry.get("pricing"))
    parameters = entry.get("supported_parameters")
    return ModelOffer(
        model=model,
        price_prompt=_as_price(pricing.get("prompt")),
        price_completion=_as_price(pricing.get("completion")),
        price_request=_as_price(pricing.get("request")),
        supported_parameters=tuple(map(str, parameters)) if isinstance(parameters, list) else (),
        expiration_date=as_text(entry.get("expiration_date")),
    )


def _as_price(value: Any) -> float | None:
    """USD; a negative price means that it depends on the model a router chooses."""
    price = as_float(value)
    return None if price is None or price < 0 else price
