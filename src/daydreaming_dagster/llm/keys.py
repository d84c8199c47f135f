"""The key of an endpoint, looked up by the name of its variable and told to nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from daydreaming_dagster.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from daydreaming_dagster.domain.catalogue import Endpoint


def require_key(endpoint: Endpoint, environ: Mapping[str, str]) -> str:
    """The endpoint's key; empty when it needs none.

    Raises:
        ConfigurationError: the variable is not set, or holds what cannot be a key.
    """
    name = endpoint.api_key_env
    if not name:
        return ""
    key = environ.get(name, "").strip()
    if key.isascii() and key.isprintable() and key:
        return key
    problem = "holds characters that no key has" if key else "is not set"
    raise ConfigurationError(
        f"Endpoint '{endpoint.endpoint}' needs a key, and the variable {name} {problem}.",
        fix=f'export {name}="your key", or write it into .env. Without a key, the embedded model works: '
        "daydreaming demo",
        reason="api_key_missing",
        culprits={"endpoint": endpoint.endpoint, "api_key_env": name},
    )
