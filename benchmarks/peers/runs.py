"""One run of one system, ours or another's: a process tree of its own against a server of its own, seen from outside.

The server's clock and count, the memory and the other work on the machine are read from outside. The processor time is
what the process itself accounts for, with the processes it started, and without its start-up.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from benchmarks.__main__ import ROOT, OthersWork, Scenario, scratch, serve

OURS = ("floor", "engine", "engine+dagster")
PEERS = ("openai_sdk", "curator", "inspect_ai", "distilabel")
ENVIRONMENTS = ROOT / ".venv-peers"
ANSWERS = ("--words", "400")
"""Options of the server: the same answer for everybody."""

WARM_UP = 64
"""Generations of each of the two short runs before the one that counts."""

_SAMPLE_S = 0.5
_LONGEST_RUN_S = 400.0
_STOP_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Run:
    """What one run took.

    Attributes:
        scenario, system: what was run.
        requests: asked for.
        answered: by the server.
        kept: answers that the system gave back or stored; None for the floor, which keeps none.
        cpu_ms: processor time of the process tree per generation, start-up left out.
        asking_s: from the first request to the last answer, by the server's clock.
        done_s: from the first request to the return of the call that asks and stores everything.
        peak_mb: most memory of the tree at one time, shared pages counted once.
        others_cores: busy with what is not the run's.
        versions: of the system's packages.
    """

    scenario: str
    system: str
    requests: int
    answered: int
    kept: int | None
    cpu_ms: float
    asking_s: float
    done_s: float
    peak_mb: float
    others_cores: float
    versions: dict[str, str]

    def dump(self) -> bytes:
        """As a line of JSON."""
        return orjson.dumps(asdict(self)) + b"\n"


def find_python(system: str, environments: Path) -> Path | None:
    """The interpreter that has the system's packages; None where they are not installed."""
    if system in OURS:
        return Path(sys.executable)
    python = environments / system / "bin" / "python"
    return python if python.exists() else None


def measure(system: str, scenario: Scenario, requests: int, folder: Path, environments: Path = ENVIRONMENTS) -> Run:
    """One run from an empty folder.

    Raises:
        SystemExit: the system failed, or it did not ask and keep what it was told to.
    """
    others = OthersWork()
    with serve(scenario) as base_url:
        with start(system, base_url, requests, scenario.in_flight, scratch(folder), environments, WARM_UP) as tree:
            output, peak_mb = tree.wait()
            ended_s = time.time()
        served = read_served(base_url)
    result = orjson.loads(output.splitlines()[-1])
    kept, answered = result.get("kept", result.get("made")), int(served["answered"])
    if answered != requests or kept not in {None, requests}:
        raise SystemExit(f"{system}: {requests} were to be made; the server answered {answered}, kept were {kept}")
    return Run(
        scenario=scenario.name,
        system=system,
        requests=requests,
        answered=answered,
        kept=kept,
        cpu_ms=result["cpu_ms"],
        asking_s=served["last_s"] - served["first_s"],
        done_s=result.get("ended_s", ended_s) - served["first_s"],
        peak_mb=peak_mb,
        others_cores=others.read_cores(),
        versions=result.get("versions", {}),
    )


@contextmanager
def start(
    system: str, base_url: str, requests: int, in_flight: int, place: Path, environments: Path, warm_up: int = 0
) -> Iterator[Tree]:
    """The system's process tree; killed at the end if it is still there.

    Ours need no warming up: they import what they need before they look at the clock.
    """
    python = find_python(system, environments)
    if python is None:
        raise SystemExit(f"{system} is not installed: make peers")
    words = [base_url, str(requests), str(in_flight), str(place)]
    ours = system in OURS
    module = ["benchmarks.systems", system] if ours else [f"benchmarks.peers.{system}"]
    words += [] if ours else [str(warm_up)]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [str(python), "-m", *module, *words], cwd=ROOT, stdout=output, stderr=errors, start_new_session=True
        )
        tree = Tree(system, process, output, errors)
        try:
            yield tree
        finally:
            tree.kill()


@dataclass(slots=True)
class Tree:
    """A process and everything it started."""

    system: str
    process: subprocess.Popen[bytes]
    output: Any
    errors: Any

    def wait(self, longest_s: float = _LONGEST_RUN_S) -> tuple[bytes, float]:
        """What it printed and its peak memory, MB.

        Raises:
            TimeoutError: it has not ended after `longest_s`.
            SystemExit: it failed.
        """
        deadline, peak_mb = time.monotonic() + longest_s, 0.0
        while True:
            try:
                code = self.process.wait(_SAMPLE_S)
                break
            except subprocess.TimeoutExpired:
                peak_mb = max(peak_mb, _read_tree_mb(self.process.pid))
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{self.system}: no end after {longest_s:.0f} s") from None
        self.output.seek(0)
        self.errors.seek(0)
        if code:
            raise SystemExit(f"{self.system} ended with {code}:\n{self.errors.read().decode()[-3000:]}")
        return self.output.read(), peak_mb

    def kill(self) -> None:
        """As hard as can be, and waits until all of it is gone."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait()
        deadline = time.monotonic() + _STOP_WITHIN_S
        while _find_tree(self.process.pid) and time.monotonic() < deadline:
            time.sleep(0.02)


def read_served(base_url: str) -> dict[str, float]:
    """What the server has done so far: see `benchmarks.server`."""
    with urllib.request.urlopen(f"{base_url}/served") as response:
        served: dict[str, float] = orjson.loads(response.read())
    return served


def _read_tree_mb(session: int) -> float:
    total_kb = 0
    for process in _find_tree(session):
        try:
            rollup = (process / "smaps_rollup").read_text()
        except OSError:
            continue  # it has just ended
        total_kb += next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return total_kb / 1024


def _find_tree(session: int) -> list[Path]:
    """Processes of a session that still run."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(process)
    return found
