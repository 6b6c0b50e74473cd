"""Which kind a model of `zoo/` is of: told by the method that it answers with."""

from ops_platform.errors import RegistryError
from ops_platform.models.estimators import Estimator, estimator, names
from ops_platform.models.foretelling import Foretelling
from ops_platform.models.recommending import Recommending
from ops_platform.models.task import Task

TASKS: tuple[Task, ...] = (Recommending(), Foretelling())


def task_of(name: str) -> Task:
    """The kind of a model; raises RegistryError where there is no such model, or it is of none."""
    return task_of_class(estimator(name))


def task_of_class(kind: type[Estimator]) -> Task:
    """The kind of an estimator's class; raises RegistryError where it is of none."""
    for task in TASKS:
        if hasattr(kind, task.method):
            return task
    raise RegistryError(
        f"{kind.__module__}: {kind.__name__} must have the method "
        f"{' or '.join(task.method for task in TASKS)}, which says what kind of model it is"
    )


def recommenders() -> list[str]:
    """The names of the models that recommend, sorted."""
    return [name for name in names() if isinstance(task_of(name), Recommending)]
