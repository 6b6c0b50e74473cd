from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from ops_platform.errors import TrainingError
from ops_platform.models import item_item
from ops_platform.models.baselines import Ease, PersonalFrequency, Popularity
from ops_platform.models.demand import trend
from ops_platform.models.evaluation import evaluate
from ops_platform.models.interactions import Interactions, by_day, numbered
from ops_platform.models.item_item import ease, matrix, strongest
from ops_platform.models.judging import judge
from ops_platform.models.state import digest
from ops_platform.models.zoo.recommender import Recommender

AS_OF = date(2024, 3, 31)
MODELS = [Recommender, Popularity, PersonalFrequency, Ease]
REAL = Path(__file__).parents[3] / "shared" / "data" / "online-retail"


@pytest.fixture(scope="module")
def fitted(interactions):
    return Recommender().fit(interactions, AS_OF)


def frame(*rows):
    return pd.DataFrame(rows, columns=["customer_id", "product_id", "day"])


def test_the_constructor_only_stores_so_clone_gives_the_same_parameters():
    model = Recommender(half_life_days=90.0, threads=1, seed=3)
    assert clone(model).get_params() == model.get_params()
    assert not [name for name in vars(model) if name.endswith("_")]


@pytest.mark.parametrize("model", MODELS)
def test_lists_have_k_different_products_and_falling_scores(model, interactions):
    ranked = model().fit(interactions, AS_OF).recommend(["c000", "c001", "nobody"], k=10)
    assert ranked.product_id.shape == ranked.scores.shape == (3, 10)
    assert all(len(set(row)) == 10 for row in ranked.product_id)
    assert (np.diff(ranked.scores, axis=1) <= 0).all()
    assert ranked.known.tolist() == [True, True, False]


@pytest.mark.parametrize("model", MODELS)
def test_an_unknown_customer_gets_the_most_popular_products(model, interactions):
    # Ids that sort before, between and after all that are known.
    strangers = model().fit(interactions, AS_OF).recommend(["a", "c0005", "z"], k=3)
    assert not strangers.known.any()
    assert (strangers.product_id == strangers.product_id[0]).all()
    if model in (Popularity, PersonalFrequency):
        bought = interactions.groupby("product_id").size()
        expected = sorted(bought.index, key=lambda product: (-bought[product], product))[:3]
        assert strangers.product_id[0].tolist() == expected


@pytest.mark.parametrize("model", MODELS)
def test_a_list_is_not_longer_than_the_catalogue(model):
    fitted = model().fit(frame(("a", "x", AS_OF), ("a", "y", AS_OF)), AS_OF)
    assert sorted(fitted.recommend(["a"], k=20).product_id[0]) == ["x", "y"]


@pytest.mark.parametrize("model", MODELS)
def test_no_customers_give_no_lists(model, interactions):
    assert model().fit(interactions, AS_OF).recommend([], k=5).product_id.shape == (0, 5)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one_is_refused(model, k, interactions):
    with pytest.raises(ValueError, match=f"k must be at least 1, got {k}"):
        model().fit(interactions, AS_OF).recommend(["c000"], k=k)


@pytest.mark.parametrize("model", MODELS)
def test_a_day_after_the_as_of_is_refused_as_a_leak(model, interactions):
    with pytest.raises(TrainingError, match=r"after the as-of 2024-03-30 .*leak"):
        model().fit(interactions, AS_OF - timedelta(days=1))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (frame(), "No interactions up to 2024-03-31"),
        (pd.DataFrame({"customer": ["a"], "product_id": ["x"]}), "customer_id, day not found"),
        (frame(("a", "x", AS_OF), ("a", "x", AS_OF)), "1 of 2 interactions are repeated"),
        (frame(("a", None, AS_OF)), "nulls in product_id"),
    ],
)
def test_wrong_interactions_are_refused_with_what_is_wrong(broken, message):
    with pytest.raises(TrainingError, match=message):
        Recommender().fit(broken, AS_OF)


