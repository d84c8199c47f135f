"""The best essays by prior art as data/2_tasks/selected_essays.txt; the same as `daydreaming select-top`."""

import sys

from daydreaming_dagster.cli.main import main

main(["select-top", *sys.argv[1:]])
