"""A run of the current cohort of a data root, to be killed by `benchmarks/kill.py`."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.workload import open_workspace
from daydreaming_dagster.engine.cohort_run import plan_cohort_run, run_cohort
from daydreaming_dagster.engine.records import RunInfo


def main() -> None:
    """Makes what is missing in the data root that the command line names."""
    workspace = open_workspace(Path(sys.argv[1]))
    cohort = workspace.require_current_cohort()
    run_cohort(workspace, cohort, plan_cohort_run(workspace, cohort), RunInfo("killed", cohort.cohort_id))


if __name__ == "__main__":
    main()
