"""What a wrong delivery went into, down to the releases that served and until when."""

from datetime import datetime

from ops_platform.catalog.impact import Served, impact
from ops_platform.ingest.ledger import Entry
from ops_platform.serve import history

MONDAY, TUESDAY = datetime(2024, 6, 3, 12), datetime(2024, 6, 4, 12)


def entry(sha256: str, status: str) -> Entry:
    return Entry(
        *(1, "orders", f"/in/{sha256}.csv", sha256, 10, 0, status, None),
        *(7, 5, 2, MONDAY, 3, "contract"),
    )


def released(releases):
    folder = releases / "m"
    (folder / "v2-0").mkdir(parents=True)
    history.note(folder, "v1-0", MONDAY, "released")
    history.note(folder, "v2-0", TUESDAY, "released")
    return releases


def test_a_delivery_that_was_replaced_is_in_the_version_that_saw_it(graph, tmp_path):
    found = impact(graph, entry("aaa", "replaced"), released(tmp_path))

    assert (found.held, found.rows_raw, found.rows_quarantined) == (False, 5, 2)
    assert found.tables == {"raw.orders": ["price"], "marts.sales": ["amount"]}
    assert found.versions == ["models/m@1"]
    # Its folder is gone, and still it has served.
    day = (MONDAY.isoformat(), TUESDAY.isoformat())
    assert found.releases == [Served("v1-0", "models/m@1", (day,))]


def test_what_serves_still_and_what_never_served_is_told(graph, tmp_path):
    (released(tmp_path) / "m" / "v2-1").mkdir()
    found = impact(graph, entry("ccc", "taken"), tmp_path)

    assert found.held
    assert found.releases == [
        Served("v2-0", "models/m@2", ((TUESDAY.isoformat(), None),)),
        Served("v2-1", "models/m@2", ()),
    ]


def test_a_delivery_that_no_version_has_seen_is_in_none(graph, tmp_path):
    found = impact(graph, entry("ddd", "taken"), released(tmp_path))
    assert (found.versions, found.releases) == ([], [])
