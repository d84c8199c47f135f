"""What a tool asks for again after its whole process tree was killed half way: `python -m benchmarks.peers --kills 3`.

The server counts. Answers that were under way at the kill have to be asked for again by everybody and do not count;
what counts is the answers that the server had sent a quarter of a second before.
"""

from __future__ import annotations

import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from benchmarks.__main__ import Scenario, scratch, serve
from benchmarks.peers.runs import ANSWERS, read_served, start

_LATENCY_S, _IN_FLIGHT = 0.5, 64
_SETTLED_AFTER_S = 0.25
_LOOK_EVERY_S = 0.02
_LONGEST_RESUME_S = 60.0
_BEGINS_WITHIN_S = 200.0


@dataclass(frozen=True, slots=True)
class Kill:
    """What became of one killed run.

    Attributes:
        system: what was killed.
        finished: answers that had been sent a quarter of a second before the kill.
        repeated: of these, how many were asked for again; None when the second run did not come to an end.
    """

    system: str
    finished: int
    repeated: int | None

    def dump(self) -> bytes:
        """As a line of JSON."""
        return orjson.dumps(asdict(self)) + b"\n"


def kill(system: str, requests: int, folder: Path, environments: Path, dice: random.Random) -> Kill:
    """Kills one run at about half, at any moment of a call, and runs the same command again in the same folder."""
    scenario = Scenario("killed", 1000 * _LATENCY_S, _IN_FLIGHT, ANSWERS)
    place = scratch(folder)
    with serve(scenario) as base_url:
        with start(system, base_url, requests, _IN_FLIGHT, place, environments):
            _wait_for_half(base_url, requests)
            time.sleep(dice.random() * _LATENCY_S)
            finished = int(read_served(base_url)["sent"])
            time.sleep(_SETTLED_AFTER_S)
            before = read_served(base_url)
        try:
            with start(system, base_url, requests, _IN_FLIGHT, place, environments) as tree:
                tree.wait(_LONGEST_RESUME_S)
        except TimeoutError:
            return Kill(system, finished, None)
        after = read_served(base_url)
    remembered = requests - int(after["answered"] - before["answered"])
    return Kill(system, finished, max(0, finished - remembered))


def _wait_for_half(base_url: str, requests: int) -> None:
    deadline = time.monotonic() + _BEGINS_WITHIN_S
    while read_served(base_url)["sent"] < requests / 2:
        if time.monotonic() > deadline:
            raise SystemExit(f"half of {requests} answers were not asked for within {_BEGINS_WITHIN_S:.0f} s")
        time.sleep(_LOOK_EVERY_S)
