"""Rows and rounds of annotation for tests."""

from __future__ import annotations

from pathlib import Path

from outgrow.annotate import Ledger, Session
from outgrow.labels import Rows


def some_rows(count: int = 6, checks: int = 0, choices: tuple[str, ...] = ("no", "yes")) -> Rows:
    """Rows named r0, r1, …; the first ones are checks whose answer is the second choice."""
    parts = tuple("gold" if row < checks else "unlabelled" for row in range(count))
    gold = tuple(1 if row < checks else None for row in range(count))
    return Rows(
        tuple(f"r{row}" for row in range(count)), tuple(f"text {row}" for row in range(count)), parts, gold, choices
    )  # type: ignore[arg-type]


def a_round(folder: Path, rows: Rows, *names: str, checks: float = 0.1) -> tuple[Session, Ledger, dict[str, str]]:
    ledger = Ledger(folder / "votes.sqlite", rows)
    tokens = ledger.add_annotators(names or ("ann", "ben"))
    return Session(rows, ledger, list(tokens), checks=checks), ledger, tokens
