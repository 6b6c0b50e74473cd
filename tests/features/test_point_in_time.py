"""Each label gets what was known before its time: as plain Python finds it, from the raw lines."""

import itertools
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from ops_platform.errors import ContractError, TrainingError
from ops_platform.features import view as views_module
from ops_platform.features.build import query
from ops_platform.features.known_by import by_delivery_of, known_by_delivery
from ops_platform.features.moment import happened
from ops_platform.features.point_in_time import training_set
from ops_platform.features.view import find_views
from ops_platform.ingest.contract_file import read_contract
from ops_platform.settings import PROJECT
from tests.features import by_hand
from tests.features.conftest import CATALOG, EDGES, after, fill

LABEL = ("customer_id", "product_id", "day", "label_time")
CUSTOMERS, PRODUCTS = ["ann", "bob", "cy", "di"], ["10001", "10002", "10003", "10004"]
CAME = ["d1", "d2", "d3"]


# The views' windows and times to live end among these; six hours apart, so that many are the same.
TIMES = st.builds(
    lambda jump, steps: after(jump, 6 * steps),
    st.sampled_from([0, 0, 0, 28, 56, 336, 364, 365, 730, 1095]),
    st.integers(0, 12),
)
LINES = st.lists(
    st.builds(
        lambda customer, product, order, back, at, quantity, price, delivery: (
            customer, product, f"C{order}" if back else order, at,
            -quantity if back else quantity, price, delivery,
        ),
        st.sampled_from([*CUSTOMERS, None]), st.sampled_from(PRODUCTS),
        st.sampled_from(["1", "2"]), st.sampled_from([False, False, True]), TIMES, st.integers(1, 5),
        st.sampled_from([Decimal(0), Decimal("1.5"), Decimal(2)]), st.sampled_from(CAME),
    ),
    min_size=1, max_size=40,
)  # fmt: skip
HISTORIES = st.tuples(
    LINES,
    st.lists(TIMES, min_size=1, max_size=4, unique=True),
    st.fixed_dictionaries(dict.fromkeys(CAME, TIMES)),
    st.sampled_from([CATALOG, {}, {"10002": "bowls"}]),
)
VIEWS = find_views()
# Without shrinking, which would take minutes: a try takes a good part of a second.
CHECK = settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def labels_at(lines, moments) -> pd.DataFrame:
    """Every customer, product and day at every moment that is not after the newest line's day."""
    newest = max(line[3] for line in lines)
    end = datetime.combine(newest.date(), datetime.min.time()) + timedelta(days=1)
    dates = sorted({line[3].date() for line in lines})
    rows = itertools.product(CUSTOMERS, PRODUCTS, dates, {min(at, end) for at in moments})
    return pd.DataFrame(rows, columns=["customer_id", "product_id", "day", "label_time"])


def expected(view, lines, at, came, categories):
    if view.name == "customer_activity":
        return by_hand.activity(lines, at, view.ttl)
    if view.name == "customer_rhythm":
        return by_hand.rhythm(lines, at, view.ttl)
    if view.name == "customer_products":
        return by_hand.products(lines, at, view.ttl)
    if view.name == "customer_taste":
        return by_hand.taste(lines, at, view.ttl, categories)
    return by_hand.demand(lines, at, view.ttl, came)


def wrong(shop, history, by_delivery, told=True) -> list:
    """Where the training set differs from what plain Python finds; nothing, if it is right.

    `told` is whether the training set is told of the deliveries at all.
    """
    lines, moments, came, categories = history
    fill(shop, lines, came, categories)
    labels = labels_at(lines, moments)
    views = [view for view in VIEWS if not by_delivery or view.name == "product_demand"]
    late = {"fct_order_lines": {"orders"}} if by_delivery and told else {}
    rows = training_set(shop, labels, views, by_delivery=late).rows
    assert rows[labels.columns.tolist()].astype(str).equals(labels.astype(str))
    found = []
    for at, group in rows.groupby("label_time"):
        for view in views:
            known = expected(view, lines, at, came if by_delivery else None, categories)
            for key, features in of(view, group).items():
                if features != known.get(key, dict.fromkeys(features)):
                    found.append((view.name, at, key, features, known.get(key)))
    return found


