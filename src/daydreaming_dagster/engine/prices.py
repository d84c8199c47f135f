"""What calls cost: at most, before they are sent, and really, afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daydreaming_dagster.domain.catalogue import Endpoint, Model
from daydreaming_dagster.domain.errors import ConfigurationError
from daydreaming_dagster.llm.protocol import ChatRequest
from daydreaming_dagster.store.ledger import Amount

_FRAME_TOKENS = 64
"""What servers add around a prompt: roles, separators, a system line of their own."""
_UNBOUNDED_ANSWER_TOKENS = 4096


def is_free(model: Model, endpoint: Endpoint) -> bool:
    """Whether calls of the model cost no money, whatever its row says about prices."""
    return not endpoint.has_server or model.model.endswith(":free")


def compute_worst_case(request: ChatRequest, model: Model, endpoint: Endpoint) -> Amount:
    """The most a call can use: every byte of the prompt a token of its own, and the answer at its full length.

    Its money is 0 when the model has no price; `require_priced` tells such models from free ones.
    """
    prompt_tokens = len(request.prompt.encode("utf-8", "replace")) + _FRAME_TOKENS
    answer_tokens = find_answer_bound(request) or _UNBOUNDED_ANSWER_TOKENS
    answers = request.params.get("n")
    if isinstance(answers, int) and answers > 1:
        answer_tokens *= answers
    usd = 0.0
    if not is_free(model, endpoint):
        usd = prompt_tokens * (model.price_prompt or 0.0) + answer_tokens * (model.price_completion or 0.0)
    return Amount(usd, prompt_tokens + answer_tokens)


def find_answer_bound(request: ChatRequest) -> int | None:
    """The most tokens the answer can have, reasoning included; None when nothing bounds it."""
    bound = find_bound_in_params(request.params)
    return request.max_tokens if bound is None else bound


def find_bound_in_params(params: Mapping[str, Any]) -> int | None:
    """The most tokens an answer can have by a model's own `params`; None when they do not say."""
    bounds = (params.get("max_completion_tokens"), params.get("max_tokens"))
    return next((bound for bound in bounds if isinstance(bound, int)), None)


def require_priced(model: Model, endpoint: Endpoint) -> None:
    """Checks that the model's calls can be bounded in money.

    Raises:
        ConfigurationError: it has no price.
    """
    if is_free(model, endpoint) or (model.price_prompt is not None and model.price_completion is not None):
        return
    raise ConfigurationError(
        f"The model '{model.id}' has no price, so no budget in dollars can hold for it.",
        fix="Fill in price_prompt and price_completion (USD per token; 0 for a server of your own) in "
        "data/1_raw/llm_models.csv, or bound the run with --budget-tokens instead.",
        culprits={"model": model.id},
        reason="price_missing",
        lasting=False,
    )


def compute_cost_usd(usage: Mapping[str, Any], model: Model, endpoint: Endpoint) -> float | None:
    """What a call cost: the server's figure, else the model table's prices; None when neither is known.

    Args:
        usage: as a response or an error gives it.
        model: who was asked.
        endpoint: where.
    """
    if (cost := usage.get("cost_usd")) is not None:
        return float(cost)
    if is_free(model, endpoint):
        return 0.0
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if model.price_prompt is None or model.price_completion is None or prompt is None or completion is None:
        return None
    return float(prompt * model.price_prompt + completion * model.price_completion)
