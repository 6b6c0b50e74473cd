import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops_platform.models.metrics import ndcg_at_k
from ops_platform.models.ranking import top_k


def slow_ndcg(hits, relevant, k):
    gain = sum(1 / math.log2(rank + 1) for rank, hit in enumerate(hits[:k], 1) if hit)
    return gain / sum(1 / math.log2(rank + 1) for rank in range(1, min(k, relevant) + 1))


@st.composite
def judged_lists(draw):
    width = draw(st.integers(1, 12))
    lists = draw(st.lists(st.lists(st.booleans(), min_size=width, max_size=width), min_size=1))
    extra = draw(st.lists(st.integers(0, 9), min_size=len(lists), max_size=len(lists)))
    relevant = [max(1, sum(hits) + more) for hits, more in zip(lists, extra, strict=True)]
    return lists, relevant, draw(st.integers(1, 15))


@given(judged_lists())
def test_ndcg_is_the_loop_over_its_definition(case):
    lists, relevant, k = case
    expected = [slow_ndcg(hits, count, k) for hits, count in zip(lists, relevant, strict=True)]
    np.testing.assert_allclose(ndcg_at_k(np.array(lists), np.array(relevant), k), expected)


def test_ndcg_by_hand():
    hits = np.array([[True, False, True], [False, False, False], [True, True, True]])
    expected = [(1 + 0.5) / (1 + 1 / math.log2(3)), 0, 1]
    np.testing.assert_allclose(ndcg_at_k(hits, np.array([2, 1, 7]), 3), expected)


@pytest.mark.parametrize(
    ("hits", "relevant", "k", "message"),
    [
        ([[True]], [1], 0, "k must be at least 1"),
        ([[True]], [0], 1, "nothing relevant"),
        ([[True]], [1, 1], 1, "must be"),
    ],
)
def test_what_has_no_ndcg_is_refused(hits, relevant, k, message):
    with pytest.raises(ValueError, match=message):
        ndcg_at_k(np.array(hits), np.array(relevant), k)


@given(
    st.integers(1, 9).flatmap(
        lambda width: st.tuples(
            st.lists(
                st.lists(st.integers(-2, 2), min_size=width, max_size=width), min_size=1, max_size=9
            ),
            st.integers(1, width),
        )
    )
)
def test_top_k_is_a_stable_sort(case):
    rows, k = case
    scores = np.array(rows, dtype=float)
    columns, values = top_k(scores, k)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    assert (columns == expected).all()
    assert (values == np.take_along_axis(scores, expected, axis=1)).all()
