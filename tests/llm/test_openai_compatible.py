from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.fakes.openai_server import PRICE_COMPLETION, PRICE_PROMPT, Fault, OpenAIServer

from daydreaming_dagster.domain.catalogue import Endpoint
from daydreaming_dagster.domain.errors import (
    ConfigurationError,
    ModelCallError,
    RateLimitedError,
    RefusedError,
    TransportError,
)
from daydreaming_dagster.llm.openai_compatible import OpenAICompatibleClient
from daydreaming_dagster.llm.protocol import ChatRequest, ChatResponse, OutputShape, Usage

KEY_VARIABLE = "FAKE_API_KEY"
KEY = "sk-or-v1-0123456789abcdef"
REQUEST = ChatRequest(model="fake/writer", prompt="Write about idle minds.", max_tokens=64, temperature=0.9)


def endpoint_of(server: OpenAIServer, **more: Any) -> Endpoint:
    return Endpoint("fake", "openai", base_url=server.base_url, **more)


def ask(
    server: OpenAIServer,
    talk: Callable[[OpenAICompatibleClient], Awaitable[Any]] = lambda client: client.complete(REQUEST),
    environ: Mapping[str, str] | None = None,
    endpoint: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """What a client that is opened for one conversation with the server gets out of it."""

    async def converse() -> Any:
        async with server:
            client = OpenAICompatibleClient(endpoint_of(server, **(endpoint or {})), environ=environ or {}, **options)
            try:
                return await talk(client)
            finally:
                await client.aclose()

    return asyncio.run(converse())


def failure_of(fault: Fault, **options: Any) -> ModelCallError:
    with pytest.raises(ModelCallError) as caught:
        ask(OpenAIServer(faults={0: fault}), **options)
    return caught.value


def completion(**over: Any) -> dict[str, Any]:
    body = {
        "id": "gen-1",
        "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "Some text."}}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "cost": 0.002},
    }
    return {**body, **over}


def test_an_answer_carries_everything_the_server_told() -> None:
    server = OpenAIServer(text="A finished thought.")
    answer = ask(server)
    prompt_tokens = 1 + len(REQUEST.prompt) // 4
    assert answer == ChatResponse(
        text="A finished thought.",
        finish_reason="stop",
        native_finish_reason="stop",
        model="fake/writer",
        provider="FakeHost",
        response_id="gen-0",
        usage=Usage(
            prompt_tokens=prompt_tokens,
            completion_tokens=5,
            reasoning_tokens=0,
            cached_tokens=0,
            cost_usd=prompt_tokens * PRICE_PROMPT + 5 * PRICE_COMPLETION,
        ),
    )


def test_a_server_that_tells_nothing_but_the_text_is_enough() -> None:
    bare = {"choices": [{"message": {"content": "Only text."}}]}
    server = OpenAIServer(faults={0: Fault(body=bare)})
    assert ask(server) == ChatResponse(text="Only text.")


def test_the_request_reaches_the_server_as_it_was_put() -> None:
    server = OpenAIServer()
    ask(server)
    assert server.bodies == [
        {
            "model": "fake/writer",
            "messages": [{"role": "user", "content": "Write about idle minds."}],
            "max_tokens": 64,
            "temperature": 0.9,
        }
    ]


def test_the_key_travels_in_the_header_and_nowhere_else() -> None:
    server = OpenAIServer(api_key=KEY)
    ask(server, environ={KEY_VARIABLE: f" {KEY}\n"}, endpoint={"api_key_env": KEY_VARIABLE})
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert KEY not in str(server.bodies)


def test_an_endpoint_without_a_key_variable_sends_no_authorization() -> None:
    server = OpenAIServer()
    ask(server, environ={"OPENROUTER_API_KEY": KEY})
    assert "authorization" not in server.headers[0]


@pytest.mark.parametrize("environ", [{}, {KEY_VARIABLE: ""}, {KEY_VARIABLE: "  "}])
def test_a_missing_key_names_its_variable_and_the_endpoint(environ: dict[str, str]) -> None:
    server = OpenAIServer(api_key=KEY)
    with pytest.raises(ConfigurationError, match=rf"'fake' needs a key.*{KEY_VARIABLE} is not set") as caught:
        ask(server, environ=environ, endpoint={"api_key_env": KEY_VARIABLE})
    assert caught.value.reason == "api_key_missing"
    assert KEY_VARIABLE in caught.value.fix
    assert server.received == 0


def test_a_key_with_a_line_break_inside_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigurationError, match="characters that no key has") as caught:
        ask(OpenAIServer(), environ={KEY_VARIABLE: "sk-1\nsk-2"}, endpoint={"api_key_env": KEY_VARIABLE})
    assert "sk-1" not in str(caught.value)


