"""How a door's failure reads in a run."""

from collections.abc import Iterator

import dagster as dg
import pytest

from ops_platform.errors import LakeBusyError
from ops_platform.failures import told_plainly


@dg.asset
@told_plainly()
def refuses(context: dg.AssetExecutionContext) -> None:
    raise LakeBusyError("another process writes: wait for it")


@dg.asset
def refuses_late() -> Iterator[dg.MaterializeResult]:
    with told_plainly():
        yield dg.MaterializeResult()
        raise LakeBusyError("another process writes: wait for it")


@dg.asset
@told_plainly()
def breaks() -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("asset", [refuses, refuses_late])
def test_the_message_is_what_the_failed_step_tells_first(asset):
    done = dg.materialize([asset], raise_on_error=False)

    failure = done.failure_data_for_node(asset.key.to_python_identifier())
    assert failure.user_failure_data.description == "another process writes: wait for it"
    assert failure.error.message.endswith("Failure: another process writes: wait for it\n")
    assert failure.error.cause.cls_name == "LakeBusyError"


def test_what_the_platform_does_not_foresee_stays_as_it_is():
    with pytest.raises(ZeroDivisionError):
        dg.materialize([breaks])
