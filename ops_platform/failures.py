"""How a door fails, and how a failed step is told to people: by its message, not by its stack."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster._core.errors import DagsterAssetCheckFailedError
from dagster._core.execution.plan.objects import StepFailureData

from ops_platform.errors import OpsError

# In what dbt's process said: our own errors, and which models and tests failed.
_OF_DBT = re.compile(r"(?<=ops_platform\.errors\.)\w+: .+|(?:Error|Failure) in (?:model|test) \S+")


@contextmanager
def told_plainly() -> Iterator[None]:
    """An OpsError within becomes Dagster's own failure, of which its message is the description.

    To be used as a decorator, or in a generator as a context.
    """
    try:
        yield
    except OpsError as error:
        raise dg.Failure(str(error)) from error


def cause_of(failure: StepFailureData) -> str:
    """Why a step failed, fit to be sent: an OpsError's message, what checks or dbt found wrong.

    Of other errors the class only: a library's text may hold an address with its password.
    """
    error = failure.error
    if error is None:
        return "no reason is known"
    if error.cls_name == dg.Failure.__name__ and failure.user_failure_data is not None:
        return str(failure.user_failure_data.description)
    if error.cls_name == DagsterAssetCheckFailedError.__name__:
        return error.message.partition(": ")[2].strip()
    found = dict.fromkeys(_OF_DBT.findall(error.message))
    if found:
        return ", ".join(found)
    while error.cause is not None:
        error = error.cause
    return f"{error.cls_name}, see the log of the run"