def test_any_table_of_events_will_do(interactions):
    events = pd.DataFrame(
        [("a", 7, "2024-03-01T09:00", 2.0), ("a", 7, "2024-03-01T17:00", 1.0),
         ("a", 8, "2024-03-02T09:00", 1.0), ("a", 8, "2024-03-02T10:00", -1.0),
         ("b", 9, "2024-03-03T09:00", 1.0), (None, 9, "2024-03-03T09:00", 1.0)],
        columns=["user", "item", "timestamp", "pieces"],
    )  # fmt: skip
    kept = by_day(events, weight="pieces")
    assert kept.to_dict("list") == {
        "customer_id": ["a", "b"], "product_id": ["7", "9"],
        "day": [pd.Timestamp("2024-03-01"), pd.Timestamp("2024-03-03")],
    }  # fmt: skip
    assert len(by_day(events)) == 3
    with pytest.raises(TrainingError, match="visitor not found among user, item"):
        by_day(events, user="visitor")
    # Without an as-of it is the newest day.
    newest, given = Recommender().fit(interactions), Recommender().fit(interactions, AS_OF)
    assert interactions["day"].max().date() == AS_OF
    assert all(np.array_equal(one, given.state()[name]) for name, one in newest.state().items())


def test_a_parameter_that_is_not_positive_is_refused(interactions):
    with pytest.raises(TrainingError, match="half_life_days=0"):
        Recommender(half_life_days=0).fit(interactions, AS_OF)


def test_days_may_be_dates_or_timestamps_and_rows_in_any_order(interactions, fitted):
    shuffled = interactions.sample(frac=1, random_state=1).assign(
        day=lambda rows: rows["day"].dt.date
    )
    again = Recommender().fit(shuffled, AS_OF)
    assert digest(again.state()) == digest(fitted.state())


@pytest.mark.parametrize("model", MODELS)
def test_ids_that_are_numbers_are_known_by_their_text(model):
    fitted = model().fit(frame(*((one, 10 * one, AS_OF) for one in (9, 10, 101))), AS_OF)
    assert fitted.customers_.tolist() == ["10", "101", "9"]
    assert fitted.products_.tolist() == ["100", "1010", "90"]
    assert fitted.recommend([9, 10, 101], k=1).known.all()


def test_a_state_without_pickles_gives_the_same_lists(fitted):
    state = fitted.state()
    assert not any(array.dtype.hasobject for array in state.values())
    again = Recommender.from_state(fitted.get_params(), state)
    customers = [*fitted.customers_, "nobody"]
    before, after = fitted.recommend(customers), again.recommend(customers)
    assert (before.product_id == after.product_id).all()
    assert (before.scores == after.scores).all()
    assert digest(again.state()) == digest(state)


def test_lists_do_not_depend_on_who_else_is_asked_for(fitted):
    together = fitted.recommend(np.tile(fitted.customers_, 10))
    alone = fitted.recommend([fitted.customers_[5]])
    assert (together.scores[5] == alone.scores[0]).all()
    assert (together.product_id[-len(fitted.customers_) + 5] == alone.product_id[0]).all()


def test_ties_go_to_the_smaller_product_id():
    rows = [(customer, product, AS_OF) for customer in "ab" for product in "zyxw"]
    for model in MODELS:
        ranked = model().fit(frame(*rows), AS_OF).recommend(["a", "b"], k=3)
        assert ranked.product_id.tolist() == [["w", "x", "y"]] * 2


def test_ease_is_the_closed_form_of_its_paper(interactions, monkeypatch):
    counts = matrix(numbered(interactions, AS_OF), np.ones(len(interactions)))
    dense = counts.toarray()
    inverse = np.linalg.inv(dense.T @ dense + 10 * np.eye(dense.shape[1]))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    whole = ease(counts, 10.0, threads=1)
    np.testing.assert_allclose(whole, expected, atol=1e-12)
    # Large ones are mirrored, and looked through, in blocks.
    links = strongest(whole, 3)
    monkeypatch.setattr(item_item, "BLOCK", 2)
    assert (ease(counts, 10.0, threads=1) == whole).all()
    assert (strongest(whole, 3) != links).nnz == 0


def test_a_recent_purchase_outweighs_an_old_one():
    old, new = AS_OF - timedelta(days=300), AS_OF
    model = Recommender(half_life_days=30).fit(
        frame(("a", "x", old), ("a", "y", new), ("b", "x", new), ("b", "y", old)), AS_OF
    )
    ranked = model.recommend(["a", "b"], k=1)
    assert ranked.product_id.ravel().tolist() == ["y", "x"]


