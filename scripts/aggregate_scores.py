"""The scores of every evaluation in the store as one table; the same as `daydreaming aggregate-scores`."""

import sys

from daydreaming_dagster.cli.main import main

main(["aggregate-scores", *sys.argv[1:]])
