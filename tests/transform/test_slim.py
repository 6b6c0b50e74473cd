"""A pull request's change is built beside production: only it and what follows, and thrown away."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from ops_platform.errors import NotPublishedError
from ops_platform.lake import catalog
from ops_platform.lake.location import Lake
from ops_platform.lake.published import Published, publish, published
from ops_platform.lake.write import write
from ops_platform.settings import PROJECT, Settings
from ops_platform.simulate.shop import Shop, write_orders
from ops_platform.transform.project import project_digest, run_dbt
from ops_platform.transform.slim import (
    build_changed,
    keep_published_manifest,
    published_manifest,
)
from tests.transform.conftest import take_in_orders, with_manifest

PRODUCTS = "models/marts/dim_products.sql"
MATCHED = "models/intermediate/int_cancellations_matched.sql"
CREATED = re.compile(r"OK created sql \w+ model (\S+)")


def make_production(compiled: Settings, folder: Path) -> Settings:
    """A published production by the settings of the environment, whose raw table was emptied since.

    So whoever reads anything but the published snapshot sees no order.
    """
    settings = with_manifest(compiled, folder / "production")
    write_orders(Shop(days=10, customers=15, products=12), folder / "orders")
    lake = Lake.at(settings)
    take_in_orders(lake, folder / "orders")
    assert run_dbt(settings, ["--quiet", "run"]) == 0
    publish(lake, Published(catalog.head(lake), catalog.head(lake)), seen=None)
    keep_published_manifest(settings.home, project_digest(settings))
    write(lake, lambda connection: connection.execute("DELETE FROM raw.orders"))
    return settings


@pytest.fixture(scope="module")
def production(compiled, tmp_path_factory) -> Settings:
    return make_production(compiled, tmp_path_factory.mktemp("slim"))


@dataclass
class PullRequest:
    """A copy of the project that a test changes, and what building it said."""

    settings: Settings
    capfd: pytest.CaptureFixture[str]

    def write(self, name: str, text: str) -> None:
        (self.settings.dbt_project / name).write_text(text, encoding="utf-8")

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.settings.dbt_project / name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new))

    def build(self) -> tuple[int, list[str], str]:
        """dbt's exit code, what is said to differ, and dbt's own words."""
        said: list[str] = []
        code = build_changed(self.settings, said.append)
        return code, said, self.capfd.readouterr().out


def pull_request(folder: Path, capfd, **settings) -> PullRequest:
    ignore = shutil.ignore_patterns("target", "logs", ".user.yml")
    shutil.copytree(PROJECT / "dbt_project", folder / "dbt", ignore=ignore)
    return PullRequest(Settings(home=folder / "pr", dbt_project=folder / "dbt", **settings), capfd)


@pytest.fixture
def change(production, tmp_path, capfd) -> PullRequest:
    return pull_request(tmp_path, capfd, production_home=production.home)


def files(lake: Lake) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in lake.data_path.rglob("*") if p.is_file()}


def test_where_nothing_differs_nothing_is_built(change):
    code, said, output = change.build()

    assert code == 0, output
    assert said[1:] == ["nothing differs"]
    assert "START" not in output


def test_only_the_change_and_what_follows_is_built_from_what_production_published(
    production, change
):
    lake = Lake.at(production)
    before = published(lake), catalog.head(lake), files(lake)
    change.replace(MATCHED, "with lines as (", "-- In other words.\nwith lines as (")
    change.write(
        "tests/purchases_come_from_production.sql",
        "select 1 as none where (select count(*) from {{ ref('fct_interactions') }}) = 0",
    )

    code, said, output = change.build()

    assert code == 0, output
    assert CREATED.findall(output) == [
        "intermediate.int_cancellations_matched",
        "marts.fct_interactions",
    ]
    differing = {line.strip() for line in said[2:]}
    assert {
        "ops.intermediate.int_cancellations_matched",
        "ops.marts.fct_interactions",
        "ops.marts.not_null_fct_interactions_kind",
        "ops.purchases_come_from_production",
        "unit_test:ops.interactions_are_not_netted",
    } <= differing
    assert not differing & {"ops.marts.dim_customers", "ops.marts.not_null_dim_customers_orders"}
    assert before == (published(lake), catalog.head(lake), files(lake))
    assert list((change.settings.home / "dbt").iterdir()) == [], "the lake is thrown away"


@pytest.mark.long
def test_a_change_that_breaks_a_data_test_fails(change):
    # So slight that the unit test does not see it: products that sell well lose their name.
    named = "case when totals.orders < 4 then totals.product_id end as product_id,\n    desc"
    change.replace(PRODUCTS, "totals.product_id,\n    desc", named)

    code, _, output = change.build()

    assert code == 1
    assert "Failure in test not_null_dim_products_product_id" in output


def test_a_project_that_dbt_can_not_read_fails_in_dbts_words(change):
    change.replace(PRODUCTS, "stg_orders__lines", "stg_nothing")

    code, said, output = change.build()

    assert code == 2
    assert "'stg_nothing' which was not found" in "".join(said) + output


def test_without_a_published_production_it_says_what_to_do(tmp_path, capfd):
    change = pull_request(tmp_path, capfd, production_home=tmp_path / "nowhere")

    with pytest.raises(NotPublishedError, match="set OPS_PRODUCTION_HOME, or materialize"):
        change.build()


@pytest.mark.postgres
@pytest.mark.long
def test_production_on_postgres_is_read_and_never_written(
    tmp_path,
    capfd,
    postgres_url,
    monkeypatch,
):
    monkeypatch.setenv("OPS_CATALOG_URL", postgres_url)
    monkeypatch.setenv("OPS_DATA_PATH", str(tmp_path / "data"))
    production = make_production(tmp_path)
    lake = Lake.at(production)
    before = published(lake), catalog.head(lake), files(lake)
    # The worst case: production's settings are at hand as the pull request's own, too.
    change = pull_request(
        tmp_path,
        capfd,
        production_home=production.home,
        production_catalog_url=postgres_url,
        production_data_path=tmp_path / "data",
    )
    change.replace(PRODUCTS, "totals.orders,", "totals.orders + 0 as orders,")

    code, _, output = change.build()

    assert code == 0, output
    assert CREATED.findall(output) == ["marts.dim_products"]
    assert before == (published(lake), catalog.head(lake), files(lake))
    assert "s3cr" not in output


def test_a_manifest_that_was_never_made_here_is_not_kept(tmp_path):
    keep_published_manifest(tmp_path, "0" * 64)

    assert not published_manifest(tmp_path).exists()
