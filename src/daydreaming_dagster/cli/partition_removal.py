"""Takes partitions out of the Dagster instance of the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daydreaming_dagster.assets.partitions import PARTITIONS
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.resources.dagster_home import open_instance


def remove_partitions(gen_ids: Mapping[Stage, Sequence[str]]) -> None:
    """Removes these keys; keys that are not there are passed over."""
    with open_instance() as instance:
        for stage, keys in gen_ids.items():
            name = str(PARTITIONS[stage].name)
            known = set(instance.get_dynamic_partitions(name))
            for key in keys:
                if key in known:
                    instance.delete_dynamic_partition(name, key)
