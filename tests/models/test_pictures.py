"""The pictures of a model card."""

import base64
from datetime import date

import numpy as np
import pandas as pd
from matplotlib.image import imread

from ops_platform.models.card import quality, whole
from ops_platform.models.pictures import OVER_TIME, QUALITY, SEGMENTS, pictures


def record(**changed) -> dict:
    rng = np.random.default_rng(5)
    scores = pd.DataFrame(
        {name: rng.random(40) for name in ("challenger", "champion", "popularity")}
    )
    return {
        "quality": quality(scores, 0),
        "segments": {"new customers": quality(scores[:9], 0)},
        "data": {"as_of": "2024-04-19"},
    } | changed


BEFORE = [(date(2024, 2, 1), 0.31), (date(2024, 3, 1), 0.28)]


def test_a_record_gives_the_same_pictures_twice_and_another_one_others(tmp_path):
    made = pictures(record(), "NDCG@20", BEFORE)
    assert list(made) == [QUALITY, SEGMENTS, OVER_TIME]
    assert made == pictures(record(), "NDCG@20", BEFORE)
    assert made[OVER_TIME] != pictures(record(), "NDCG@20", BEFORE[:1])[OVER_TIME]
    for name, png in made.items():
        (tmp_path / name).write_bytes(png)
        assert imread(tmp_path / name).std() > 0


def test_a_first_version_without_segments_has_the_picture_of_its_quality_alone():
    assert list(pictures(record(segments={}), "NDCG@20", [])) == [QUALITY]


def test_a_card_holds_its_pictures_where_no_file_lies_beside_it():
    told = whole("# Card\n![quality](quality.png)\n", {QUALITY: b"png"})
    assert f"](data:image/png;base64,{base64.b64encode(b'png').decode()})" in told
