from datetime import date

import numpy as np
import pandas as pd
import pytest

from ops_platform.errors import TrainingError
from ops_platform.models.baselines import Ease, PersonalFrequency, Popularity
from ops_platform.models.evaluation import (
    REGULARISATIONS,
    chosen_regularisation,
    evaluate,
    fit_contenders,
    new_pairs,
)
from ops_platform.models.zoo.recommender import Recommender
from tests.models.conftest import AS_OF

CUT = date(2024, 2, 29)


@pytest.fixture(scope="module")
def split(interactions):
    is_known = interactions["day"] <= pd.Timestamp(CUT)
    later = interactions.loc[~is_known, ["customer_id", "product_id"]].drop_duplicates()
    return interactions[is_known], later


@pytest.fixture(scope="module")
def figures(split):
    known, later = split
    contenders = fit_contenders("recommender", Recommender(), known, CUT)
    assert evaluate(contenders, known, later) == evaluate(contenders, known, later)
    return evaluate(contenders, known, later)


def test_each_task_has_all_contenders_within_their_intervals(figures):
    names = ["recommender", "popularity", "personal_frequency", "ease"]
    for task in ("all items", "discovery"):
        found = [one for one in figures if one.task == task]
        assert [one.contender for one in found][:4] == names
        assert all(0 <= one.low <= one.ndcg <= one.high <= 1 for one in found)
        assert found[0].ratio is None
        assert [one.ratio for one in found[1:]] == pytest.approx(
            [found[0].ndcg / one.ndcg for one in found[1:]]
        )


def test_discovery_counts_only_what_was_never_bought(split):
    known, later = split
    new = new_pairs(later, known)
    both = new.merge(known[["customer_id", "product_id"]])
    assert both.empty
    assert 0 < len(new) < len(later)


@pytest.mark.parametrize("kind", [Recommender, Popularity, PersonalFrequency, Ease])
def test_what_is_discovered_was_never_bought_and_comes_in_the_same_order(kind, interactions):
    model = kind().fit(interactions, AS_OF)
    customers = model.customers_
    whole = model.recommend(customers, k=100).product_id
    found = model.recommend(customers, k=100, discovery=True)
    bought = interactions.groupby("customer_id")["product_id"].agg(set)
    for row, customer in enumerate(customers):
        listed = [product for product in found.product_id[row] if product]
        assert set(listed) == set(whole[row]) - bought[customer]
        assert listed == [product for product in whole[row] if product in set(listed)]
        assert np.isneginf(found.scores[row, len(listed) :]).all()


def test_the_regularisation_is_chosen_before_the_cut(split):
    known, _ = split
    assert chosen_regularisation(known, CUT) in REGULARISATIONS
    lately = known[known["day"] > pd.Timestamp("2024-02-10")]
    assert chosen_regularisation(lately, CUT) == 400.0


def test_a_window_without_purchases_is_refused(split):
    known, later = split
    with pytest.raises(TrainingError, match="choose an earlier cut"):
        evaluate({"popularity": Popularity().fit(known, CUT)}, known, later[:0])
