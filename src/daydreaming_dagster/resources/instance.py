"""The Dagster instance of this project: limits per pool written in `dagster.yaml`, and events handed on in batches.

`dagster.yaml` names the class as its `instance_class`. Dagster keeps the limits of pools in its database, with commands
and a page to set them; its configuration file knows a default limit only. Here a limit that stands in the file is set
whenever a process reads the file, and a limit that does not stand there is left alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from dagster import DagsterInstance, Field, Permissive
from dagster._core.instance.config import get_concurrency_config
from dagster._core.instance.ref import InstanceRef
from dagster._serdes import ConfigurableClassData
from sqlalchemy.exc import IntegrityError

from daydreaming_dagster.domain.errors import ConfigurationError

# Dagster hands events to the storage in batches of this many, and one by one when the variable is not set.
EVENT_BATCH_SIZE_VARIABLE = "DAGSTER_EVENT_BATCH_SIZE"
EVENT_BATCH_SIZE = 500

# What Dagster itself allows under `concurrency: pools:`; every other key there is the name of a pool.
STOCK_POOL_SETTINGS = frozenset({"default_limit", "granularity", "op_granularity_run_buffer"})


class DayDreamingInstance(DagsterInstance):
    """A Dagster instance whose configuration may limit pools by name.

    For example `concurrency: {pools: {llm_api_free: {max_concurrent: 1}}}`.
    """

    def __init__(self, *args: Any, concurrency: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        os.environ.setdefault(EVENT_BATCH_SIZE_VARIABLE, str(EVENT_BATCH_SIZE))
        limits = parse_pool_limits(concurrency or {})
        if limits:
            self._set_pool_limits(limits)

    @classmethod
    def config_schema(cls) -> dict[str, Field]:
        """What `dagster.yaml` may hold beyond, or other than, the stock configuration."""
        stock: Any = get_concurrency_config().config_type
        pools: Any = Permissive(stock.fields["pools"].config_type.fields)  # type: ignore[no-untyped-call]
        fields = {**stock.fields, "pools": Field(pools, is_required=False)}
        return {"concurrency": Field(fields, is_required=False)}

    @classmethod
    def config_defaults(cls, base_dir: str) -> Mapping[str, ConfigurableClassData | None]:
        """What holds where `dagster.yaml` says nothing: the stock defaults."""
        return InstanceRef.config_defaults(base_dir)

    def _set_pool_limits(self, limits: Mapping[str, int]) -> None:
        current = read_pool_limits(self)
        for pool, limit in limits.items():
            if current.get(pool) == limit:
                continue
            try:
                self.event_log_storage.set_concurrency_slots(pool, limit)
            except IntegrityError:  # another process that starts now has set it first
                if read_pool_limits(self).get(pool) != limit:
                    raise


def parse_pool_limits(concurrency: Mapping[str, Any]) -> dict[str, int]:
    """The limit of each pool that a `concurrency` block of `dagster.yaml` names.

    Raises:
        ConfigurationError: a pool's entry is something else than `max_concurrent` with a whole number from 0 on.
    """
    limits = {}
    for pool, entry in concurrency.get("pools", {}).items():
        if pool in STOCK_POOL_SETTINGS:
            continue
        limit = entry.get("max_concurrent") if isinstance(entry, dict) and set(entry) == {"max_concurrent"} else None
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
            raise ConfigurationError(
                f"dagster.yaml, concurrency: pools: {pool}: {entry!r} is not a limit; "
                "allowed: `max_concurrent` with a whole number from 0 on, and nothing else.",
                fix=f"Edit dagster.yaml in $DAGSTER_HOME, for example: {pool}: {{max_concurrent: 1}}",
                culprits={"pool": pool, "value": repr(entry)},
            )
        limits[pool] = limit
    return limits


def read_pool_limits(instance: DagsterInstance) -> dict[str, int]:
    """How many steps each limited pool may run at once, whether the limit was set by file, command or page."""
    return {limit.name: limit.limit for limit in instance.event_log_storage.get_pool_limits()}
