"""Which client serves which endpoint: the one place that chooses.

Each client's module is imported when a client of its kind is opened, because aiohttp and llama.cpp take longer to
import than most commands run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from daydreaming_dagster.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from daydreaming_dagster.domain.catalogue import Endpoint
    from daydreaming_dagster.llm.protocol import ChatClient


def open_client(endpoint: Endpoint, *, environ: Mapping[str, str]) -> ChatClient:
    """A client for the endpoint. Nothing is connected, loaded or read from the environment before its first call.

    Args:
        endpoint: the row of `llm_endpoints.csv`, or one of the two known endpoints.
        environ: where the endpoint's key is looked up, usually `os.environ`.

    Raises:
        ConfigurationError: the endpoint's kind has no client.
    """
    if endpoint.kind == "openai":
        from daydreaming_dagster.llm.openai_compatible import OpenAICompatibleClient

        return OpenAICompatibleClient(endpoint, environ=environ)
    if endpoint.kind == "embedded":
        from daydreaming_dagster.llm.embedded import EmbeddedClient

        return EmbeddedClient(endpoint)
    if endpoint.kind == "scripted":
        from daydreaming_dagster.llm.scripted import ScriptedClient

        return ScriptedClient()
    raise ConfigurationError(
        f"Endpoint '{endpoint.endpoint}' is of the kind '{endpoint.kind}', which no client serves.",
        fix="Write openai, embedded or scripted into its `kind` cell in data/1_raw/llm_endpoints.csv.",
        culprits={"endpoint": endpoint.endpoint, "kind": endpoint.kind},
    )
