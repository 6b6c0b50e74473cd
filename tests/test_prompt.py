"""Signs of life where there is no terminal for a spinner."""

import time

from ops_platform import prompt


def test_silence_is_broken_until_the_work_is_done(monkeypatch, capsys):
    monkeypatch.setattr(prompt, "SIGN_SECONDS", 0.01)
    with prompt.sign_of_life("working"):
        told = ""
        while told.count("\n") < 3:
            told += capsys.readouterr().err
    assert told.startswith("working ...\nworking ... 0 s\nworking ... 0 s\n")


def test_where_something_is_heard_nothing_is_said(monkeypatch, capsys):
    monkeypatch.setattr(prompt, "SIGN_SECONDS", 0.2)
    with prompt.sign_of_life("working") as heard:
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            heard()
    assert capsys.readouterr().err == "working ...\n"
