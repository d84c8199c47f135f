from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from daydreaming_dagster.domain.catalogue import Endpoint
from daydreaming_dagster.domain.errors import ConfigurationError, DayDreamingError, RateLimitedError, TransportError
from daydreaming_dagster.engine.batches import BatchClient
from daydreaming_dagster.llm.openai_compatible import OpenAICompatibleClient
from daydreaming_dagster.llm.protocol import ChatRequest, ChatResponse
from daydreaming_dagster.store.paths import DataPaths

READER = OpenAICompatibleClient(Endpoint("batch", "openrouter_batch", "http://127.0.0.1:1/v1"), environ={})


class ScriptedBatches:
    """A provider of batches that ends them when the test says so."""

    def __init__(self) -> None:
        self.batches: dict[str, dict[str, ChatRequest]] = {}
        self.models: list[str] = []
        self.rows: dict[str, dict[str, Any]] = {}
        self.status: dict[str, str] = {}
        self.refusal: DayDreamingError | None = None
        self.faults: list[DayDreamingError] = []
        self.looks = 0

    async def submit_batch(self, model: str, requests: Mapping[str, ChatRequest]) -> Mapping[str, Any]:
        if self.refusal is not None:
            raise self.refusal
        batch_id = f"batch/{len(self.batches)}"
        self.batches[batch_id] = dict(requests)
        self.models.append(model)
        return {"id": batch_id, "status": "validating"}

    async def fetch_batch(self, batch_id: str) -> Mapping[str, Any]:
        self.looks += 1
        if self.faults:
            raise self.faults.pop()
        key = next(name for name in self.batches if name.replace("/", "_") == batch_id.replace("/", "_"))
        status = self.status.get(key, "in_progress")
        rows = [self.rows.get(name, answer(name, request.prompt)) for name, request in self.batches[key].items()]
        return {"id": key, "status": status, "results": rows[::-1] if status == "completed" else None}

    def read_answer(self, model: str, status: int, body: Any) -> ChatResponse:
        return READER.read_answer(model, status, body)

    async def aclose(self) -> None:
        """Nothing to close."""

    def complete_all(self) -> None:
        self.status = dict.fromkeys(self.batches, "completed")


def answer(name: str, text: str) -> dict[str, Any]:
    choice = {"message": {"content": f"answer to {text}"}, "finish_reason": "stop"}
    body = {"id": name, "choices": [choice]}
    return {"custom_id": name, "response": {"status_code": 200, "body": body}, "error": None}


def open_client(server: ScriptedBatches, folder: Path) -> BatchClient:
    return BatchClient(server, DataPaths(folder), gather_s=0.0, first_look_s=0.0)


def ask(client: BatchClient, prompt: str, model: str = "m") -> asyncio.Task[ChatResponse]:
    return asyncio.get_running_loop().create_task(client.complete(ChatRequest(model, prompt)))


async def until_submitted(server: ScriptedBatches, count: int) -> None:
    while len(server.batches) < count:
        await asyncio.sleep(0)


def test_requests_are_gathered_into_a_batch_per_model_and_each_gets_its_own_answer(tmp_path: Path) -> None:
    async def scenario() -> list[str]:
        server = ScriptedBatches()
        client = open_client(server, tmp_path)
        tasks = [ask(client, f"{model}{number}", model) for number in range(3) for model in "ab"]
        await until_submitted(server, 2)
        server.complete_all()
        texts = [response.text for response in await asyncio.gather(*tasks)]
        assert sorted(server.models) == ["a", "b"]
        await client.aclose()
        return texts

    assert asyncio.run(scenario()) == [f"answer to {model}{n}" for n in range(3) for model in "ab"]
    assert list(DataPaths(tmp_path).provider_batches.iterdir()) == [], "what was taken is not kept"


