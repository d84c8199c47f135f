from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daydreaming_dagster.llm.openrouter_records import (
    GenerationRecord,
    KeyStatus,
    ModelOffer,
    parse_generation,
    parse_key_status,
    parse_models,
)


def test_a_key_without_a_limit_has_none() -> None:
    body = {"data": {"label": "k", "limit": None, "usage": 1.25, "is_free_tier": False}}
    assert parse_key_status(body) == KeyStatus(usage_usd=1.25, is_free_tier=False)


def test_the_free_requests_of_the_day_are_read() -> None:
    body = {"data": {"free_model_daily_requests": {"used": 3, "limit": 50, "remaining": 47}}}
    status = parse_key_status(body)
    assert (status.free_requests_limit, status.free_requests_remaining) == (50, 47)


def test_a_generation_is_read_with_its_cost_and_its_tokens() -> None:
    body = {"data": {"total_cost": 0.0015, "native_tokens_prompt": 10, "native_tokens_completion": 25}}
    assert parse_generation(body) == GenerationRecord(0.0015, native_prompt_tokens=10, native_completion_tokens=25)


@pytest.mark.parametrize(
    ("price", "expected"), [("0.00000015", 1.5e-7), ("0", 0.0), (2e-6, 2e-6), ("-1", None), ("", None), (None, None)]
)
def test_prices_are_texts_in_usd_per_token_and_negative_ones_mean_it_depends(
    price: Any, expected: float | None
) -> None:
    (offer,) = parse_models({"data": [{"id": "maker/model", "pricing": {"prompt": price}}]})
    assert offer.price_prompt == expected


def test_an_offer_says_what_it_supports_and_when_it_ends() -> None:
    entry = {
        "id": "maker/model:free",
        "supported_parameters": ["seed", "top_k"],
        "expiration_date": "2027-01-31",
    }
    assert parse_models({"data": [entry, {"name": "no id"}, "nonsense"]}) == [
        ModelOffer(
            model="maker/model:free",
            supported_parameters=("seed", "top_k"),
            expiration_date="2027-01-31",
        )
    ]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=6,
)


@given(json_values)
def test_no_body_breaks_the_reading(data: Any) -> None:
    assert isinstance(parse_key_status({"data": data}), KeyStatus)
    assert isinstance(parse_generation({"data": data}), GenerationRecord)
    assert all(offer.model for offer in parse_models({"data": data}))
