"""The model table beside what the endpoints offer today: names, prices, parameters and ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from daydreaming_dagster.domain.catalogue import Endpoint, Model
from daydreaming_dagster.domain.errors import ConfigurationError, ModelCallError
from daydreaming_dagster.engine.prices import is_free
from daydreaming_dagster.llm.openai_compatible import OpenAICompatibleClient
from daydreaming_dagster.llm.openrouter_records import ModelOffer
from daydreaming_dagster.utils.wording import suggest

_OF_THE_ROUTER = frozenset({"provider", "route", "models", "transforms", "plugins", "usage", "user"})
"""Fields that never reach a model, and so stand in no model's list of parameters."""
_SOON_DAYS = 60
_TIMEOUT_S = 30.0

Offers = Mapping[str, Sequence[ModelOffer] | ModelCallError | ConfigurationError]
"""By endpoint: what it offers, or why it did not say."""


@dataclass(frozen=True, slots=True)
class ModelFinding:
    """A row of the model table, and what is wrong with it.

    Attributes:
        offer: what the endpoint says of the model; None when it does not.
        problems: what somebody has to look into, a sentence each; prices are not among them.
        prices: prompt and completion, USD per token, when the endpoint tells others than the table.
    """

    model: Model
    offer: ModelOffer | None = None
    problems: tuple[str, ...] = ()
    prices: tuple[float, float] | None = None

    def describe(self) -> list[str]:
        """Problems and prices, a sentence each; none when the row is as the endpoint says."""
        if self.prices is None:
            return list(self.problems)
        known = _show_prices((self.model.price_prompt, self.model.price_completion))
        return [f"the endpoint asks for {_show_prices(self.prices)}, the table says {known}", *self.problems]


async def fetch_offers(
    models: Iterable[Model], endpoints: Mapping[str, Endpoint], environ: Mapping[str, str]
) -> Offers:
    """Asks every endpoint that serves one of the models, all at once. No model is called, nothing is charged."""
    names = dict.fromkeys(model.endpoint for model in models)
    asked = [endpoints[name] for name in names if endpoints[name].has_server]
    answers = await asyncio.gather(*(_ask(endpoint, environ) for endpoint in asked))
    return {endpoint.endpoint: answer for endpoint, answer in zip(asked, answers, strict=True)}


async def _ask(
    endpoint: Endpoint, environ: Mapping[str, str]
) -> Sequence[ModelOffer] | ModelCallError | ConfigurationError:
    client = OpenAICompatibleClient(endpoint, environ=environ, timeout_s=_TIMEOUT_S)
    try:
        return await client.fetch_models()
    except (ModelCallError, ConfigurationError) as error:
        return error
    finally:
        await client.aclose()


def compare_with_offers(
    models: Iterable[Model], endpoints: Mapping[str, Endpoint], offers: Offers, today: date
) -> list[ModelFinding]:
    """A finding per model, in their order."""
    found = []
    for model in models:
        offered = offers.get(model.endpoint)
        if offered is None or isinstance(offered, ModelCallError | ConfigurationError):
            found.append(ModelFinding(model))
        else:
            found.append(_compare(model, endpoints[model.endpoint], offered, today))
    return found


def _compare(model: Model, endpoint: Endpoint, offered: Sequence[ModelOffer], today: date) -> ModelFinding:
    offer = next((each for each in offered if each.model == model.model), None)
    if offer is None:
        hint = suggest(model.model, (each.model for each in offered))
        return ModelFinding(model, problems=(f"{endpoint.endpoint} does not offer {model.model}{hint}",))
    # The list tells what single calls cost; batches are cheaper.
    has_price = endpoint.kind == "openai" and not is_free(model, endpoint)
    prices = _find_other_prices(model, offer) if has_price else None
    problems = _describe_end(offer.expiration_date, today)
    if offer.price_request and not is_free(model, endpoint):
        problems.append(
            f"{endpoint.endpoint} asks ${offer.price_request:g} per request on top, which estimates and budgets do not "
            "know"
        )
    if offer.supported_parameters and (ignored := set(model.params) - set(offer.supported_parameters) - _OF_THE_ROUTER):
        problems.append(f"no provider of it heeds {', '.join(sorted(ignored))} (params)")
    return ModelFinding(model, offer, tuple(problems), prices)


def _find_other_prices(model: Model, offer: ModelOffer) -> tuple[float, float] | None:
    if offer.price_prompt is None or offer.price_completion is None:
        return None
    told = (offer.price_prompt, offer.price_completion)
    return None if told == (model.price_prompt, model.price_completion) else told


def _describe_end(expiration_date: str | None, today: date) -> list[str]:
    try:
        end = date.fromisoformat((expiration_date or "")[:10])
    except ValueError:
        return []
    days = (end - today).days
    if days < 0:
        return [f"it ended on {end}"]
    return [f"it ends on {end}"] if days <= _SOON_DAYS else []


def show_price(price: float | None) -> str:
    """USD per million tokens, as providers print them; `?` where unknown."""
    return "?" if price is None else f"{price * 1e6:,.4g}"


def _show_prices(prices: tuple[float | None, float | None]) -> str:
    return " + ".join(show_price(price) for price in prices)
