"""Signs of life where there is no terminal for a spinner, and tables in which nothing is cut."""

import io
import time

import pytest
from rich.markdown import Markdown
from rich.table import Column, Table

from ops_platform import prompt

NAMES = ("purchase_probability@12", "the_shop_of_the_north@3")
WORDS = "alarm recommender-v1-2024-05-28: it lacks what is normal"
NUMBERS = ("0.1234", "+0.0123 to +0.0456", "2024-05-30T12:00:00")


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


def printed(**how) -> list[str]:
    """The lines of a table too wide for most terminals."""
    out = io.StringIO()
    table = Table(Column("version", no_wrap=True), *("score", "interval", "made at", "cause"))
    for name in NAMES:
        table.add_row(name, *NUMBERS, WORDS)
    prompt.Whole(file=out, **how).print(table)
    return out.getvalue().splitlines()


def cells(lines: list[str]) -> list[str]:
    """What stands in the columns of the first row, without what breaks it into lines."""
    (start, end) = (next(n for n, line in enumerate(lines) if name in line) for name in ("│", "└"))
    half = lines[start : start + (end - start) // len(NAMES)]
    rows = zip(*(line.split("│")[1:-1] for line in half), strict=True)
    return ["".join("".join(row).split()) for row in rows]


@pytest.mark.parametrize("width", [80, 30])
def test_at_a_terminal_cells_fold_and_nothing_is_cut(width):
    lines = printed(force_terminal=True, width=width, color_system=None)

    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    assert cells(lines) == ["".join(one.split()) for one in (NAMES[0], *NUMBERS, WORDS)]


def test_a_table_of_a_text_is_not_cut_either():
    out = io.StringIO()
    terminal = prompt.Whole(file=out, force_terminal=True, width=20, color_system=None)
    terminal.print(Markdown(f"| state |\n|---|\n| {NAMES[0]} |"))
    assert NAMES[0] in "".join(out.getvalue().split())


def test_a_name_is_folded_last():
    lines = printed(force_terminal=True, width=80, color_system=None)
    assert all(any(f"│ {name} │" in line for line in lines) for name in NAMES)


def test_without_a_terminal_a_row_is_one_line():
    *_, first, second, _ = printed()
    for line, name in ((first, NAMES[0]), (second, NAMES[1])):
        assert [cell.strip() for cell in line.split("│")[1:-1]] == [name, *NUMBERS, WORDS]
