"""Cache of server replies in one SQLite file, with a log of failures."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from outgrow.errors import StoreError

_TABLES = """
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, body TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failures (key TEXT NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL);
"""
_LATER = {"owner": "TEXT", "digest": "TEXT"}
"""Columns that files of older versions lack: the artefact that an answer was asked for, and a hash of key and body."""
_AT_ONCE = 500
"""Keys in one query: below the limit on variables of every SQLite version."""


class ResponseCache:
    """Reply bodies by key, shared by any number of processes; a context manager, for one thread at a time.

    Write-ahead logging: a reply survives a killed process as soon as `put` returns, and readers never wait. The SQLite
    file is made if it does not exist.

    Example:
        >>> import tempfile
        >>> with ResponseCache(Path(tempfile.mkdtemp()) / "responses.sqlite") as cache:
        ...     cache.put("a", "{}")
        ...     cache.get(["a", "b"])
        {'a': '{}'}
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=60.0, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
            self._connection.executescript(_TABLES)
            known = {about[1] for about in self._connection.execute("PRAGMA table_info(answers)")}
            for name in _LATER.keys() - known:
                with suppress(sqlite3.OperationalError):  # another process has just added it
                    self._connection.execute(f"ALTER TABLE answers ADD COLUMN {name} {_LATER[name]}")

    def __enter__(self) -> ResponseCache:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def get(self, keys: Sequence[str]) -> dict[str, str]:
        """Return the bodies of the replies that are cached; damaged ones are forgotten."""
        found: dict[str, str] = {}
        for key, body, digest in self._select("key, body, digest", keys):
            if _is_whole(key, body, digest):
                found[key] = body
        self.forget([key for (key,) in self._select("key", keys) if key not in found])
        return found

    def owned(self, keys: Sequence[str], owner: str) -> set[str]:
        """Return the keys whose replies were asked for an artefact."""
        return {key for key, own in self._select("key, owner", keys) if own == owner}

    def put(self, key: str, body: str, owner: str | None = None) -> None:
        """Cache a reply, asked for an artefact, unless there is one already."""
        with self._translated():
            row = (key, body, time.time(), owner, _digest(key, body))
            columns = "key, body, at, owner, digest"
            self._connection.execute(f"INSERT OR IGNORE INTO answers ({columns}) VALUES (?, ?, ?, ?, ?)", row)

    def forget(self, keys: Sequence[str]) -> None:
        """Delete replies that cannot be used, so that they are asked for again."""
        with self._translated():
            self._connection.executemany("DELETE FROM answers WHERE key = ?", [(key,) for key in keys])

    def damage(self) -> Iterator[str]:
        """Yield what is damaged, a line for each."""
        with self._translated():
            for (said,) in self._connection.execute("PRAGMA quick_check"):
                if said != "ok":
                    yield f"{self.path} is damaged: {said}"
            for key, body, digest in self._connection.execute("SELECT key, body, digest FROM answers"):
                if not _is_whole(key, body, digest):
                    yield f"{self.path} is damaged: the answer {key}"

    def _select(self, columns: str, keys: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        with self._translated():
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                marks = ", ".join("?" * len(some))
                query = f"SELECT {columns} FROM answers WHERE key IN ({marks})"
                yield from self._connection.execute(query, some).fetchall()

    def fail(self, key: str, reason: str) -> None:
        """Log that a request failed for good, and why; it is sent again the next time."""
        with self._translated():
            self._connection.execute("INSERT INTO failures VALUES (?, ?, ?)", (key, reason, time.time()))

    def failures(self) -> list[tuple[str, str]]:
        """Return keys and reasons of all logged failures, oldest first."""
        with self._translated():
            return list(self._connection.execute("SELECT key, reason FROM failures ORDER BY at"))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"Answers cannot be kept in {self.path}: {error}.",
                fix="Free some space, give yourself write permission, or, if the file is damaged, move it away.",
            ) from error


def _digest(key: str, body: str) -> str:
    return hashlib.sha256(f"{key}\0{body}".encode()).hexdigest()[:32]


def _is_whole(key: object, body: object, digest: object) -> bool:
    if not isinstance(key, str) or not isinstance(body, str):
        return False
    try:
        own = _digest(key, body)
    except UnicodeEncodeError:  # bytes that are no UTF-8
        return False
    return digest is None or digest == own
