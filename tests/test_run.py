"""What a run makes, keeps, finds again and notes."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

from outgrow.files import write_text
from outgrow.identity import NOT_HASHED
from outgrow.labels import Note, Rows
from outgrow.run import Run
from outgrow.store import Store

ROWS = Rows(("a",), ("prompt",), ("test",), (None,))
UNKNOWN = {"loss": {"kind": "objective", "name": "secret", "params": {}, "revision": NOT_HASHED}}


def text(folder: Path) -> None:
    write_text(folder / "text", "made")


def refused(*arguments: Any) -> Any:
    raise AssertionError("made again")


def test_a_record_is_made_once_and_read_in_later_runs(tmp_path: Path) -> None:
    first = Run(Store(tmp_path)).stage("rows", {"count": 1}, lambda _: ROWS, Rows)
    again = Run(Store(tmp_path)).stage("rows", {"count": 1}, refused, Rows)
    assert first == again == ROWS
    assert Run(Store(tmp_path)).stage("rows", {"count": 2}, lambda _: ROWS.take([]), Rows) != ROWS


def test_what_fails_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        Run(Store(tmp_path)).stage("rows", {}, refused, Rows)
    assert Store(tmp_path).find("rows", {}) is None


def test_code_that_cannot_be_hashed_and_what_depends_on_it_are_kept_for_one_run_only(tmp_path: Path) -> None:
    keys = []
    for _ in range(2):
        run = Run(Store(tmp_path))
        student = run.stage("student", UNKNOWN, text)
        assert run.stage("student", UNKNOWN, refused).path == student.path
        logits = run.stage("logits", {"student": student.key}, text)
        assert run.stage("logits", {"student": student.key}, refused).path == logits.path
        assert run.notes == [Note("store.not_kept", who="secret")]
        keys.append(student.key)
    assert keys[0] != keys[1]
    assert not tmp_path.is_dir() or not list(tmp_path.iterdir())


def test_the_folder_of_what_is_not_kept_goes_with_the_run(tmp_path: Path) -> None:
    run = Run(Store(tmp_path))
    path = run.stage("student", UNKNOWN, text).path
    assert path.is_dir()
    del run
    gc.collect()
    assert not path.exists()


def test_a_dry_run_reads_what_is_there_makes_up_the_rest_and_writes_nothing(tmp_path: Path) -> None:
    Run(Store(tmp_path)).stage("rows", {"count": 1}, lambda _: ROWS, Rows)
    before = sorted(tmp_path.rglob("*"))
    run = Run(Store(tmp_path), dry=True)
    assert run.stage("rows", {"count": 1}, refused, Rows, blank=refused) == ROWS
    made_up = run.stage("rows", {"count": 0}, refused, Rows, blank=lambda _: ROWS.take([]))
    assert not len(made_up)
    assert (run.stage("student", {}, refused).path / "model" / "config.json").is_file()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_note_is_added_once(tmp_path: Path) -> None:
    run = Run(Store(tmp_path))
    for seed in (0, 1, 0):
        run.note("rows.without_vote", "caution", seed=seed, left_out=1, rows=2)
    run.add(run.notes[0], Note("ceiling.none"))
    assert [(note.code, note.seed) for note in run.notes] == [
        ("rows.without_vote", 0),
        ("rows.without_vote", 1),
        ("ceiling.none", None),
    ]