def test_a_killed_run_finds_its_batch_again_and_submits_nothing_twice(tmp_path: Path) -> None:
    server = ScriptedBatches()

    async def killed() -> None:
        client = open_client(server, tmp_path)
        tasks = [ask(client, prompt) for prompt in ("one", "two", "two")]
        await until_submitted(server, 1)
        for _ in range(5):
            await asyncio.sleep(0)
        for task in [*tasks, *client._tasks]:
            task.cancel()

    async def resumed() -> list[str]:
        server.complete_all()
        client = open_client(server, tmp_path)
        texts = [response.text for response in await asyncio.gather(*(ask(client, p) for p in ("two", "one", "two")))]
        assert client.resumed is not None, "so that nobody pays for the lost calls, too"
        await client.aclose()
        return texts

    asyncio.run(killed())
    assert asyncio.run(resumed()) == ["answer to two", "answer to one", "answer to two"]
    assert len(server.batches) == 1


def test_one_request_may_fail_and_the_others_are_answered(tmp_path: Path) -> None:
    async def scenario() -> None:
        server = ScriptedBatches()
        client = open_client(server, tmp_path)
        good, bad, lost = ask(client, "good"), ask(client, "bad"), ask(client, "lost")
        await until_submitted(server, 1)
        names = {request.prompt: name for name, request in server.batches["batch/0"].items()}
        error = {"code": 429, "message": "slow down", "metadata": {"error_type": "rate_limit_exceeded"}}
        server.rows[names["bad"]] = {"custom_id": names["bad"], "response": None, "error": error}
        server.rows[names["lost"]] = {"custom_id": "somebody-else", "response": None}
        server.complete_all()
        assert (await good).text == "answer to good"
        with pytest.raises(RateLimitedError):
            await bad
        with pytest.raises(TransportError, match="without an answer"):
            await lost
        await client.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize("status", ["failed", "expired", "cancelled"])
def test_a_batch_that_ends_badly_is_told_to_everybody_who_waits(tmp_path: Path, status: str) -> None:
    async def scenario() -> None:
        server = ScriptedBatches()
        client = open_client(server, tmp_path)
        task = ask(client, "one")
        await until_submitted(server, 1)
        server.status["batch/0"] = status
        with pytest.raises(TransportError, match=status):
            await task
        await client.aclose()

    asyncio.run(scenario())


def test_a_refused_submission_is_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async def scenario() -> None:
        server = ScriptedBatches()
        server.refusal = RateLimitedError("Too many.", fix="Wait.")
        client = open_client(server, tmp_path)
        with pytest.raises(RateLimitedError):
            await ask(client, "one")
        await client.aclose()

    asyncio.run(scenario())
    assert not DataPaths(tmp_path).provider_batches.exists()


def test_a_key_that_is_missing_is_told_to_everybody_who_waits(tmp_path: Path) -> None:
    async def scenario() -> None:
        server = ScriptedBatches()
        server.refusal = ConfigurationError("No key.", fix="Set it.")
        client = open_client(server, tmp_path)
        answers = await asyncio.wait_for(
            asyncio.gather(ask(client, "one"), ask(client, "two"), return_exceptions=True), 30
        )
        assert answers == [server.refusal] * 2
        await client.aclose()

    asyncio.run(scenario())


def test_a_look_that_cannot_be_repeated_is_told_to_everybody_who_waits(tmp_path: Path) -> None:
    async def scenario() -> None:
        server = ScriptedBatches()
        fault = ConfigurationError("No key.", fix="Set it.")
        server.faults = [fault]
        client = open_client(server, tmp_path)
        assert await asyncio.wait_for(asyncio.gather(ask(client, "one"), return_exceptions=True), 30) == [fault]
        await client.aclose()

    asyncio.run(scenario())


def test_a_look_that_fails_in_passing_is_repeated(tmp_path: Path) -> None:
    async def scenario() -> None:
        server = ScriptedBatches()
        server.faults = [TransportError("gone", fix="wait") for _ in range(3)]
        client = open_client(server, tmp_path)
        task = ask(client, "one")
        await until_submitted(server, 1)
        server.complete_all()
        assert (await task).text == "answer to one"
        assert server.looks == 4
        await client.aclose()

    asyncio.run(scenario())
