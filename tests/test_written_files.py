"""Files that are written: whole, without left-overs, and harmless in a spreadsheet."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.errors import OutgrowError, StoreError, visible
from outgrow.files import for_spreadsheets, from_spreadsheets, replacing, translate_os_errors, write_text
from outgrow.progress import PlainReporter


@given(st.lists(st.text(alphabet="=+-@'1.e\ta ", max_size=5) | st.none(), max_size=8))
def test_no_cell_is_a_formula_and_every_text_comes_back(texts: list[str | None]) -> None:
    table = pa.table({"answer": pa.array(texts, pa.string())})
    safe = for_spreadsheets(table)
    assert from_spreadsheets(safe) == table
    for text in safe["answer"].to_pylist():
        if text and text[0] in "=+-@\t":
            float(text)


def test_what_a_killed_process_left_beside_a_file_is_deleted_by_the_next_that_writes_it(tmp_path: Path) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    left = tmp_path / f".out.csv.{dead.stdout.strip()}.tmp"
    others = [tmp_path / f".out.csv.{os.getppid()}.tmp", tmp_path / ".other.csv.1.tmp", tmp_path / ".out.csv.x.tmp"]
    for path in (left, *others):
        path.touch()
    write_text(tmp_path / "out.csv", "a")
    assert not left.exists()
    assert all(path.exists() for path in others)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EFBIG, "x"), "ulimit"),
        (OSError(errno.EISDIR, "x"), "A folder lies"),
        (OSError(errno.ENAMETOOLONG, "x"), "shorter name"),
        (OSError(errno.EIO, "x"), "check it"),
    ],
)
def test_further_trouble_of_the_disk_is_said_with_a_way_out(tmp_path: Path, error: OSError, said: str) -> None:
    with pytest.raises(StoreError, match=said), translate_os_errors(tmp_path):
        raise error


def test_a_folder_where_a_file_should_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(StoreError, match="A folder lies"):
        write_text(tmp_path / "a.txt", "x")
    with pytest.raises(StoreError, match="shorter name"), replacing(tmp_path / ("x" * 300)) as temporary:
        temporary.touch()


def test_nothing_from_elsewhere_moves_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    odd = "ann\x1b[2J\x1b]0;title\x07\r\u202e"
    assert visible(odd).isprintable()
    assert visible("a\tb\nc é 😀") == "a\tb\nc é 😀"
    assert "\x1b" not in str(OutgrowError("what", found=odd))
    PlainReporter().note(odd)
    assert "\x1b" not in capsys.readouterr().err