def of(view, rows) -> dict:
    """By entity, the view's features as Python's own values."""
    found = {}
    names = {name: name.removeprefix(f"{view.name}__") for name in rows.columns}
    for record in rows.drop_duplicates(list(view.entity)).astype(object).to_dict("records"):
        key = tuple(
            at.date() if isinstance(at := record[one], datetime) else at for one in view.entity
        )
        found[key] = {
            feature: None if pd.isna(record[name]) else record[name]
            for name, feature in names.items()
            if name not in LABEL and (name != feature or "__" not in name)
        }
    return found


@CHECK
@given(history=HISTORIES, by_delivery=st.booleans())
@example(history=EDGES, by_delivery=False)
@example(history=EDGES, by_delivery=True)
def test_each_label_gets_what_plain_python_finds_before_its_time(shop, history, by_delivery):
    assert wrong(shop, history, by_delivery) == []


@settings(CHECK, max_examples=6)
@given(history=HISTORIES)
@example(history=EDGES)
def test_one_moment_for_everyone_is_the_offline_table(shop, history):
    lines, _, came, categories = history
    fill(shop, lines, came, categories)
    rows = training_set(shop, labels_at(lines, [after(9999)]), VIEWS).rows
    newest = max(line[3] for line in lines).date()
    for view in VIEWS:
        offline = of(view, shop.execute(query(shop, view, newest, "lake")).df())
        joined = of(view, rows)
        assert offline == {key: joined[key] for key in offline}
        assert all(set(joined[key].values()) == {None} for key in joined.keys() - offline.keys())


def _up_to_the_moment(time, as_of, ttl):
    return [time.cast("timestamp") <= as_of, *happened(time, as_of, ttl)[1:]]


def _any_time(time, as_of, ttl):
    return happened(time, as_of, ttl)[1:]


def _no_ttl(time, as_of, ttl):
    return happened(time, as_of, None)


@pytest.mark.parametrize("broken", [_up_to_the_moment, _any_time, _no_ttl])
def test_a_join_that_is_broken_on_purpose_is_found_in_every_view(shop, monkeypatch, broken):
    monkeypatch.setattr(views_module, "happened", broken)
    assert {name for name, *_ in wrong(shop, EDGES, by_delivery=False)} == {
        view.name for view in VIEWS
    }


def test_a_join_that_takes_no_heed_of_deliveries_is_found(shop):
    assert wrong(shop, EDGES, by_delivery=True, told=False)


def test_a_row_that_came_late_is_known_from_then_on(shop):
    fill(shop, *EDGES[:1], EDGES[2])
    labels = pd.DataFrame({"product_id": "10001", "label_time": [after(1200, 18), after(1201, 1)]})
    view = [view for view in VIEWS if view.name == "product_demand"]
    rows = training_set(shop, labels, view, by_delivery={"fct_order_lines": {"orders"}}).rows
    assert rows["product_demand__sold_28d"].tolist() == [3, 6]
    rows = training_set(shop, labels, view).rows
    assert rows["product_demand__sold_28d"].tolist() == [6, 6]


LABELS = pd.DataFrame(
    {"customer_id": ["ann"] * 3, "label_time": [after(5), after(1211), after(1212)]}
)
ACTIVITY = next(view for view in VIEWS if view.name == "customer_activity")


def refused(shop, labels, views=(ACTIVITY,), **given) -> str:
    with pytest.raises(TrainingError) as told:
        training_set(shop, labels, views, **given)
    return str(told.value)


def test_labels_after_the_newest_data_are_counted_and_the_newest_time_named(shop):
    fill(shop, EDGES[0], EDGES[2])
    said = refused(shop, LABELS)
    assert said.startswith("1 of 3 labels are of times after the day of the lake's newest event, ")
    assert f"{after(1210)}" in said


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (LABELS.drop(columns="label_time"), "label_time not found among customer_id"),
        (LABELS.drop(columns="customer_id"), "customer_id not found among label_time"),
        (LABELS.assign(label_time=[after(1), None, after(2)]), "1 of 3 labels have no label_time"),
        (LABELS.assign(label_time=LABELS["label_time"].dt.tz_localize("UTC")), "is in UTC; times"),
    ],
)
def test_labels_that_cannot_be_joined_are_refused(shop, labels, said):
    assert said in refused(shop, labels)


