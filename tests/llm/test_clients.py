from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from daydreaming_dagster.domain.catalogue import Endpoint
from daydreaming_dagster.domain.errors import ConfigurationError
from daydreaming_dagster.llm.clients import open_client
from daydreaming_dagster.llm.embedded import EmbeddedClient
from daydreaming_dagster.llm.openai_compatible import OpenAICompatibleClient
from daydreaming_dagster.llm.protocol import ChatRequest
from daydreaming_dagster.llm.scripted import ScriptedClient


@pytest.mark.parametrize(
    ("endpoint", "kind"),
    [
        (
            Endpoint("openrouter", "openai", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
            OpenAICompatibleClient,
        ),
        (Endpoint("embedded", "embedded"), EmbeddedClient),
        (Endpoint("rehearsal", "scripted"), ScriptedClient),
    ],
)
def test_each_kind_of_endpoint_opens_its_client_and_closes_it_unused(endpoint: Endpoint, kind: type) -> None:
    client = open_client(endpoint, environ={})
    assert isinstance(client, kind)
    asyncio.run(client.aclose())


def test_a_scripted_endpoint_answers_without_further_ado() -> None:
    client = open_client(Endpoint("rehearsal", "scripted"), environ={})
    assert asyncio.run(client.complete(ChatRequest("any", "Write."))).text


def test_an_unknown_kind_is_a_configuration_error_that_names_the_endpoint() -> None:
    kind: Any = "telepathy"
    with pytest.raises(ConfigurationError, match="'odd' is of the kind 'telepathy'"):
        open_client(Endpoint("odd", kind), environ={})


def test_opening_a_scripted_client_loads_neither_the_network_nor_the_model() -> None:
    code = (
        "import sys\n"
        "from daydreaming_dagster.domain.catalogue import Endpoint\n"
        "from daydreaming_dagster.llm.clients import open_client\n"
        "open_client(Endpoint('rehearsal', 'scripted'), environ={})\n"
        "print(sorted({'aiohttp', 'xllamacpp', 'dagster'} & set(sys.modules)))\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"
