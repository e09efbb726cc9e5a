from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest
from rounds import some_rows

from outgrow.annotate import Event, Ledger, write_votes
from outgrow.errors import ConfigError, DataError, StoreError
from outgrow.tasks import read_records


def ledger_with(folder: Path, *events: Event, rows: object = None) -> Ledger:
    ledger = Ledger(folder / "votes.sqlite", rows or some_rows())  # type: ignore[arg-type]
    ledger.add_annotators(["ann", "ben"])
    for event in events:
        ledger.record(event)
    return ledger


def test_events_come_back_when_the_file_is_opened_again(tmp_path: Path) -> None:
    events = [Event("ann", 0, "vote", "r1", "yes"), Event("ann", 1, "undo", "r1"), Event("ben", 0, "skip", "r2")]
    ledger_with(tmp_path, *events).close()
    assert ledger_with(tmp_path).events() == events


def test_tokens_are_long_and_stay_and_only_the_owner_can_read_them(tmp_path: Path) -> None:
    first = ledger_with(tmp_path).add_annotators([])
    again = ledger_with(tmp_path).add_annotators(["ann", "cem"])
    assert {name: again[name] for name in first} == first
    assert len({*again.values()}) == 3
    assert min(map(len, again.values())) >= 32
    assert stat.S_IMODE((tmp_path / "votes.sqlite").stat().st_mode) == 0o600


def test_votes_are_the_last_answers_that_were_not_taken_back(tmp_path: Path) -> None:
    told = [("vote", "r1", "yes"), ("undo", "r1", None), ("vote", "r1", "no"), ("skip", "r2", None),
            ("vote", "r3", "yes"), ("undo", "r3", None)]  # fmt: skip
    events = [Event("ann", turn, *own) for turn, own in enumerate(told)]  # type: ignore[arg-type]
    votes = ledger_with(tmp_path, *events).votes().to_pylist()
    assert votes == [{"task": "r1", "worker": "ann", "label": "no"}, {"task": "r2", "worker": "ann", "label": None}]


@pytest.mark.parametrize("names", [["ann", "ann"], [""], ["a" * 101], ["a\nb"], ["\udcff"]])
def test_names_that_are_none_are_refused(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(ConfigError, match="Annotators need names"):
        ledger_with(tmp_path).add_annotators(names)


def test_votes_on_rows_that_have_changed_are_not_mixed_with_new_ones(tmp_path: Path) -> None:
    rows = some_rows()
    ledger_with(tmp_path, Event("ann", 0, "vote", "r1", "yes")).close()
    changed = replace(rows, prompts=("text 0", "another text", *rows.prompts[2:]))
    with pytest.raises(DataError, match="a row that has changed"):
        ledger_with(tmp_path, rows=changed)
    with pytest.raises(DataError, match="other choices"):
        ledger_with(tmp_path, rows=replace(rows, choices=("no", "maybe")))
    ledger_with(tmp_path, rows=some_rows(9))  # further rows are no change


def test_a_full_disk_keeps_what_is_there_and_refuses_the_rest(tmp_path: Path) -> None:
    ledger = ledger_with(tmp_path, Event("ann", 0, "vote", "r1", "yes"))
    ledger._connection.execute("PRAGMA max_page_count = 1")  # SQLite's own error of a full disk
    ledger.record(Event("ann", 1, "skip", "r2"))  # in a page that the file has
    with pytest.raises(StoreError, match=r"full\.\n  next:   Free some space"):
        ledger.record(Event("ann", 2, "vote", "r3", "yes" * 10_000))
    ledger.close()
    assert len(ledger_with(tmp_path).events()) == 2


def test_a_file_that_is_none_of_sqlite_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "votes.sqlite").write_text("task,worker,label\n" * 100)
    with pytest.raises(StoreError, match="not a database"):
        ledger_with(tmp_path)
    assert (tmp_path / "votes.sqlite").read_text().startswith("task")


@pytest.mark.parametrize("name", ["votes.jsonl", "votes.csv"])
def test_votes_are_written_as_a_table_that_votes_are_read_from(tmp_path: Path, name: str) -> None:
    hostile = '=1+1,"\n<script>'
    rows = some_rows(choices=("no", hostile))
    ledger = ledger_with(tmp_path, Event("ann", 0, "vote", "r1", hostile), Event("ben", 0, "skip", "r1"), rows=rows)
    write_votes(ledger.votes(), tmp_path / name)
    read = read_records(str(tmp_path / name)).to_pylist()
    assert [{key: cell or None for key, cell in line.items()} for line in read] == ledger.votes().to_pylist()


def test_labels_that_a_csv_file_would_change_are_not_written_to_one(tmp_path: Path) -> None:
    ledger = ledger_with(tmp_path, Event("ann", 0, "vote", "r1", "01"), rows=some_rows(choices=("01", "NA")))
    with pytest.raises(DataError, match=r"votes\.jsonl"):
        write_votes(ledger.votes(), tmp_path / "votes.csv")
    assert not list(tmp_path.glob("*.csv"))
    with pytest.raises(DataError, match=r"\.jsonl, \.csv"):
        write_votes(ledger.votes(), tmp_path / "votes.txt")
