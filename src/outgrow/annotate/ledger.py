"""What annotators did, event by event, in one SQLite file that a killed process does not damage."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from collections.abc import Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from outgrow.annotate.items import label_names
from outgrow.errors import ConfigError, DataError, StoreError
from outgrow.files import replacing, translate_os_errors
from outgrow.labels import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

Action = Literal["vote", "skip", "undo"]

_TABLES = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS annotators (name TEXT PRIMARY KEY, token TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS events (
    worker TEXT NOT NULL REFERENCES annotators (name), turn INTEGER NOT NULL, action TEXT NOT NULL, task TEXT NOT NULL,
    label TEXT, content TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (worker, turn)
);
"""
_CURRENT = """
SELECT task, worker, label FROM events JOIN
    (SELECT worker, task, MAX(turn) AS turn FROM events GROUP BY worker, task) USING (worker, task, turn)
WHERE action != 'undo' ORDER BY worker, turn
"""
_LONGEST_NAME = 100


class Event(NamedTuple):
    """One thing that an annotator did. Each worker's turns are 0, 1, 2 …: what is sent twice has the same turn."""

    worker: str
    turn: int
    action: Action
    task: str
    label: str | None = None
    """What a votes table calls the choice; None unless `action` is `vote`."""


class Ledger:
    """The SQLite file of a table's votes.

    An event is on disk (write-ahead log, `synchronous = FULL`) when `record` returns. Nothing is changed or deleted:
    taking back a vote is an event too.

    Args:
        path: The file; made if it is not there, readable by its owner only, since it holds the annotators' tokens.
        rows: The rows that the votes are about.

    Raises:
        DataError: The file holds votes on rows that have changed.
        StoreError: It is no SQLite file, or cannot be written.
    """

    def __init__(self, path: Path, rows: Rows) -> None:
        self.path, self._rows = path, rows
        self._place = {task: index for index, task in enumerate(rows.ids)}
        with translate_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
        with self._explained():
            # The session has one lock around everything that is done here.
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._connection.executescript(_TABLES)
        self._check_rows()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def add_annotators(self, names: Sequence[str]) -> dict[str, str]:
        """Add annotators that are new, and return the token of every one by name.

        Raises:
            ConfigError: A name is empty, longer than 100 characters, not printable, or there twice.
        """
        fit = [bool(name.strip()) and name.isprintable() and len(name) <= _LONGEST_NAME for name in names]
        if not all(fit) or len({*names}) < len(names):
            raise ConfigError(
                "Annotators need names.",
                found=", ".join(map(ascii, names))[:200],
                wanted=f"different names of 1 to {_LONGEST_NAME} printable characters",
            )
        with self._explained():
            new = [(name, secrets.token_urlsafe(24)) for name in names]
            self._connection.executemany("INSERT OR IGNORE INTO annotators VALUES (?, ?)", new)
            return dict(self._connection.execute("SELECT name, token FROM annotators ORDER BY rowid"))

    def record(self, event: Event) -> None:
        """Write an event; it is on disk when this returns.

        Raises:
            StoreError: It could not be written, as on a full disk.
        """
        content = _content(self._rows, self._place[event.task])
        with self._explained():
            self._connection.execute(
                "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*event, content, datetime.now(UTC).isoformat(timespec="seconds")),
            )

    def events(self) -> list[Event]:
        """Return all events, each worker's in order of turns."""
        with self._explained():
            found = self._connection.execute(
                "SELECT worker, turn, action, task, label FROM events ORDER BY worker, turn"
            )
            return [Event(*event) for event in found]

    def votes(self) -> pa.Table:
        """Return the votes that stand as `task, worker, label`; the label of a skipped row is null."""
        import pyarrow as pa

        with self._explained():
            lines = self._connection.execute(_CURRENT).fetchall()
        columns = zip(*lines, strict=True) if lines else ((), (), ())
        names = ("task", "worker", "label")
        return pa.table({name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)})

    def _check_rows(self) -> None:
        for task, label, content in self._connection.execute("SELECT DISTINCT task, label, content FROM events"):
            place = self._place.get(task)
            same = place is not None and content == _content(self._rows, place)
            if place is None or not same or (label is not None and label not in label_names(self._rows, place)):
                self.close()
                raise DataError(
                    f"{self.path} holds a vote on a row that has changed since.",
                    found=f"row {task!r}: " + ("not there" if place is None else "another text or other choices"),
                    wanted="the rows that were voted on, and perhaps further ones",
                    fix="Give the table as it was, or name another file with --output.",
                )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            said = str(error)
            fix = "Free some space." if "full" in said else "Name another file with --output."
            raise StoreError(f"{self.path} cannot be read or written: {said}.", fix=fix) from error


def write_votes(votes: pa.Table, path: Path) -> None:
    """Write `task, worker, label` for `votes: FILE` of an experiment and for `outgrow combine`.

    Args:
        votes: See `Ledger.votes`.
        path: A `.jsonl` file, or a `.csv` file where this can hold the votes: there a label `01` would be read as 1.

    Raises:
        DataError: The suffix is another one, or a csv file would be read as other votes.
        StoreError: The file cannot be written.
    """
    import json

    import pyarrow.csv

    from outgrow.tasks import read_records

    if path.suffix not in (".jsonl", ".csv"):
        raise DataError(f"Votes cannot be written to {path}.", found=path.suffix or "no suffix", wanted=".jsonl, .csv")
    with replacing(path) as temporary:
        if path.suffix == ".jsonl":
            lines = (json.dumps(vote, ensure_ascii=False) + "\n" for vote in votes.to_pylist())
            temporary.write_text("".join(lines), encoding="utf-8")
            return
        named = temporary.with_suffix(".csv")
        try:
            pyarrow.csv.write_csv(votes, named)
            read = read_records(str(named)).to_pylist() if len(votes) else []
            as_text = [{name: str(cell) if cell != "" else None for name, cell in line.items()} for line in read]
            if as_text != votes.to_pylist():
                fix = f"Write them to {path.with_suffix('.jsonl')}."
                raise DataError(f"A csv file would be read as other votes than these: {path}.", fix=fix)
            named.replace(temporary)
        finally:
            named.unlink(missing_ok=True)


def _content(rows: Rows, index: int) -> str:
    whole = "\0".join((rows.prompts[index], *rows.choices_of(index)))
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:16]
