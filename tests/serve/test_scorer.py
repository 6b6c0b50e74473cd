"""A release answers as its model does, to the last digit, and says why."""

import gc
import json
import weakref
from dataclasses import asdict

import numpy as np
import pytest
from scipy.sparse import csr_array

from ops_platform.models.zoo.recommender import Recommender
from ops_platform.serve.release import load
from ops_platform.serve.scorer import POPULAR, REPEATED, Question, Scorer
from tests.serve.conftest import fitted


@pytest.fixture(scope="module")
def model() -> Recommender:
    return fitted()


@pytest.fixture
def scorer(home, model) -> Scorer:
    home.register(model)
    return Scorer(load(home.folder / home.release().release))


@pytest.mark.parametrize("k", [1, 7, 25, 100])
def test_every_list_is_the_models_own_to_the_last_digit(scorer, model, k):
    customers = [*model.customers_.tolist(), "nobody", ""]
    expected = model.recommend(customers, k)
    for row, customer in enumerate(customers):
        found = scorer.recommend(Question(customer, k))
        assert [one.product_id for one in found] == expected.product_id[row].tolist()
        np.testing.assert_allclose(
            [one.score for one in found], expected.scores[row], rtol=0, atol=1e-9
        )
        assert scorer.knows(customer) == expected.known[row]


def test_a_tie_goes_to_the_first_product(home, model):
    state = model.state()
    even = Recommender.from_state(
        model.get_params(), {**state, "popularity": np.full_like(state["popularity"], 0.04)}
    )
    home.register(even)
    found = Scorer(load(home.folder / home.release().release)).recommend(Question("nobody", 5))
    assert [one.product_id for one in found] == even.products_[:5].tolist()


def test_reasons_name_what_adds_most(scorer, model):
    n, m = len(model.customers_), len(model.products_)
    state = model.state()
    shared = state["history_indices"], state["history_indptr"]
    history = csr_array((state["history_affinity"], *shared), shape=(n, m)).toarray()
    links = csr_array(
        (state["links_data"], state["links_indices"], state["links_indptr"]), shape=(m, m)
    ).toarray()
    reasons = set()
    for row, customer in enumerate(model.customers_.tolist()):
        for one in scorer.recommend(Question(customer, 25)):
            column = model.products_.tolist().index(one.product_id)
            adds = history[row] * links[:, column]
            strongest = int(np.argmax(adds))
            name = model.products_[strongest]
            if history[row, column] > 0:
                expected = REPEATED
            elif adds[strongest] <= 0:
                expected = POPULAR
            else:
                # The first product has no description.
                described = name if strongest == 0 else f"THE {name.upper()}"
                expected = f"goes with {described}"
            assert one.reason == expected
            reasons.add(one.reason)
    assert REPEATED in reasons
    assert any(reason.startswith("goes with THE ") for reason in reasons)


def test_an_unknown_customer_is_told_what_is_popular(scorer, model):
    found = scorer.recommend(Question("nobody", 3))
    assert [one.reason for one in found] == [POPULAR] * 3
    best = np.argsort(-model.state()["popularity"], kind="stable")[:3]
    assert [one.product_id for one in found] == model.products_[best].tolist()


def test_an_id_with_a_nul_at_its_end_is_another_customer(scorer, model):
    assert scorer.knows(str(model.customers_[0]))
    assert not scorer.knows(f"{model.customers_[0]}\0")


def test_a_session_adds_what_a_purchase_today_would(scorer, model):
    state = model.state()
    m = len(model.products_)
    links = (
        csr_array(
            (state["links_data"], state["links_indices"], state["links_indptr"]), shape=(m, m)
        )
        .toarray()
        .astype(float)
    )
    session = [2, 5]
    found = scorer.recommend(Question("nobody", m, session=tuple(model.products_[session])))
    expected = np.maximum(links[session].sum(axis=0), 0) * state["trend"]
    expected += 1e-6 * state["popularity"]
    assert {one.product_id for one in found} == set(np.delete(model.products_, session))
    for one in found:
        place = model.products_.tolist().index(one.product_id)
        assert one.score == pytest.approx(expected[place], rel=0, abs=1e-9)


def test_a_session_adds_to_a_history_only_what_is_missing_to_a_purchase_today(model, home, scorer):
    state = model.state()
    known = str(model.customers_[0])
    bought = state["history_indices"][: state["history_indptr"][1]]
    fresh = dict(state)
    fresh["history_affinity"] = state["history_affinity"].copy()
    fresh["history_affinity"][: len(bought)] = 1.0
    home.register(Recommender.from_state(model.get_params(), fresh))
    today = Scorer(load(home.folder / home.release().release))
    session = tuple(model.products_[bought])
    lifted = scorer.recommend(Question(known, 25, session=session))
    expected = [
        one for one in today.recommend(Question(known, 100)) if one.product_id not in session
    ]
    assert [one.product_id for one in lifted] == [one.product_id for one in expected][:25]
    assert [one.score for one in lifted] == pytest.approx(
        [one.score for one in expected][:25], rel=0, abs=1e-9
    )


def test_a_list_of_nothing_is_refused(scorer):
    with pytest.raises(ValueError, match="k must be at least 1"):
        scorer.recommend(Question("nobody", 0))


def test_what_is_remembered_is_what_is_answered_and_goes_with_its_release(home, model):
    home.register(model)
    scorer = Scorer(load(home.folder / home.release().release))
    question = Question("c001", 5)
    found = scorer.answer(question)
    products = scorer.recommend(question)
    assert json.loads(found.encoded) == [asdict(one) for one in products]
    assert scorer.answer(Question("c001", 5)) is found
    assert scorer.answer(Question("c001", 4)).logged == found.logged[:4]
    # The collector of garbage, while which nobody is answered, passes over what it holds.
    assert not any(map(gc.is_tracked, gc.get_referents(*vars(found).values())))
    left = weakref.ref(scorer)
    del scorer
    assert left() is None
