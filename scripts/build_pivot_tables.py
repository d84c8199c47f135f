"""The tables of data/7_cross_experiment from a table of scores; the same as `daydreaming build-pivot-tables`."""

import sys

from daydreaming_dagster.cli.main import main

main(["build-pivot-tables", *sys.argv[1:]])