def test_a_mart_that_does_not_say_how_its_rows_came_is_refused(shop):
    fill(shop, EDGES[0], EDGES[2])
    said = refused(shop, LABELS[:1], by_delivery={"fct_interactions": {"orders"}})
    assert "marts.fct_interactions has no column delivery, so customer_activity can't tell" in said


def test_a_view_with_several_rows_of_an_entity_is_refused(shop):
    fill(shop, EDGES[0], EDGES[2])
    twice = replace(
        ACTIVITY, features=lambda known: ACTIVITY.features(known).union(ACTIVITY.features(known))
    )
    assert "1 labels became 2 rows" in refused(shop, LABELS[1:2], [twice])


def test_no_data_nulls_and_constants_are_remarked_on(shop):
    fill(shop, [], {}, {})
    taste = [view for view in VIEWS if view.name == "customer_taste"]
    found = training_set(shop, LABELS, taste)
    assert len(found.rows) == 3
    assert "customer_taste__products is null in every row" in found.remarks
    fill(shop, EDGES[0], EDGES[2], {})
    found = training_set(shop, LABELS[:2], [*taste, ACTIVITY])
    assert "customer_taste__top_category is null in every row" in found.remarks
    assert "customer_taste__categories is 0 wherever it is not null" in found.remarks
    assert "customer_activity__tenure_days" not in " ".join(found.remarks)


def test_labels_keep_their_order_and_columns_and_may_be_none(shop):
    fill(shop, EDGES[0], EDGES[2])
    labels = LABELS[:2].iloc[::-1].assign(bought=[True, False])
    rows = training_set(shop, labels, [ACTIVITY]).rows
    assert rows["bought"].tolist() == [True, False]
    assert rows["customer_activity__frequency"].isna().tolist() == [False, False]
    assert training_set(shop, labels[:0], [ACTIVITY]).rows.empty


def test_the_contract_says_whose_records_are_known_by_delivery(manifest):
    contract = read_contract(PROJECT / "contracts" / "events.odcs.yaml")
    assert known_by_delivery([contract], manifest) == {}
    said = {"property": "knownBy", "value": "delivery"}
    late = _saying(contract, said)
    found = known_by_delivery([late], manifest)
    assert found["fct_events"] == {"events"}
    assert "fct_interactions" not in found
    with pytest.raises(ContractError, match=r"events\.odcs.yaml: knownBy is 'event' or 'delivery'"):
        known_by_delivery([_saying(contract, {**said, "value": "post"})], manifest)


def test_the_settings_contracts_say_it_too(compiled, tmp_path):
    assert by_delivery_of(compiled) == {}
    contracts = shutil.copytree(PROJECT / "contracts", tmp_path / "contracts")
    with (contracts / "orders.odcs.yaml").open("a") as file:
        file.write("customProperties:\n  - property: knownBy\n    value: delivery\n")
    found = by_delivery_of(compiled.model_copy(update={"contracts": contracts}))
    assert found["fct_interactions"] == found["fct_order_lines"] == {"orders"}


def _saying(contract, custom):
    document = contract.document.model_dump(by_alias=True)
    return replace(
        contract,
        document=type(contract.document).model_validate({**document, "customProperties": [custom]}),
    )


def test_the_view_that_the_docs_show_works(shop):
    text = (PROJECT / "docs" / "features.md").read_text(encoding="utf-8")
    shown: dict = {}
    exec(text.split("```python\n")[1].split("```")[0], shown)
    fill(shop, EDGES[0], EDGES[2])
    rows = training_set(shop, LABELS[:2], [shown["VIEW"]]).rows
    assert rows["customer_frequency__frequency"].tolist() == [1, 1]
