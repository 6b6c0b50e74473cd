import numpy as np
import pytest

from ops_platform.errors import StateError
from ops_platform.models.state import digest, load, save

STATE = {"ids": np.array(["a", "bc"]), "weights": np.arange(6.0).reshape(2, 3)}


def test_the_digest_is_of_the_arrays_and_not_of_their_order():
    assert digest(STATE) == digest(dict(reversed(STATE.items())))
    assert digest(STATE) == digest({**STATE, "weights": np.asfortranarray(STATE["weights"])})


@pytest.mark.parametrize(
    "other",
    [
        {**STATE, "weights": STATE["weights"] + 1e-15},
        {**STATE, "weights": STATE["weights"].reshape(3, 2)},
        {**STATE, "weights": STATE["weights"].view(np.int64)},
        {"ids": STATE["ids"], "weight": STATE["weights"]},
        {"ids": STATE["ids"]},
        {"ids": np.array(["a", "bd"]), "weights": STATE["weights"]},
    ],
)
def test_any_other_state_has_another_digest(other):
    assert digest(other) != digest(STATE)


def test_a_scalar_and_an_array_of_one_differ():
    assert digest({"x": np.array(1.0)}) != digest({"x": np.array([1.0])})


def test_a_saved_state_comes_back(tmp_path):
    save(STATE, tmp_path / "state.npz")
    found = load(tmp_path / "state.npz", digest(STATE))
    assert found.keys() == STATE.keys()
    assert all((found[name] == STATE[name]).all() for name in STATE)


def test_another_digest_is_refused(tmp_path):
    save(STATE, tmp_path / "state.npz")
    with pytest.raises(StateError, match="changed or damaged"):
        load(tmp_path / "state.npz", "0" * 64)


@pytest.mark.parametrize("content", [None, b"", b"not an archive", b"PK\x03\x04 cut"])
def test_what_is_no_state_file_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "state.npz").write_bytes(content)
    with pytest.raises(StateError, match="can't be read as plain arrays"):
        load(tmp_path / "state.npz", digest(STATE))


def test_every_flipped_byte_of_an_array_is_noticed(tmp_path):
    path = tmp_path / "state.npz"
    save(STATE, path)
    content = bytearray(path.read_bytes())
    content[content.index(np.float64(5.0).tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(StateError):
        load(path, digest(STATE))


def test_pickles_are_neither_written_nor_read(tmp_path):
    objects = {"x": np.array([{}], dtype=object)}
    with pytest.raises(StateError, match="Python objects"):
        digest(objects)
    np.savez(tmp_path / "state.npz", allow_pickle=True, **objects)
    with pytest.raises(StateError, match="can't be read as plain arrays"):
        load(tmp_path / "state.npz", "0" * 64)
