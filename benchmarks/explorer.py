"""The explorer over a large store: time per page on the server, time and memory to take the store in.

    python -m benchmarks.explorer --generations 100000 --folder /tmp/large
    python -m benchmarks.explorer --shape essays --generations 150000 --folder /tmp/essays

The store is made once in the folder and used again. Each page is asked for three times, each time after every kept
answer was made worthless, as a generation that arrives does, and ten times more; the figures are the slowest of the
three with the processor time it took, and the median of the ten. Then a browser that has nothing cached opens each
page three times; the figure is the slowest, until fonts and the drawings in sight stand. Bars: 300 ms per page on the
server, 2 s in the browser, 500 MB of memory.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, count
from pathlib import Path
from urllib.parse import quote

from benchmarks.workload import write_cohort
from daydreaming_dagster.domain.combinations import build_combination
from daydreaming_dagster.domain.membership import Axes, Member, build_cartesian_members
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.cache_files import remove_database
from daydreaming_dagster.store.generations import GenerationMetadata, GenerationStore, Outcome
from daydreaming_dagster.store.paths import DataPaths

_BAR_S, _BROWSER_BAR_S, _BAR_MB = 0.3, 2.0, 500
_CHROMIUM = "/usr/bin/chromium"
_COHORT = "large"
_PORT = 8799
_ASK_EVERY_S = 5
"""How often pages are asked for while the index is made: each finds all kept answers worthless, and costs much."""
_CONCEPTS = [f"concept-{number:02d}" for number in range(20)]
_SYLLABLES = [
    "ba",
    "ce",
    "di",
    "fo",
    "gu",
    "la",
    "me",
    "ni",
    "po",
    "ru",
    "sa",
    "te",
    "vi",
    "wo",
    "xu",
    "za",
    "bre",
    "dro",
]
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class _Shape:
    """What hangs on each draft: essay templates × `essay_replicates` essays, on each of them the judged replicates."""

    essay_replicates: int
    rubrics: tuple[str, ...]
    judges: tuple[str, ...]
    judged_replicates: int

    @property
    def per_draft(self) -> int:
        essays = len(_ESSAY_TEMPLATES) * self.essay_replicates
        return 1 + essays * (1 + len(self.rubrics) * len(self.judges) * self.judged_replicates)


_ESSAY_TEMPLATES = ("essay-a", "essay-b", "essay-c")
_RUBRICS = ("novelty", "gemini-prior-art-eval", "coherence")
_SHAPES = {
    "judged": _Shape(1, _RUBRICS, ("judge-a", "judge-b", "judge-c", "judge-d"), 3),
    "essays": _Shape(4, _RUBRICS[::2], ("judge-a", "judge-b"), 1),
}
"""Many evaluations of each of few essays, or few of each of many."""


def make_store(paths: DataPaths, generations: int, shape: _Shape) -> list[Member]:
    """A store of about so many generations; one that is there already is used as it is."""
    drafts = max(1, generations // shape.per_draft)
    combos = [build_combination(pair, "paragraph", 2) for pair in combinations(_CONCEPTS, 2)]
    axes = Axes(
        draft_templates=tuple(f"draft-{name}" for name in "abcde"),
        essay_templates=_ESSAY_TEMPLATES,
        evaluation_templates=shape.rubrics,
        generation_models=("writer-a", "writer-b", "writer-c"),
        evaluation_models=shape.judges,
        replicates={Stage.DRAFT: 1, Stage.ESSAY: shape.essay_replicates, Stage.EVALUATION: shape.judged_replicates},
    )
    used = combos[: max(1, drafts // 15)]
    members = build_cartesian_members(_COHORT, [combo.combo_id for combo in used], axes)
    if not paths.manifest(_COHORT).exists():
        subprocess.run(["cp", "-r", str(_ROOT / "data" / "1_raw"), str(paths.root)], check=True)
        _write_generations(paths, members)
        write_cohort(paths, _COHORT, members, used)
    return members


def _write_generations(paths: DataPaths, members: list[Member]) -> None:
    store = GenerationStore(paths)
    chance = random.Random(1)
    words = ["".join(chance.choices(_SYLLABLES, k=chance.randint(1, 4))) for _ in range(30_000)]
    texts: dict[str, str] = {}
    for member in members:
        outcome = _build_outcome(member, texts.get(member.parent_gen_id, ""), chance, words)
        if member.stage is not Stage.EVALUATION:
            texts[member.gen_id] = outcome.text or ""
        store.write_outcome(outcome)


def _build_outcome(member: Member, parent: str, chance: random.Random, words: list[str]) -> Outcome:
    length = {Stage.DRAFT: 300, Stage.ESSAY: 900, Stage.EVALUATION: 180}[member.stage]
    # As in language, few words are most of a text: the ten thousandth is a hundred times as rare as the hundredth.
    text = " ".join(words[int(len(words) ** chance.random())] for _ in range(length))
    score = round(min(9.0, max(0.0, chance.gauss(5.5, 1.6))))
    failed = chance.random() < 0.01 and member.stage is Stage.EVALUATION
    text = f"{text}\nSCORE: {score}" if member.stage is Stage.EVALUATION else f"# {text[:60]}\n\n{text}"
    raw = {
        "cost_usd": 0.0004,
        "duration_s": 2.5,
        "finished_at": f"2026-01-01T{chance.randint(0, 23):02d}:00:00+00:00",
        "usage": {"prompt_tokens": 1500, "completion_tokens": length},
        "failure": {"reason": "parse_failed", "message": "no score", "code": "no_score"} if failed else None,
    }
    parsed = None if failed else (f"{score}.0\n" if member.stage is Stage.EVALUATION else text)
    prompt = f"Read this and answer.\n\n{parent}\n\n" + "The rules of this template are these. " * 20
    return Outcome(
        GenerationMetadata.of_member(member), prompt, text, raw, parsed, None if failed else {"success": True}
    )


def list_pages(members: list[Member]) -> dict[str, str]:
    """The address of each kind of page."""
    essay = next(member.gen_id for member in members if member.stage is Stage.ESSAY)
    other = [member.gen_id for member in members if member.stage is Stage.ESSAY][1]
    judged = next(member.gen_id for member in members if member.stage is Stage.EVALUATION)
    return {
        "overview": "/",
        "cohort": f"/cohort/{_COHORT}",
        "failures": f"/failures?cohort={_COHORT}&reason=parse_failed",
        "essays": "/essays",
        "essays, filtered": f"/essays?cohort={_COHORT}&concept=concept-01&concept=concept-02&rubric=coherence",
        "essays, last page": "/essays?page=100000",
        "essays, by disagreement": "/essays?sort=spread",
        "reader": f"/generation/{essay}",
        "reader in the list": f"/generation/{essay}?at=2000",
        "evaluation": f"/generation/{judged}",
        "lineage": f"/generation/{essay}/lineage",
        "compare": f"/compare?a={essay}&b={other}",
        "heat maps": "/maps",
        "heat maps, cohort": f"/maps?cohort={_COHORT}",
        "judges": "/judges",
        "search, rare word": "/search?q=zabrecli*",
        "search, two words": "/search?q=ba+ce",
        "search, word in every text": "/search?q=rules",
        "search, phrase": "/search?q=" + quote('"rules of this template"'),
        "rating": "/rate/essay?rater=Ada&rubric=novelty",
    }


def measure(port: int, process_id: int, pages: dict[str, str], disturb: Iterator[None]) -> list[dict[str, object]]:
    """Seconds per page: the slowest and its processor time when nothing is kept, and the median when it is."""
    found: list[dict[str, object]] = []
    for name, address in pages.items():
        fresh: list[float] = []
        used: list[float] = []
        for _ in range(3):
            next(disturb)
            before = _read_processor_s(process_id)
            fresh.append(_ask(port, address)[0])
            used.append(_read_processor_s(process_id) - before)
        kept = [_ask(port, address)[0] for _ in range(10)]
        size = _ask(port, address)[1]
        found.append(
            {
                "page": name,
                "fresh_s": max(fresh),
                "processor_s": max(used),
                "kept_s": statistics.median(kept),
                "bytes": size,
            }
        )
    return found


def measure_in_browser(port: int, pages: dict[str, str]) -> dict[str, float]:
    """Seconds until each page stands, fonts and drawings included: the slowest of three with nothing cached."""
    from playwright.sync_api import sync_playwright

    settled = """() => document.readyState === "complete" && document.fonts.status === "loaded"
        && [...document.querySelectorAll("[data-plot]")].every((place) =>
            place.querySelector("svg") || place.getBoundingClientRect().top > innerHeight)"""
    found: dict[str, float] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=_CHROMIUM, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        for name, address in pages.items():
            times = []
            for _ in range(3):
                context = browser.new_context(viewport={"width": 1280, "height": 860})
                page = context.new_page()
                started = time.perf_counter()
                answer = page.goto(f"http://127.0.0.1:{port}{address}", wait_until="load")
                if answer is None or not answer.ok:
                    raise RuntimeError(f"{address} was not answered in the browser")
                page.wait_for_function(settled)
                times.append(time.perf_counter() - started)
                context.close()
            found[name] = max(times)
        browser.close()
    return found


def _ask(port: int, address: str) -> tuple[float, int]:
    started = time.perf_counter()
    for _ in range(3):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        connection.request("GET", address)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status != 303:
            break
        address = str(answer.headers["location"])
    if answer.status != 200:
        raise RuntimeError(f"{address} answered {answer.status}: {body[:500]!r}")
    return time.perf_counter() - started, len(body)


def _disturb(paths: DataPaths) -> Iterator[None]:
    """Makes the kept answers worthless, as a generation that arrives does."""
    import sqlite3

    database = sqlite3.connect(paths.search_index, timeout=60)
    while True:
        with database:
            database.execute("UPDATE fact SET value = value + 1 WHERE name = 'revision'")
        yield


def _read_processor_s(process_id: int) -> float:
    fields = Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _read_memory_mb(process_id: int, field: str) -> float:
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(field)).split()[1]) / 1024


def main() -> None:
    """Makes the store, starts the explorer, measures, writes `benchmarks/results/explorer-….json`, prints a table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--generations", type=int, default=100_000)
    options.add_argument("--shape", choices=sorted(_SHAPES), default="judged")
    options.add_argument("--folder", type=Path, required=True, help="where the store is made, or is already")
    options.add_argument("--keep-index", action="store_true", help="use the index that is there; do not make it anew")
    options.add_argument("--no-browser", action="store_true", help="leave the browser's part out")
    chosen = options.parse_args()
    paths = DataPaths(chosen.folder / "data")
    paths.root.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    members = make_store(paths, chosen.generations, _SHAPES[chosen.shape])
    print(f"{len(members):,} generations ready after {time.perf_counter() - started:.0f} s", flush=True)
    if not chosen.keep_index:
        remove_database(paths.search_index)
    command = [
        sys.executable,
        "-c",
        "from daydreaming_dagster.cli.main import main; main()",
        "explore",
        "--port",
        "8799",
    ]
    environment = {**os.environ, "DAYDREAMING_DATA_ROOT": str(paths.root)}
    server = subprocess.Popen(command, env=environment, cwd=chosen.folder)
    try:
        build_s, meanwhile = _wait_until_built(paths, len(members))
        build_processor_s = _read_processor_s(server.pid)
        _wait_until_quiet(server.pid)
        build_mb = _read_memory_mb(server.pid, "VmHWM")
        rows = measure(_PORT, server.pid, list_pages(members), _disturb(paths))
        if not chosen.no_browser:
            in_browser = measure_in_browser(_PORT, list_pages(members))
            rows = [{**row, "browser_s": in_browser[str(row["page"])]} for row in rows]
        report = {
            "generations": len(members),
            "shape": chosen.shape,
            "build_s": None if chosen.keep_index else round(build_s, 1),
            "build_processor_s": None if chosen.keep_index else round(build_processor_s, 1),
            "pages_meanwhile_s": [round(statistics.median(meanwhile), 3), round(max(meanwhile), 3)],
            "index_mb": round(paths.search_index.stat().st_size / 2**20),
            "memory_after_build_mb": round(build_mb),
            "memory_peak_mb": round(_read_memory_mb(server.pid, "VmHWM")),
            "load": os.getloadavg()[0],
            "python": platform.python_version(),
            "pages": rows,
        }
    finally:
        server.terminate()
        server.wait(timeout=60)
    _write_report(report, rows)


