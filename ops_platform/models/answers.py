"""What a model that foretells says of every customer now, to be written into a release."""

from datetime import date

import duckdb
import numpy as np

from ops_platform.features.online_store import FLOAT, Column, Rows
from ops_platform.models.estimators import Foretells
from ops_platform.models.labels import current

PROBABILITY = "probability"


def answers(connection: duckdb.DuckDBPyConnection, model: Foretells, as_of: date) -> Rows:
    """The `probability` of each customer by the feature tables of a pinned snapshot.

    Parameters
    ----------
    connection : pinned to the release's snapshot.
    as_of : the day of its feature tables; the horizon begins when it ends.
    """
    customers = current(connection, model)
    found = model.predict_proba(customers)[:, 1] if len(customers) else np.empty(0)
    return Rows(
        ("customer_id",),
        as_of.isoformat(),
        [(one,) for one in customers["customer_id"].tolist()],
        {PROBABILITY: Column(FLOAT, found, np.zeros(len(found), dtype=bool))},
    )
