"""Who bought what when in a shop of up to millions of customers, without its order files.

`shop` holds how much each customer likes each product, which no memory holds for millions. Here a
customer likes a few groups of products, and what is popular in them.
"""

from datetime import date

import numpy as np
import pandas as pd

GROUPS, LIKED = 100, 4
ZIPF = 1.1  # the power law of popularity within a group
VISITS, BASKET = 5.0, 4.0  # means, geometric
FAVOURITES_SHARE = 0.4  # of purchases, drawn from the customer's own few products


def purchases(
    customers: int, products: int, *, start: date, days: int, seed: int = 0
) -> pd.DataFrame:
    """Distinct customer_id, product_id, day of a shop; some twenty rows a customer.

    Raises ValueError when there are fewer products than groups of them.
    """
    if products < GROUPS:
        raise ValueError(f"there must be at least {GROUPS} products, not {products}")
    rng = np.random.default_rng(seed)
    visits = rng.geometric(1 / VISITS, customers)
    visitor = np.repeat(np.arange(customers), visits)
    day = rng.integers(0, days, len(visitor))
    lines = rng.geometric(1 / BASKET, len(visitor))
    customer, day = np.repeat(visitor, lines), np.repeat(day, lines)
    # The n-th draw of a customer's own products is the same each time.
    own = rng.random(len(customer)) < FAVOURITES_SHARE
    nth = rng.integers(0, LIKED, len(customer))
    likes = rng.integers(0, GROUPS, (customers, LIKED))[customer, nth]
    in_group = products // GROUPS
    share = np.arange(1, in_group + 1) ** -ZIPF
    rank = np.searchsorted(np.cumsum(share) / share.sum(), rng.random(len(customer)))
    favourite = rng.integers(0, in_group, (customers, LIKED))[customer, nth]
    product = likes * in_group + np.where(own, favourite, np.minimum(rank, in_group - 1))
    found = pd.DataFrame({"customer": customer, "product": product, "day": day}).drop_duplicates()
    first = np.datetime64(start)
    return pd.DataFrame(
        {
            "customer_id": _ids("c", customers).take(found["customer"].to_numpy()),
            "product_id": _ids("p", products).take(found["product"].to_numpy()),
            "day": first + found["day"].to_numpy().astype("timedelta64[D]"),
        }
    )


def _ids(letter: str, count: int) -> pd.api.extensions.ExtensionArray:
    return pd.array([f"{letter}{number:07}" for number in range(count)], dtype="str")