def test_opening_a_client_needs_no_key() -> None:
    endpoint = Endpoint("fake", "openai", base_url="http://127.0.0.1:9/v1", api_key_env=KEY_VARIABLE)
    asyncio.run(OpenAICompatibleClient(endpoint, environ={}).aclose())


def test_a_rejected_key_is_final_and_is_struck_out_where_the_server_repeats_it() -> None:
    echo = {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}}
    error = failure_of(
        Fault(status=401, body=echo), environ={KEY_VARIABLE: KEY}, endpoint={"api_key_env": KEY_VARIABLE}
    )
    assert isinstance(error, RefusedError)
    assert error.reason == "unauthorized"
    assert KEY_VARIABLE in error.fix
    assert KEY not in str(error) + str(error.culprits) + repr(error.__cause__)


def test_partial_text_beside_an_error_is_kept_in_the_error_and_is_no_answer() -> None:
    broken = completion(
        choices=[
            {
                "finish_reason": "error",
                "message": {"content": "Half a thou"},
                "error": {"code": 502, "message": "Provider disconnected", "metadata": {"provider_name": "Host"}},
            }
        ]
    )
    error = failure_of(Fault(body=broken))
    assert isinstance(error, TransportError)
    assert error.reason == "server_error"
    assert error.partial_text == "Half a thou"
    assert error.usage == {"prompt_tokens": 7, "completion_tokens": 3, "cost_usd": 0.002}
    assert error.culprits["provider"] == "Host"


def test_a_complete_text_beside_an_error_at_the_top_is_no_answer_either() -> None:
    error = failure_of(Fault(body=completion(error={"code": 429, "message": "slow down"})))
    assert isinstance(error, RateLimitedError)
    assert error.partial_text == "Some text."


def test_finish_reason_error_without_an_error_object_is_worth_another_try() -> None:
    error = failure_of(Fault(body=completion(choices=[{"finish_reason": "error", "message": {"content": "Ha"}}])))
    assert isinstance(error, TransportError)
    assert error.partial_text == "Ha"


@pytest.mark.parametrize(
    "body",
    [
        {"choices": []},
        {"choices": None},
        {"choices": [{"message": {"content": ""}}]},
        {"choices": [{"message": {"content": None}, "finish_reason": None}]},
        {"choices": ["text"]},
        {},
        [],
        "text",
        b"",
        b"<html>please log in</html>",
        b'{"choices": [{"message": {"content": "cut o',
    ],
)
def test_a_200_without_an_answer_is_worth_another_try(body: Any) -> None:
    error = failure_of(Fault(body=body))
    assert isinstance(error, TransportError)
    assert error.reason == "bad_response"
    assert not error.lasting


@pytest.mark.parametrize("finish_reason", ["stop", "length", "content_filter"])
def test_an_empty_text_with_a_finish_reason_is_an_answer(finish_reason: str) -> None:
    empty = completion(choices=[{"finish_reason": finish_reason, "message": {"content": ""}}])
    answer = ask(OpenAIServer(faults={0: Fault(body=empty)}))
    assert (answer.text, answer.finish_reason) == ("", finish_reason)
    assert answer.usage.completion_tokens == 3


def test_half_a_body_is_worth_another_try() -> None:
    error = failure_of(Fault(trick="half_body"))
    assert isinstance(error, TransportError)
    assert error.reason == "bad_response"


