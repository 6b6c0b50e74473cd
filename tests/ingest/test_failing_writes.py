"""Writes that fail in the midst of a delivery; `make torture` lets every one of them fail."""

import pytest

from benchmarks import failing_writes


@pytest.mark.skipif(failing_writes.compiler() is None, reason="takes Linux and a C compiler")
@pytest.mark.long
@pytest.mark.parametrize("what", ["first", "disk"])
def test_a_delivery_survives_a_write_that_fails(tmp_path, what):
    found = failing_writes.under_shim(what, tmp_path, "3")
    assert found.faults == []
    assert found.failed == 3
    assert found.refused > 0
