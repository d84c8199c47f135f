from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest

from daydreaming_dagster.domain.errors import RateLimitedError
from daydreaming_dagster.llm.protocol import ChatRequest, ChatResponse, OutputShape
from daydreaming_dagster.llm.scripted import Rule, ScriptedClient, invent_text
from daydreaming_dagster.utils.draft_parsers import DRAFT_PARSERS

REQUEST = ChatRequest("writer", "Write about idle minds.")
TOO_MANY = RateLimitedError("Too many.", fix="Wait.", retry_after_s=5)


def answers_of(client: ScriptedClient, *requests: ChatRequest) -> list[ChatResponse]:
    async def ask() -> list[ChatResponse]:
        return [await client.complete(request) for request in requests]

    return asyncio.run(ask())


def texts_of(rules: Sequence[Rule], *requests: ChatRequest) -> list[str]:
    return [answer.text for answer in answers_of(ScriptedClient(rules), *requests)]


def test_the_same_conversation_gives_the_same_texts() -> None:
    assert texts_of((), REQUEST, REQUEST) == texts_of((), REQUEST, REQUEST)


def test_replicates_of_one_question_differ() -> None:
    assert len(set(texts_of((), REQUEST, REQUEST, REQUEST))) == 3


def test_other_models_and_prompts_get_other_texts() -> None:
    others = (ChatRequest("other", REQUEST.prompt), ChatRequest("writer", "Write about rain."))
    assert len(set(texts_of((), REQUEST, *others))) == 3


@pytest.mark.parametrize(
    ("prompt", "parser"),
    [
        ("Write notes.", "identity"),
        ("Write between <essay> and </essay>.", "essay_block"),
        ('Write <essay-idea stage="1"> blocks.', "essay_idea_last"),
    ],
)
def test_invented_drafts_are_what_the_parser_of_such_a_prompt_wants(prompt: str, parser: str) -> None:
    draft = DRAFT_PARSERS[parser](invent_text(ChatRequest("writer", prompt)))
    assert len([line for line in draft.splitlines() if line.strip()]) >= 3
    assert "<" not in draft


@pytest.mark.parametrize("occurrence", range(1, 20))
def test_invented_judgements_end_in_a_score_on_the_scale(occurrence: int) -> None:
    shaped = ChatRequest("judge", "Judge.", output=OutputShape("score_line", 1, 5))
    last_line = invent_text(shaped, occurrence=occurrence).splitlines()[-1]
    assert last_line.removeprefix("SCORE: ") in "12345"
    as_json = ChatRequest("judge", "Judge.", output=OutputShape("score_json", -1, 1))
    assert json.loads(invent_text(as_json, occurrence=occurrence))["score"] in (-1, 0, 1)


@pytest.mark.parametrize("prompt", ["End with\nSCORE: <0-9>", 'Answer {"reasoning": …, "score": …}'])
def test_a_prompt_that_asks_for_a_score_gets_one_without_a_shape(prompt: str) -> None:
    text = invent_text(ChatRequest("judge", prompt))
    assert "SCORE: " in text or 0 <= json.loads(text)["score"] <= 9


def test_answers_count_their_tokens_and_cost_nothing() -> None:
    (answer,) = answers_of(ScriptedClient(), REQUEST)
    assert answer.usage.prompt_tokens == len(REQUEST.prompt) // 4
    assert answer.usage.completion_tokens == len(answer.text) // 4
    assert answer.usage.cost_usd == 0


def test_a_script_replays_its_texts_in_turn_and_repeats_the_last() -> None:
    assert texts_of([Rule(texts=["one", "two"])], REQUEST, REQUEST, REQUEST) == ["one", "two", "two"]


def test_the_first_rule_that_matches_decides() -> None:
    rules = [
        Rule(model="judge", texts=["SCORE: 4"]),
        Rule(matches=lambda request: "rain" in request.prompt, texts=["Rain."]),
        Rule(texts=["Anything."]),
    ]
    rain = ChatRequest("writer", "Write about rain.")
    assert texts_of(rules, rain, REQUEST, ChatRequest("judge", "rain")) == ["Rain.", "Anything.", "SCORE: 4"]


def test_a_rule_that_is_used_up_leaves_the_decision_to_the_next() -> None:
    assert texts_of([Rule(texts=["first"], times=1), Rule(texts=["later"])], REQUEST, REQUEST) == ["first", "later"]


def test_a_failure_on_order_is_raised_as_it_is() -> None:
    client = ScriptedClient([Rule(error=TOO_MANY, times=1), Rule(texts=["ok"])])
    with pytest.raises(RateLimitedError) as caught:
        answers_of(client, REQUEST)
    assert caught.value is TOO_MANY
    assert answers_of(client, REQUEST)[0].text == "ok"


def test_a_truncated_answer_says_so_and_is_half_as_long() -> None:
    (cut,) = answers_of(ScriptedClient([Rule(finish_reason="length")]), REQUEST)
    (whole,) = answers_of(ScriptedClient(), REQUEST)
    assert cut.finish_reason == "length"
    assert cut.text == whole.text[: len(whole.text) // 2]


def test_a_stalled_call_waits_for_its_gate_and_can_be_cancelled() -> None:
    async def stall() -> tuple[str, int, int]:
        gate = asyncio.Event()
        client = ScriptedClient([Rule(gate=gate, texts=["released"])])
        waiting = [asyncio.create_task(client.complete(REQUEST)) for _ in range(2)]
        while client.in_flight < 2:
            await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        waiting[0].cancel()
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]
        return (await waiting[1]).text, client.in_flight, client.peak_in_flight

    assert asyncio.run(stall()) == ("released", 0, 2)


def test_the_requests_are_kept_in_order() -> None:
    client = ScriptedClient()
    other = ChatRequest("judge", "Judge.")
    answers_of(client, REQUEST, other)
    assert client.requests == [REQUEST, other]


def test_a_closed_client_is_not_called_again() -> None:
    client = ScriptedClient()
    asyncio.run(client.aclose())
    with pytest.raises(RuntimeError, match="closed"):
        answers_of(client, REQUEST)
