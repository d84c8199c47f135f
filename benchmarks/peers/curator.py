"""bespokelabs-curator: its own OpenAI client on aiohttp, not the one through litellm.

Its limits per minute are set so high that they never bind, its rich display, debug log and telemetry are off, and its
viewer is off as it is by default; a plain line of progress stays. It goes on from the answers in its working folder.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

os.environ |= {"TELEMETRY_ENABLED": "false", "CURATOR_DISABLE_RICH_DISPLAY": "1", "HF_HUB_OFFLINE": "1"}

import litellm.litellm_core_utils.default_encoding  # noqa: F401 - brings the tokenizer that curator would download
from bespokelabs import curator

from benchmarks.peers.work import MODEL, main

logging.getLogger("curator").setLevel(logging.WARNING)  # it tells every answer to a file otherwise

_NEVER_BINDS = 1_000_000_000


def ask(base_url: str, prompts: list[str], in_flight: int, folder: Path) -> Iterable[str | None]:
    """One call over a list of prompts, as its documentation begins."""
    model = curator.LLM(
        model_name=MODEL,
        backend="openai",
        backend_params={
            "base_url": base_url,
            "api_key": "none",
            "max_concurrent_requests": in_flight,
            "max_requests_per_minute": _NEVER_BINDS,
            "max_tokens_per_minute": _NEVER_BINDS,
        },
    )
    answers: Iterable[str | None] = model(prompts, working_dir=str(folder)).dataset["response"]
    return answers


if __name__ == "__main__":
    main(ask, "bespokelabs-curator", "aiohttp")
