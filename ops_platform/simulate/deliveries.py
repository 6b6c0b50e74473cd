"""All that the shop's systems deliver, one folder a source; `served` comes from the service."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from ops_platform.simulate.assortment import product_file
from ops_platform.simulate.people import write_customers
from ops_platform.simulate.shop import Shop, order_file, trading_days
from ops_platform.simulate.visits import event_file

SOURCES = ("orders", "products", "customers", "events")
DATABASE = "customers.sqlite"


def write_sources(shop: Shop, folder: Path) -> list[Path]:
    """Write what each source has delivered by the shop's last day; the paths of the files.

    Orders and events are a file a trading day, products a file when some are new, all named by
    the day; the customers are a database. The same shop gives the same bytes.
    """
    for source in SOURCES:
        (folder / source).mkdir(parents=True, exist_ok=True)
    paths = []
    for name, content in _files(shop):
        path = folder / name
        # Whoever lists the folder meanwhile sees a whole file or none.
        aside = path.with_name(f"{path.name}.part")
        aside.write_bytes(content)
        aside.replace(path)
        paths.append(path)
    database = folder / "customers" / DATABASE
    write_customers(shop, database, last_day(shop))
    return [*paths, database]


def last_day(shop: Shop) -> date:
    """The shop's last day, on which it may be closed."""
    return shop.start + timedelta(days=shop.days - 1)


def _files(shop: Shop) -> Iterator[tuple[str, bytes]]:
    known = set[str]()
    for day in trading_days(shop):
        yield f"orders/{day.hours.day}.csv", order_file(shop, day)
        yield f"events/{day.hours.day}.parquet", event_file(shop, day)
        if not known.issuperset(day.world.stock.codes):
            yield f"products/{day.hours.day}.jsonl", product_file(shop, day, known)
            known.update(day.world.stock.codes)
