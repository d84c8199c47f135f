"""The benchmark's server: a process of its own that answers after a fixed or a heavy-tailed time, within a limit, or
with faults. `python -m benchmarks.server --latency-ms 500 --tail` prints its base URL and serves until it is ended.
`GET <base URL>/served` says what it has done since the last `GET <base URL>/served?anew`."""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import orjson
from tests.fakes.openai_server import Fault, OpenAIServer, Reply

_TAIL_SIGMA = 1.0
_SEED = 7
_LONGEST_EMPTY_REQUEST = 200  # bytes


@dataclass(slots=True)
class BenchServer(OpenAIServer):
    """A server whose answers may take a log-normal time with the same mean as the fixed one, and that keeps count.

    Attributes:
        is_heavy_tailed: one answer in a hundred takes six times as long as the mean.
        first_s: when the first chat request came, seconds since the epoch; 0 before it.
        last_s: when the last answer is or was due.
    """

    is_heavy_tailed: bool = False
    first_s: float = field(default=0.0, init=False)
    last_s: float = field(default=0.0, init=False)
    _dice: random.Random = field(default_factory=lambda: random.Random(_SEED), init=False)

    def answer(self, method: str, target: str, headers: Mapping[str, str], raw: bytes) -> Reply:
        """As the plain server, but slower or faster; a chat without messages is refused and not counted."""
        if method == "GET" and target.endswith(("/served", "/served?anew")):
            count = self._count()
            if target.endswith("anew"):
                self.answered, self.first_s, self.last_s = 0, 0.0, 0.0
            return Reply(200, orjson.dumps(count))
        if len(raw) < _LONGEST_EMPTY_REQUEST and raw and not orjson.loads(raw).get("messages"):
            return Reply(400, b'{"error": {"code": 400, "message": "messages: at least one is needed"}}')
        reply = OpenAIServer.answer(self, method, target, headers, raw)
        if self.is_heavy_tailed and reply.delay_s:
            factor = self._dice.lognormvariate(-(_TAIL_SIGMA**2) / 2, _TAIL_SIGMA)
            reply = replace(reply, delay_s=reply.delay_s * factor)
        now_s = time.time()
        self.first_s = self.first_s or now_s
        self.last_s = max(self.last_s, now_s + reply.delay_s)
        return reply

    def _count(self) -> dict[str, float]:
        sent = self.answered - self.in_flight
        return {
            "received": self.received,
            "answered": self.answered,
            "sent": sent,
            "first_s": self.first_s,
            "last_s": self.last_s,
        }


def write_text(words: int) -> str:
    """An answer that each stage's parser takes: a block for drafts and a score for evaluations."""
    return f"<essay>\n{'word ' * words}\n</essay>\nSCORE: 7"


_FAULTS = (Fault(status=503), Fault(trick="hang_up"), Fault(trick="half_body"))


def find_fault(number: int, every: int) -> Fault | None:
    """What goes wrong with a call: of those that do, each in its turn something else."""
    return None if number % every else _FAULTS[number // every % len(_FAULTS)]


async def serve(server: BenchServer) -> None:
    """Serves until SIGTERM."""
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with server:
        print(server.base_url, flush=True)
        await ended.wait()


def main() -> None:
    """Serves with what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--tail", action="store_true")
    parser.add_argument("--requests-per-minute", type=int, default=None)
    parser.add_argument("--faulty-every", type=int, default=0, help="every Nth call is refused, cut off or broken")
    parser.add_argument("--words", type=int, default=0, help="of every answer; 0 for what suits the prompt")
    options = parser.parse_args()
    every = options.faulty_every
    server = BenchServer(
        latency_s=options.latency_ms / 1000,
        requests_per_minute=options.requests_per_minute,
        find_fault=(lambda index, _: find_fault(index + 1, every)) if every else None,
        text=write_text(options.words) if options.words else None,
        keep_requests=False,
        is_heavy_tailed=options.tail,
    )
    asyncio.run(serve(server))


if __name__ == "__main__":
    main()
