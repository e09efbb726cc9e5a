"""People as supervisors: a small local page that asks them about rows and keeps their votes."""

from __future__ import annotations

from outgrow.annotate.items import read_items
from outgrow.annotate.ledger import Event, Ledger, write_votes
from outgrow.annotate.session import Session

__all__ = ["Event", "Ledger", "Session", "read_items", "write_votes"]
