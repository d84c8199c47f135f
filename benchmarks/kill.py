"""Kills runs at random moments, as hard as can be, and holds their books against the server's own count.

    python -m benchmarks.kill --kills 200

Each run works on one small cohort after another, so that kills fall into its beginning, its middle and its end: into
the claims, before and after a call, while the journal, the files, the ledger and the index are written, and into the
recovery from the kill before. What must hold whatever the moment:

- the server's count of answered calls is the ledger's answered ones and some of the unknown ones, no others;
- at most the calls in flight at each kill are unknown;
- no generation that has an answer in the store is asked for again.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes.openai_server import OpenAIServer, serve_in_thread

from benchmarks.workload import GENERATIONS_PER_TREE, open_workspace, write_inputs
from daydreaming_dagster.engine.cohort_run import plan_cohort_run, run_cohort
from daydreaming_dagster.engine.records import RunInfo
from daydreaming_dagster.store.index import find_index_errors
from daydreaming_dagster.store.ledger import CallRow, Ledger

ROOT = Path(__file__).parents[1]
_TREES, _IN_FLIGHT, _LATENCY_S = 40, 8, 0.005
_LONGEST_LIFE_S = 1.2
_FIRST_CALL_WITHIN_S = 120.0


@dataclass(slots=True)
class Tally:
    """What all kills came to.

    Attributes:
        kills: runs that were killed while they worked.
        completed: cohorts of which everything was made in the end.
        answered, unknown: calls by what the ledgers say.
        served: calls that the servers answered.
        repeated: generations with more than one answered call.
        problems: what must not be, as sentences.
    """

    kills: int = 0
    completed: int = 0
    answered: int = 0
    unknown: int = 0
    served: int = 0
    repeated: int = 0
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        repeat = f"{self.repeated} finished generations asked for again"
        return (
            f"{self.kills} kills in {self.completed} cohorts: {self.served} calls answered by the server, "
            f"{self.answered} in the ledgers, {self.unknown} unknown; {repeat}; {len(self.problems)} problems."
        )


def main() -> None:
    """Kills as often as the command line says, and exits with 1 when anything does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None, help="for the moments; another one each time without it")
    parser.add_argument("--folder", type=Path, default=ROOT / ".bench", help="for scratch data")
    options = parser.parse_args()
    dice, tally = random.Random(options.seed), Tally()
    options.folder.mkdir(parents=True, exist_ok=True)
    while tally.kills < options.kills:
        place = Path(tempfile.mkdtemp(dir=options.folder))
        kill_through_one_cohort(place, options.kills - tally.kills, dice, tally)
        print(tally, file=sys.stderr, flush=True)
    print(tally, *tally.problems, sep="\n")
    shutil.rmtree(options.folder, ignore_errors=True)
    sys.exit(1 if tally.problems else 0)


def kill_through_one_cohort(root: Path, most: int, dice: random.Random, tally: Tally) -> None:
    """Kills runs of one cohort until it is complete, or so often; then completes it and looks at the books."""
    with serve_in_thread(OpenAIServer(latency_s=_LATENCY_S, keep_requests=False)) as server:
        write_inputs(root, base_url=server.base_url, trees=_TREES, max_concurrent=_IN_FLIGHT)
        open_workspace(root).build_cohort()
        kills = 0
        while kills < most and run_and_kill(root, server, dice):
            kills += 1
        complete(root)
        tally.kills += kills
        tally.completed += 1
        inspect(root, server.answered, kills, tally)


def run_and_kill(root: Path, server: OpenAIServer, dice: random.Random) -> bool:
    """Starts a run and kills it some time after its first call; False when it had ended by itself."""
    received = server.received
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.kill_target", str(root)], cwd=ROOT)
    deadline = time.monotonic() + _FIRST_CALL_WITHIN_S
    while server.received == received and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(dice.random() ** 2 * _LONGEST_LIFE_S)
    was_running = process.poll() is None
    if was_running:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return was_running


def complete(root: Path) -> None:
    """Makes what is left, undisturbed."""
    workspace = open_workspace(root)
    cohort = workspace.require_current_cohort()
    run_cohort(workspace, cohort, plan_cohort_run(workspace, cohort), RunInfo("last", cohort.cohort_id))


def inspect(root: Path, served: int, kills: int, tally: Tally) -> None:
    """Holds the ledger against the server's count and the store."""
    workspace = open_workspace(root)
    members = workspace.require_current_cohort().members
    ledger = Ledger(workspace.paths)
    calls = [call for member in members for call in ledger.find_calls(member.gen_id)]
    ledger.close()
    answers = Counter(call.gen_id for call in calls if call.state == "answered")
    unknown = sum(1 for call in calls if call.state == "unknown")
    repeated = find_repeated(calls)
    tally.answered += answers.total()
    tally.unknown += unknown
    tally.served += served
    tally.repeated += len(repeated)
    conditions = {
        f"{root}: the server answered {served}, the ledger knows {answers.total()} and {unknown} unknown": (
            answers.total() <= served <= answers.total() + unknown
        ),
        f"{root}: {unknown} unknown calls after {kills} kills": unknown <= kills * _IN_FLIGHT,
        f"{root}: asked for again: {', '.join(repeated)}": not repeated,
        f"{root}: not every generation was made": len(answers) == _TREES * GENERATIONS_PER_TREE
        and all(workspace.store.find_parsed(member.stage, member.gen_id) for member in members),
        f"{root}: a journal was left": not any(workspace.paths.journal.iterdir()),
        f"{root}: index and files differ": not find_index_errors(workspace.store),
    }
    tally.problems += [sentence for sentence, holds in conditions.items() if not holds]


def find_repeated(calls: Sequence[CallRow]) -> list[str]:
    """Generations that were asked for again after an answer of theirs was stored."""
    answers = Counter(call.gen_id for call in calls if call.state == "answered")
    return sorted(gen_id for gen_id, count in answers.items() if count > 1)


if __name__ == "__main__":
    main()