def test_demand_that_has_moved_is_a_trend_and_demand_that_varies_by_chance_is_none():
    rng = np.random.default_rng(3)
    product, age = rng.integers(40, size=4000), rng.integers(200, size=4000)
    even = Interactions(np.array(["c"]), np.arange(40).astype(str), 0 * product, product, age)
    assert np.abs(np.log(trend(even, 7.0))).max() < 0.2
    risen = np.where(product < 4, age // 20, age)
    moved = trend(Interactions(even.customers, even.products, even.customer, product, risen), 7.0)
    assert moved[:4].min() > 2 > 1 > moved[4:].max()


def test_first_purchases_follow_the_demand_in_full_and_habits_less(interactions):
    state = Recommender().fit(interactions, AS_OF).state()
    before = Recommender.from_state({}, {**state, "popularity": 0 * state["popularity"]})
    after = Recommender.from_state({}, {**before.state(), "trend": 16 * state["trend"]})
    lists = [model.recommend(["c000"], 25) for model in (before, after)]
    one, other = (dict(zip(found.product_id[0], found.scores[0], strict=True)) for found in lists)
    times = {product: other[product] / score for product, score in one.items() if score > 0}
    bought = set(interactions.loc[interactions["customer_id"] == "c000", "product_id"])
    assert {round(times[product], 6) for product in bought} == {2}
    assert {round(times[product], 6) for product in set(times) - bought} == {16}


def test_personal_frequency_counts_days_then_popularity_then_id():
    days = [AS_OF - timedelta(days=age) for age in range(3)]
    model = PersonalFrequency().fit(
        frame(
            *(("a", "twice", day) for day in days[:2]),
            ("a", "rare", days[0]),
            ("a", "liked", days[0]),
            *((other, "liked", days[0]) for other in "bc"),
            *((other, product, days[1]) for other in "bc" for product in ("new2", "new1")),
        ),
        AS_OF,
    )
    expected = ["twice", "liked", "rare", "new1", "new2"]
    assert model.recommend(["a"]).product_id[0].tolist() == expected


def test_models_are_judged_on_the_same_known_customers(interactions):
    early = interactions[interactions["day"] <= "2024-02-15"]
    models = {
        "old": Recommender().fit(early[early["customer_id"] > "c010"], date(2024, 2, 15)),
        "new": Recommender().fit(early, date(2024, 2, 15)),
    }
    later = interactions[interactions["day"] > "2024-02-15"]
    unknown = pd.DataFrame({"customer_id": ["nobody", "c000"], "product_id": ["p001", "never"]})
    scores = judge(models, pd.concat([later, unknown]), k=5)
    # A customer whom only the newer model knows counts for both; nobody knows "nobody".
    assert scores.index.tolist() == sorted(later["customer_id"].unique())
    assert ((scores >= 0) & (scores <= 1)).all(axis=None)
    assert judge(models, unknown).empty


@pytest.fixture(scope="module")
def lines() -> pd.DataFrame:
    """Every line of a product that a known customer bought (or sent back, negative)."""
    names = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice"]
    columns = dict.fromkeys([*names, "CustomerID", "Country"], "VARCHAR")
    return duckdb.sql(f"""
        select CustomerID::double::int::varchar as customer_id, StockCode as product_id,
            InvoiceDate::timestamp::date as day, Quantity::int as quantity
        from read_csv('{REAL}/*.csv', header = true, auto_detect = false, quote = '"',
            escape = '"', columns = {columns})
        where CustomerID is not null and regexp_matches(StockCode, '^[0-9]{{5}}')
    """).df()


def net_purchases(lines: pd.DataFrame, until: str) -> pd.DataFrame:
    """Bought before `until`, without what the customer had sent back in all by then."""
    known = lines[lines["day"] < until]
    kept = known.groupby(["customer_id", "product_id"])["quantity"].transform("sum") > 0
    bought = known[kept & (known["quantity"] > 0)]
    return bought[["customer_id", "product_id", "day"]].drop_duplicates()


@pytest.mark.real_data
@pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is not there")
def test_on_the_real_shop_the_recommender_beats_the_baselines_of_both_tasks(lines):
    known, cut = net_purchases(lines, "2011-11-09"), date(2011, 11, 8)
    later = net_purchases(lines, "2011-12-10")
    models = {
        model.__name__: model().fit(known, cut) for model in (Recommender, PersonalFrequency, Ease)
    }
    figures = evaluate(models, known, later[later["day"] >= "2011-11-09"])
    ratio = {(one.task, one.contender): one.ratio for one in figures}
    assert ratio["all items", "PersonalFrequency"] > 1.12
    assert ratio["discovery", "Ease"] > 1.45