def _wait_until_built(paths: DataPaths, wanted: int) -> tuple[float, list[float]]:
    """Seconds until all is taken in, and those that pages took which were asked for meanwhile."""
    import sqlite3

    started = time.perf_counter()
    asked: list[float] = []
    for second in count():
        time.sleep(1)
        try:
            socket.create_connection(("127.0.0.1", _PORT)).close()
            database = sqlite3.connect(f"file:{paths.search_index}?mode=ro", uri=True, timeout=60)
            done = database.execute("SELECT count(*) FROM generation").fetchone()[0]
            counted = database.execute("SELECT sum(n) FROM progress WHERE status <> 'missing'").fetchone()[0]
            database.close()
            if second % _ASK_EVERY_S == 0:
                asked += [_ask(_PORT, address)[0] for address in ("/", "/essays", "/search?q=ba+ce")]
        except (sqlite3.OperationalError, ConnectionRefusedError):
            continue
        if done >= wanted and counted == wanted:
            return time.perf_counter() - started, asked
    raise AssertionError("it waits until the index is made")


def _wait_until_quiet(process_id: int) -> None:
    """Waits until the first look through the store is over."""
    used = 1.0
    while used > 0.1:
        before = _read_processor_s(process_id)
        time.sleep(1)
        used = _read_processor_s(process_id) - before


def _write_report(report: dict[str, object], rows: list[dict[str, object]]) -> None:
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / f"explorer-{report['shape']}.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps({name: value for name, value in report.items() if name != "pages"}))
    for row in rows:
        in_browser = float(row.get("browser_s", 0.0))
        flag = "" if row["fresh_s"] < _BAR_S and in_browser < _BROWSER_BAR_S else "  OVER THE BAR"
        fresh, used, kept = (f"{1000 * row[name]:6.0f}" for name in ("fresh_s", "processor_s", "kept_s"))
        print(
            f"{row['page']:28} fresh {fresh} ms, processor {used} ms; kept {kept} ms; "
            f"browser {1000 * in_browser:5.0f} ms; {row['bytes']:7} bytes{flag}"
        )
    if report["memory_peak_mb"] > _BAR_MB:
        print(f"MEMORY OVER THE BAR of {_BAR_MB} MB")


if __name__ == "__main__":
    main()
