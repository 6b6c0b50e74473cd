"""A probation looked at: what is known of it is kept, and a version that does worse goes."""

from collections.abc import Callable
from datetime import date

from ops_platform.ingest.contract import customer_key
from ops_platform.ingest.contract_file import read_contracts
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.write import write
from ops_platform.models.registry import Registry
from ops_platform.monitor.probation import PASSED, WORSE, Probation, on_probation, term
from ops_platform.monitor.probation_table import keep_probation, read_probation
from ops_platform.serve.promotion import Served
from ops_platform.serve.rollback import roll_back
from ops_platform.settings import Settings


def judge_probation(
    settings: Settings,
    registry: Registry,
    name: str,
    over: date,
    sources: set[str],
    say: Callable[[str], object],
) -> tuple[Probation | None, Served | None]:
    """What is known of the version on probation, and what serves since it went, where it did.

    Parameters
    ----------
    over : the newest day that is over.
    sources : that purchases come from.

    Raises
    ------
    NotPublishedError, RegistryError, ReleaseError : as `on_probation` and `roll_back`.
    """
    lake, on_trial = Lake.at(settings), term(settings.releases, name)
    if on_trial is None:
        return None, None
    if on_trial.predecessor not in registry.numbers(name):
        say(
            f"{name} version {on_trial.version} is on no probation: version "
            f"{on_trial.predecessor}, which served before it, was deleted from the registry"
        )
        return None, None
    with connect(lake) as connection:
        before = read_probation(connection, name).get(on_trial.version)
    if before is not None and before.decision == PASSED:
        return before, None
    found = on_probation(
        lake,
        registry,
        on_trial,
        name,
        over=over,
        label_days=settings.label_days,
        probation_days=settings.probation_days,
        sources=sources,
    )
    write(lake, lambda connection: keep_probation(connection, found))
    say(f"{name} version {found.version} on probation: {found.decision}, {found.told}")
    if found.decision != WORSE:
        return found, None
    key = customer_key(read_contracts(settings.contracts, settings.hash_key))
    # While it was judged another may have been promoted, which is not to be left.
    served = roll_back(
        lake,
        registry,
        settings.releases,
        name,
        settings.now(),
        key,
        to=found.predecessor,
        only_from=found.version,
    )
    # A person may have been faster.
    return found, served if served.moved else None
