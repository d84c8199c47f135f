"""The benchmark's server: a process of its own that answers after a fixed or a heavy-tailed time, within a limit, or
with faults. `python -m benchmarks.server --latency-ms 500 --tail` prints its base URL and serves until it is ended."""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tests.fakes.openai_server import Fault, OpenAIServer, Reply

_TAIL_SIGMA = 1.0
_SEED = 7


@dataclass(slots=True)
class BenchServer(OpenAIServer):
    """A server whose answers may take a log-normal time with the same mean as the fixed one.

    Attributes:
        is_heavy_tailed: one answer in a hundred takes six times as long as the mean.
    """

    is_heavy_tailed: bool = False
    _dice: random.Random = field(default_factory=lambda: random.Random(_SEED), init=False)

    def answer(self, method: str, target: str, headers: Mapping[str, str], raw: bytes) -> Reply:
        """As the plain server, but slower or faster."""
        reply = OpenAIServer.answer(self, method, target, headers, raw)
        if not self.is_heavy_tailed or not reply.delay_s:
            return reply
        factor = self._dice.lognormvariate(-(_TAIL_SIGMA**2) / 2, _TAIL_SIGMA)
        return replace(reply, delay_s=reply.delay_s * factor)


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
    parser.add_argument("--fail-every", type=int, default=0)
    options = parser.parse_args()
    every = options.fail_every
    server = BenchServer(
        latency_s=options.latency_ms / 1000,
        requests_per_minute=options.requests_per_minute,
        find_fault=(lambda index, _: Fault(status=503) if (index + 1) % every == 0 else None) if every else None,
        keep_requests=False,
        is_heavy_tailed=options.tail,
    )
    asyncio.run(serve(server))


if __name__ == "__main__":
    main()
