"""What every tool is asked to do. Standard library only: each adapter runs in the environment of its tool.

An adapter is run as `python -m benchmarks.peers.NAME BASE_URL REQUESTS IN_FLIGHT FOLDER WARM_UP`; run again with the
same words after it was killed, it goes on where its tool can. Its last line says how many answers the tool gave back.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

MODEL = "m"
_PROMPT_WORDS = 450

Ask = Callable[[str, list[str], int, Path], Iterable[str | None]]
"""Base URL, prompts, calls in flight and folder → the answers, when all of them are where the tool keeps them."""


def build_prompts(count: int) -> list[str]:
    """As long as a real prompt, and no two the same: tools may answer the same one from a cache."""
    filler = "word " * _PROMPT_WORDS
    return [f"Case {number}. {filler}" for number in range(count)]


def main(ask: Ask, *distributions: str) -> None:
    """Asks what the command line says and prints a JSON line.

    Args:
        ask: the tool.
        distributions: whose versions are printed.
    """
    base_url, in_flight, folder = sys.argv[1], int(sys.argv[3]), Path(sys.argv[4])
    requests, warm_up = int(sys.argv[2]), int(sys.argv[5])
    fixed_s = _warm_up(ask, base_url, warm_up, in_flight, folder) if warm_up else 0.0
    used_s = _read_cpu_s()
    answers = ask(base_url, build_prompts(requests), in_flight, folder / "work")
    cpu_s, ended_s = _read_cpu_s() - used_s, time.time()
    result = {
        "kept": sum(1 for answer in answers if answer),
        "cpu_ms": 1000 * (cpu_s - fixed_s) / (requests - warm_up),
        "ended_s": ended_s,
        "versions": {name: version(name) for name in distributions},
    }
    print(json.dumps(result))


def _warm_up(ask: Ask, base_url: str, requests: int, in_flight: int, folder: Path) -> float:
    """Does a little work twice: what is imported late is imported then, and the second time shows what any run costs,
    however short, seconds. The server forgets it."""
    used_s = 0.0
    for name in ("first", "second"):
        used_s = _read_cpu_s()
        ask(base_url, build_prompts(requests), in_flight, folder / name)
    fixed_s = _read_cpu_s() - used_s
    urllib.request.urlopen(f"{base_url}/served?anew").close()
    return fixed_s


def _read_cpu_s() -> float:
    """Of this process and of those it has waited for."""
    return sum(os.times()[:4])
