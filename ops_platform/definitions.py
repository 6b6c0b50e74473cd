"""The code location that Dagster loads: the whole graph, with the settings of the environment."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ops_platform.settings import Settings, telemetry_off
from ops_platform.transform.project import manifest_in_the_making

if TYPE_CHECKING:
    import dagster as dg


@contextmanager
def _no_collection() -> Iterator[None]:
    """Collect no garbage within, nor ever what is left: modules stay, and looking costs 2 s."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def load() -> "dg.Definitions":
    """The graph; raises OpsError when a contract or the dbt project has a fault."""
    settings = Settings()
    telemetry_off()
    with _no_collection():
        with manifest_in_the_making(settings):
            # In the meantime: these imports take as long as dbt does to compile.
            from ops_platform.graph import build_definitions
        return build_definitions(settings)


defs = load()
