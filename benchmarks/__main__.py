"""Measures the engine against its bars and writes the tables that stand in `docs/performance.md`.

Every measurement is a process of its own against a server of its own, taken several times in turns with the floor (the
HTTP client alone), because machines are never quiet: what counts is the ratio to the floor of the same minute. What
others did on the machine in that time is measured, too. Results are kept in `benchmarks/results/engine.json` part by
part, so that one long measurement can be made in pieces; the page (`page.py`) is made from all of them.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "engine.json"


@dataclass(frozen=True, slots=True)
class Scenario:
    """How the server behaves and how hard it is asked."""

    name: str
    latency_ms: float
    in_flight: int
    server_options: tuple[str, ...] = ()

    @property
    def arguments(self) -> list[str]:
        """Of the server's command line."""
        return ["--latency-ms", str(self.latency_ms), *self.server_options]


SCENARIOS = (
    Scenario("0 ms, 64 in flight", 0, 64),
    Scenario("500 ms, 64 in flight", 500, 64),
    Scenario("500 ms, 256 in flight", 500, 256),
    Scenario("500 ms on average, heavy tail, 64 in flight", 500, 64, ("--tail",)),
    Scenario("500 ms, 64 in flight, every 20th call goes wrong", 500, 64, ("--faulty-every", "20")),
)
SYSTEMS = ("floor", "engine", "engine+dagster")
_LIMITED = Scenario("600 a minute", 100, 32, ("--requests-per-minute", "600"))
_INSTANT = Scenario("0 ms", 0, 64)


def main() -> None:
    """Runs what the command line asks for."""
    from benchmarks import page

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[""], metavar="TEXT", help="scenarios whose name begins so")
    parser.add_argument("--growth", type=int, nargs="*", default=[1_000, 10_000, 100_000], help="cohort sizes")
    parser.add_argument("--limited-minutes", type=int, default=10, help="against 600 requests a minute; 0 skips it")
    parser.add_argument("--large", type=int, default=99_999, help="generations of one large run; 0 skips it")
    parser.add_argument("--records", type=int, default=10_000, help="generations told to Dagster alone; 0 skips it")
    parser.add_argument("--folder", type=Path, default=ROOT / ".bench", help="for scratch data; on the disk to measure")
    parser.add_argument("--store", action="store_true", help="write the tables into docs/performance.md")
    options = parser.parse_args()
    results = orjson.loads(RESULTS.read_bytes()) if RESULTS.exists() else {}

    def keep(name: str, value: Any) -> None:
        results[name] = {"at": f"{datetime.now(UTC):%Y-%m-%d %H:%M}", **describe_machine(), "value": value}
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        print(name, orjson.dumps(value).decode(), file=sys.stderr, flush=True)

    for scenario in SCENARIOS:
        if scenario.name.startswith(tuple(options.only)) and options.repeats:
            keep(scenario.name, measure_scenario(scenario, options.requests, options.repeats, options.folder))
    if options.limited_minutes:
        keep(page.LIMITED, measure_limited(options.limited_minutes, options.folder))
    if options.records:
        keep(page.RECORDS, run_child("records", "", options.records, 0, scratch(options.folder)))
    if options.large:
        keep(page.LARGE, measure("engine", _INSTANT, options.large, options.folder))
    if options.growth:
        keep(page.GROWTH, [measure_growth(size, options.folder) for size in options.growth])
    text = page.write_page(results)
    print(text)
    if options.store:
        page.store(text)
    shutil.rmtree(options.folder, ignore_errors=True)


