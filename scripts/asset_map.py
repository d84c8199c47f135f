"""All assets as `asset_key | group | file:line`; the same as `daydreaming asset-map`."""

import sys

from daydreaming_dagster.cli.main import main

main(["asset-map", *sys.argv[1:]])
