"""The scripted server itself: what other tests and the benchmarks rely on."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.fakes import openai_server
from tests.fakes.openai_server import Fault, OpenAIServer, serve_in_thread


def post(base_url: str, body: dict[str, Any], **headers: str) -> tuple[int, dict[str, Any], dict[str, str]]:
    request = urllib.request.Request(f"{base_url}/chat/completions", orjson.dumps(body), headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, orjson.loads(response.read()), dict(response.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, orjson.loads(error.read()), dict(error.headers)


def question(prompt: str = "Write.", **more: Any) -> dict[str, Any]:
    return {"model": "fake/writer", "messages": [{"role": "user", "content": prompt}], **more}


def text_of(body: dict[str, Any]) -> str:
    return body["choices"][0]["message"]["content"]


def test_answers_suit_the_prompt_and_differ() -> None:
    with serve_in_thread() as server:
        drafts = [text_of(post(server.base_url, question("Use <essay> tags"))[1]) for _ in range(3)]
        judgement = text_of(post(server.base_url, question("End with SCORE: <0-9>"))[1])
        shaped = text_of(post(server.base_url, question("Judge.", response_format={"type": "json_schema"}))[1])
    assert len(set(drafts)) == 3
    assert all("</essay>" in draft for draft in drafts)
    assert "\nSCORE: " in judgement
    assert set(orjson.loads(shaped)) == {"reasoning", "score"}


def test_requests_beyond_the_limit_wait_for_the_minute_to_pass() -> None:
    seconds = [0.0]
    with serve_in_thread(OpenAIServer(requests_per_minute=2, clock=lambda: seconds[0])) as server:
        statuses = [post(server.base_url, question())[0] for _ in range(2)]
        seconds[0] = 20.0
        status, _, headers = post(server.base_url, question())
        seconds[0] = 60.0
        statuses.append(post(server.base_url, question())[0])
    assert statuses == [200, 200, 200]
    assert (status, float(headers["Retry-After"])) == (429, 40.0)
    assert (server.received, server.answered) == (4, 3)


def test_faults_come_in_the_order_of_the_plan() -> None:
    plan = {1: Fault(status=503), 2: Fault(body={"choices": []})}
    with serve_in_thread(
        OpenAIServer(faults=plan, find_fault=lambda index, _: Fault(500) if index == 3 else None)
    ) as s:
        statuses = [post(s.base_url, question())[0] for _ in range(4)]
    assert statuses == [200, 503, 200, 500]
    assert s.answered == 1


def test_a_wrong_key_is_turned_away() -> None:
    with serve_in_thread(OpenAIServer(api_key="right")) as server:
        assert post(server.base_url, question(), Authorization="Bearer wrong")[0] == 401
        assert post(server.base_url, question(), Authorization="Bearer right")[0] == 200


def test_a_body_that_arrives_in_pieces_is_put_together() -> None:
    async def dribble() -> bytes:
        async with OpenAIServer(text="Whole.") as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            raw = orjson.dumps(question())
            message = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(raw) + raw
            for start in range(0, len(message), 40):
                writer.write(message[start : start + 40])
                await writer.drain()
                await asyncio.sleep(0)
            answer = await reader.readuntil(b"Whole.")
            writer.close()
            await writer.wait_closed()
            return answer

    assert asyncio.run(dribble()).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_as_a_process_it_prints_its_address_and_ends_when_told(number: signal.Signals) -> None:
    command = [sys.executable, str(Path(openai_server.__file__)), "--latency-ms", "1", "--fail-every", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    base_url = process.stdout.readline().strip()
    assert [post(base_url, question())[0] for _ in range(2)] == [200, 503]
    process.send_signal(number)
    _, told = process.communicate(timeout=30)
    assert (process.returncode, told) == (0, "answered 1 of 2\n")
