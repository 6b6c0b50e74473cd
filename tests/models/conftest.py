import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

AS_OF = date(2024, 3, 31)


def shop(customers: int = 60, products: int = 25, lines: int = 1500) -> pd.DataFrame:
    """Distinct interactions up to AS_OF, each customer with a taste of its own."""
    rng = np.random.default_rng(7)
    customer = rng.integers(customers, size=lines)
    product = (customer + rng.geometric(0.25, size=lines)) % products
    day = pd.Timestamp(AS_OF) - pd.to_timedelta(rng.integers(120, size=lines), unit="D")
    return pd.DataFrame(
        {
            "customer_id": [f"c{number:03}" for number in customer],
            "product_id": [f"p{number:03}" for number in product],
            "day": day,
        }
    ).drop_duplicates(ignore_index=True)


def order_lines() -> pd.DataFrame:
    """The shop's interactions as `marts.fct_order_lines` has them."""
    bought = shop()
    return bought.assign(
        order_line_id=range(len(bought)), quantity=1, unit_price=2.5, is_product=True
    ).rename(columns={"day": "ordered_on"})


@pytest.fixture(scope="session")
def interactions() -> pd.DataFrame:
    return shop()


@pytest.fixture(scope="session")
def fresh_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database: its migrations take seconds, a copy of it does not."""
    from ops_platform.models.registry import Registry

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    assert Registry(f"sqlite:///{path}").champion("recommender") is None
    return path


@pytest.fixture
def registry(fresh_store: Path, tmp_path: Path):
    from ops_platform.models.registry import Registry

    shutil.copy(fresh_store, tmp_path / "mlflow.db")
    return Registry(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "artifacts")