def test_a_connection_that_is_hung_up_is_worth_another_try_and_is_not_repeated_by_the_client() -> None:
    server = OpenAIServer(faults={0: Fault(trick="hang_up")})
    with pytest.raises(TransportError) as caught:
        ask(server)
    assert caught.value.reason == "connection"
    assert server.received == 1


def test_a_server_that_never_answers_is_given_up_after_the_timeout() -> None:
    error = failure_of(Fault(trick="never_answer"), timeout_s=0.05)
    assert isinstance(error, TransportError)
    assert error.reason == "timeout"
    assert "0.05 s" in error.what


def test_a_server_that_is_gone_is_named() -> None:
    async def call() -> None:
        async with OpenAIServer() as server:
            client = OpenAICompatibleClient(endpoint_of(server), environ={})
        try:
            await client.complete(REQUEST)
        finally:
            await client.aclose()

    with pytest.raises(TransportError, match=r"http://127\.0\.0\.1:\d+/api/v1 cannot be reached") as caught:
        asyncio.run(call())
    assert caught.value.reason == "unreachable"


def test_a_redirect_is_reported_and_not_followed_with_the_key() -> None:
    error = failure_of(Fault(status=301, body=b"", headers={"Location": "https://elsewhere.example/"}))
    assert isinstance(error, RefusedError)
    assert "redirected to https://elsewhere.example/" in error.what


def test_retry_after_is_handed_on() -> None:
    error = failure_of(Fault(status=429, headers={"Retry-After": "7"}))
    assert isinstance(error, RateLimitedError)
    assert error.retry_after_s == 7


def test_the_servers_limit_is_met_and_told() -> None:
    server = OpenAIServer(requests_per_minute=1, clock=lambda: 1000.0)

    async def twice(client: OpenAICompatibleClient) -> RateLimitedError:
        await client.complete(REQUEST)
        with pytest.raises(RateLimitedError) as caught:
            await client.complete(REQUEST)
        return caught.value

    assert ask(server, twice).retry_after_s == 60


def test_a_cancelled_call_leaves_the_client_usable() -> None:
    server = OpenAIServer(faults={0: Fault(trick="never_answer")}, text="Second.")

    async def cancel_then_ask(client: OpenAICompatibleClient) -> ChatResponse:
        first = asyncio.create_task(client.complete(REQUEST))
        while server.received == 0:
            await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await client.complete(REQUEST)

    assert ask(server, cancel_then_ask).text == "Second."


def test_many_calls_share_one_session_without_a_limit_of_the_clients_own() -> None:
    server = OpenAIServer(latency_s=0.05)

    async def crowd(client: OpenAICompatibleClient) -> list[ChatResponse]:
        return await asyncio.gather(*(client.complete(REQUEST) for _ in range(200)))

    assert len(ask(server, crowd)) == 200
    assert server.peak_in_flight == 200


def test_a_closed_client_is_not_called_again() -> None:
    async def late(client: OpenAICompatibleClient) -> None:
        await client.complete(REQUEST)
        await client.aclose()
        await client.complete(REQUEST)

    with pytest.raises(RuntimeError, match="closed"):
        ask(OpenAIServer(), late)


def test_a_score_as_json_is_asked_for_by_schema() -> None:
    server = OpenAIServer()
    request = ChatRequest("fake/judge", "Judge.", output=OutputShape("score_json", 0, 9))
    answer = ask(server, lambda client: client.complete(request))
    assert server.bodies[0]["response_format"]["json_schema"]["strict"] is True
    assert '"score"' in answer.text


def test_a_score_line_is_left_to_the_prompt() -> None:
    server = OpenAIServer()
    request = ChatRequest("fake/judge", "Judge.", output=OutputShape("score_line", 0, 9))
    ask(server, lambda client: client.complete(request))
    assert set(server.bodies[0]) == {"model", "messages"}