def measure_scenario(scenario: Scenario, requests: int, repeats: int, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """All rounds by system."""
    results: dict[str, list[dict[str, Any]]] = {system: [] for system in SYSTEMS}
    for _ in range(repeats):
        for system in SYSTEMS:
            results[system].append(measure(system, scenario, requests, folder))
    return results


def measure_limited(minutes: int, folder: Path) -> dict[str, Any]:
    """What a server that allows 600 requests a minute, and tells nobody, was asked in so many minutes."""
    requests = 2 * 600 * minutes // 3 * 3
    place = scratch(folder)
    with serve(_LIMITED) as base_url:
        command = build_command("engine", base_url, requests, _LIMITED.in_flight, place)
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
            try:
                while (served := read_served(base_url))["first_s"] == 0.0:
                    time.sleep(0.2)
                # The next stretch of the server's has not begun by then.
                time.sleep(max(0.0, served["first_s"] + 60 * minutes - 1 - time.time()))
                return {"minutes": minutes, **read_served(base_url)}
            finally:
                process.kill()


def read_served(base_url: str) -> dict[str, float]:
    """What the server has done so far."""
    with urllib.request.urlopen(f"{base_url}/served") as answer:
        served: dict[str, float] = orjson.loads(answer.read())
    return served


def measure_growth(size: int, folder: Path) -> dict[str, Any]:
    """What a cohort costs by its size, half of it done, and how soon a resumed run makes its first call."""
    place = scratch(folder)
    with serve(_INSTANT) as base_url:
        figures = run_child("growth", base_url, size, 64, place)
        started_s = time.time()
        status = [str(Path(sys.executable).with_name("daydreaming")), "status"]
        environment = {**os.environ, "DAYDREAMING_DATA_ROOT": str(place / "data")}
        shown = subprocess.run(status, cwd=place, env=environment, check=False, capture_output=True)
        figures["status_command_s"] = time.time() - started_s
        if b"evaluation" not in shown.stdout:  # it does not end well while something is missing
            raise RuntimeError(f"no status was shown: {shown.stderr.decode()}")
        started_s = time.time()
        figures["first_call_s"] = run_child("resume", base_url, size, 64, place)["first_call_at"] - started_s
    return figures


def measure(system: str, scenario: Scenario, requests: int, folder: Path) -> dict[str, Any]:
    """One measurement against a server of its own."""
    others = OthersWork()
    with serve(scenario) as base_url:
        result = run_child(system, base_url, requests, scenario.in_flight, scratch(folder))
    return {**result, "others_cores": others.read_cores()}


class OthersWork:
    """How many cores were busy with what is not the measurement's, since this was made."""

    def __init__(self) -> None:
        self._started, self._busy_s = time.perf_counter(), self._read_busy_s()

    def read_cores(self) -> float:
        """Call it when the measurement's processes have ended."""
        return max(0.0, (self._read_busy_s() - self._busy_s) / (time.perf_counter() - self._started))

    @staticmethod
    def _read_busy_s() -> float:
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        idle, waiting = fields[3:5]
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (sum(fields) - idle - waiting) / os.sysconf("SC_CLK_TCK") - usage.ru_utime - usage.ru_stime


def run_child(kind: str, base_url: str, requests: int, in_flight: int, place: Path) -> dict[str, Any]:
    """The JSON that the measuring process prints."""
    command = build_command(kind, base_url, requests, in_flight, place)
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    result: dict[str, Any] = orjson.loads(output.splitlines()[-1])
    return result


def build_command(kind: str, base_url: str, requests: int, in_flight: int, place: Path) -> list[str]:
    """Starts a measuring process."""
    return [sys.executable, "-m", "benchmarks.systems", kind, base_url, str(requests), str(in_flight), str(place)]


@contextmanager
def serve(scenario: Scenario) -> Iterator[str]:
    """The base URL of a server that lives as long as the body."""
    command = [sys.executable, "-m", "benchmarks.server", *scenario.arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip() if process.stdout is not None else ""
        finally:
            process.terminate()


def scratch(folder: Path) -> Path:
    """An empty folder. It stays until the end: file systems are slow for seconds after many files were deleted."""
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=folder))


def describe_machine() -> dict[str, str]:
    """Where a measurement was made."""
    names = ("aiohttp", "uvloop", "dagster", "orjson", "pyrate-limiter")
    return {
        "machine": f"Python {platform.python_version()}, {os.cpu_count()} cores ({platform.machine()})",
        "versions": ", ".join(f"{name} {version(name)}" for name in names),
    }


if __name__ == "__main__":
    main()
