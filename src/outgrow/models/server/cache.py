"""Cache of server replies in one SQLite file, with a log of failures."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from outgrow.errors import StoreError

_TABLES = """
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, body TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failures (key TEXT NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL);
"""
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
            self._connection.executescript(_TABLES)

    def __enter__(self) -> ResponseCache:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def get(self, keys: Sequence[str]) -> dict[str, str]:
        """Return the bodies of the replies that are cached."""
        found: dict[str, str] = {}
        with self._translated():
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                marks = ", ".join("?" * len(some))
                found.update(self._connection.execute(f"SELECT key, body FROM answers WHERE key IN ({marks})", some))
        return found

    def put(self, key: str, body: str) -> None:
        """Cache a reply, unless there is one already."""
        with self._translated():
            self._connection.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?)", (key, body, time.time()))

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