@pytest.mark.parametrize("base_url", ["", "openrouter.ai/api/v1", "ftp://host/v1", "http://"])
def test_an_unusable_base_url_is_refused_when_the_client_is_opened(base_url: str) -> None:
    with pytest.raises(ConfigurationError, match="'local' has no usable base_url"):
        OpenAICompatibleClient(Endpoint("local", "openai", base_url=base_url), environ={})


@pytest.mark.parametrize("suffix", ["/", "/chat/completions", "/chat/completions/"])
def test_a_base_url_may_end_in_a_slash_or_the_whole_path(suffix: str) -> None:
    async def call() -> ChatResponse:
        async with OpenAIServer(text="Reached.") as server:
            client = OpenAICompatibleClient(Endpoint("e", "openai", base_url=server.base_url + suffix), environ={})
            try:
                return await client.complete(REQUEST)
            finally:
                await client.aclose()

    assert asyncio.run(call()).text == "Reached."


def test_a_wrong_path_is_blamed_on_the_base_url_and_not_on_the_model() -> None:
    error = failure_of(Fault(status=404, body={"detail": "Not Found"}))
    assert error.reason == "bad_request"
    assert "base_url of endpoint 'fake'" in error.fix


def test_requests_go_through_the_proxy_that_the_environment_names() -> None:
    async def call(environ: dict[str, str], proxy: OpenAIServer) -> ChatResponse:
        variables = {name: value.format(proxy=f"http://127.0.0.1:{proxy.port}") for name, value in environ.items()}
        client = OpenAICompatibleClient(Endpoint("e", "openai", "http://model.test/v1"), environ=variables)
        try:
            return await client.complete(REQUEST)
        finally:
            await client.aclose()

    async def through_proxy() -> str:
        async with OpenAIServer(text="By proxy.") as proxy:
            answer = await call({"HTTP_PROXY": "{proxy}", "no_proxy": "other.test,odel.test"}, proxy)
            return answer.text

    assert asyncio.run(through_proxy()) == "By proxy."


def test_hosts_that_the_environment_spares_are_asked_directly() -> None:
    async def call() -> ChatResponse:
        async with OpenAIServer(text="Direct.") as server:
            environ = {"http_proxy": "http://127.0.0.1:9", "NO_PROXY": "localhost, 127.0.0.1"}
            client = OpenAICompatibleClient(endpoint_of(server), environ=environ)
            try:
                return await client.complete(REQUEST)
            finally:
                await client.aclose()

    assert asyncio.run(call()).text == "Direct."


def test_the_key_status_tells_what_is_left_of_the_free_requests() -> None:
    async def use_and_look(client: OpenAICompatibleClient) -> Any:
        await client.complete(replace(REQUEST, model="fake/writer:free"))
        return await client.fetch_key_status()

    status = ask(OpenAIServer(free_per_day=50), use_and_look)
    assert (status.free_requests_limit, status.free_requests_remaining) == (50, 49)
    assert status.limit_remaining_usd == 4.5


def test_a_past_generation_tells_its_cost_and_its_tokens() -> None:
    async def write_and_look(client: OpenAICompatibleClient) -> Any:
        answer = await client.complete(REQUEST)
        return await client.fetch_generation(answer.response_id or "")

    record = ask(OpenAIServer(), write_and_look)
    assert (record.cost_usd, record.native_prompt_tokens, record.native_completion_tokens) == (0.0015, 10, 25)


def test_a_generation_that_is_not_on_record_yet_is_none() -> None:
    assert ask(OpenAIServer(), lambda client: client.fetch_generation("gen-99&x=y")) is None


def test_models_come_with_prices_per_token() -> None:
    offers = ask(OpenAIServer(), lambda client: client.fetch_models())
    assert offers[0].model == "fake/writer"
    assert (offers[0].price_prompt, offers[0].price_completion) == (PRICE_PROMPT, PRICE_COMPLETION)


def test_questions_about_the_account_fail_like_calls_do() -> None:
    with pytest.raises(RefusedError) as caught:
        ask(OpenAIServer(api_key=KEY), lambda client: client.fetch_key_status())
    assert caught.value.reason == "unauthorized"
    assert "for model" not in caught.value.what
