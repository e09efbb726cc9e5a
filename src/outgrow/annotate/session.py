"""A round of annotation: what each annotator sees, and what becomes of an answer."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np

from outgrow.annotate.choosing import Chooser
from outgrow.annotate.items import label_names
from outgrow.annotate.ledger import Action, Event, Ledger
from outgrow.errors import ConfigError, OutgrowError
from outgrow.labels import Rows


class StaleTurnError(OutgrowError):
    """Something else was done on this turn, so the answer was not kept."""


@dataclass
class _Worker:
    events: list[Event] = field(default_factory=list)
    last: dict[int, Action] = field(default_factory=dict)
    """The rows answered or skipped, and not taken back; the latest last."""
    current: int | None = None
    """The row that is shown; None before the first one, and at the end."""


class Session:
    """Annotators who vote on rows, one at a time. May be used by several threads.

    Args:
        rows: See `read_items`. Rows of the gold and validation parts with a gold answer are checks.
        ledger: Where events are kept; those that are there are gone through first.
        annotators: Names of all of them.
        checks: Share of a worker's questions that are checks, as far as there are so many.
        question: A line above every row.
    """

    def __init__(
        self, rows: Rows, ledger: Ledger, annotators: list[str], *, checks: float = 0.1, question: str = ""
    ) -> None:
        if not 0 <= checks < 1:
            raise ConfigError("The share of checks is a number from 0 to 1.", found=checks)
        self._rows, self._ledger, self._question = rows, ledger, question
        self._place = {task: index for index, task in enumerate(rows.ids)}
        kinds = zip(rows.parts, rows.gold, strict=True)
        self._is_check = np.array([part in ("gold", "validation") and gold is not None for part, gold in kinds])
        self._checks = min(int(self._is_check.sum()), round(checks / (1 - checks) * (~self._is_check).sum()))
        """Checks that each worker is asked."""
        gold = [answer if check else -1 for answer, check in zip(rows.gold, self._is_check, strict=True)]
        self._chooser = Chooser(np.array(gold, dtype=np.int64), len(rows.choices or ()))
        self._workers = {name: _Worker() for name in annotators}
        self._lock = Lock()
        for event in ledger.events():
            self._apply(event)

    def state(self, worker: str) -> dict[str, Any]:
        """Return what the page shows: the row with its choices, and the progress. Does not tell checks from others."""
        with self._lock:
            return self._state(worker)

    def act(self, worker: str, turn: int, action: Action, task: str, choice: int | None = None) -> dict[str, Any]:
        """Keep an answer, and return what to show next. The same answer again, for a turn that it has, changes nothing.

        Args:
            worker: Who acts.
            turn: The turn of the page that was shown.
            action: `vote`, `skip`, or `undo`: take back the last answer.
            task: Id of the row that was shown; for `undo` not used.
            choice: Index of the choice of a vote.

        Raises:
            StaleTurnError: The turn has another answer already: the link is open elsewhere.
            ConfigError: There is no such row or choice, the row was answered before, or there is nothing to undo.
            StoreError: The answer could not be written.
        """
        with self._lock:
            own = self._workers[worker]
            if turn > len(own.events):
                raise StaleTurnError("This page is from another round of annotation.", fix="Load it again.")
            kept = own.events[turn] if turn < len(own.events) else None
            if kept is None:
                event = self._event(worker, turn, action, task, choice)
                self._ledger.record(event)
                self._apply(event)
            elif action != kept.action or (action != "undo" and kept != self._answer(worker, turn, task, choice)):
                fix = "Use every link in one window only."
                raise StaleTurnError("This row was answered in another window, and that answer counts.", fix=fix)
            return self._state(worker)

    def progress(self) -> list[dict[str, Any]]:
        """Return for each annotator the numbers of votes, skipped rows, checks answered, and checks that were right."""
        with self._lock:
            checks = self._chooser.checks()
            return [
                {
                    "annotator": name,
                    "votes": list(own.last.values()).count("vote"),
                    "skipped": list(own.last.values()).count("skip"),
                    "checks": checks.get(name, (0, 0))[1],
                    "right": checks.get(name, (0, 0))[0],
                }
                for name, own in self._workers.items()
            ]

    def _event(self, worker: str, turn: int, action: Action, task: str, choice: int | None) -> Event:
        own = self._workers[worker]
        if action == "undo":
            if not own.last:
                raise ConfigError("There is no answer to take back.")
            return Event(worker, turn, "undo", self._rows.ids[next(reversed(own.last))])
        if task not in self._place:
            raise ConfigError("There is no such row.", found=ascii(task)[:80])
        if self._place[task] in own.last:
            raise ConfigError("This row was answered before.", found=task, fix="Load the page again.")
        return self._answer(worker, turn, task, choice)

    def _answer(self, worker: str, turn: int, task: str, choice: int | None) -> Event:
        if choice is None:
            return Event(worker, turn, "skip", task)
        if task not in self._place or not 0 <= choice < len(self._rows.choices or ()):
            raise ConfigError("There is no such row or choice.", found=f"{ascii(task)[:80]}, choice {choice}")
        return Event(worker, turn, "vote", task, label_names(self._rows, self._place[task])[choice])

    def _apply(self, event: Event) -> None:
        own, row = self._workers[event.worker], self._place[event.task]
        own.events.append(event)
        if event.action == "undo":
            if own.last.pop(row) == "vote":
                self._chooser.withdraw(event.worker, row)
            own.current = row
            return
        own.last[row], own.current = event.action, None
        if event.action == "vote" and event.label is not None:
            self._chooser.vote(event.worker, row, label_names(self._rows, row).index(event.label))

    def _state(self, worker: str) -> dict[str, Any]:
        own = self._workers[worker]
        new = np.ones(len(self._rows), dtype=bool)
        new[list(own.last)] = False
        rows = int((new & ~self._is_check).sum())
        checks = max(0, self._checks - int((~new & self._is_check).sum()))
        if own.current is None:
            # Checks are spread over all that is left, and counted with it, so that nothing tells them apart.
            drawn = np.random.default_rng([zlib.crc32(worker.encode()), len(own.events)]).random()
            asks_check = drawn * (rows + checks) < checks
            others = {each.current for each in self._workers.values() if each.current is not None and each is not own}
            among = new & (self._is_check == asks_check)
            own.current = self._chooser.next(among, others, worker=worker, turn=len(own.events))
        shown = own.current
        return {
            "worker": worker,
            "question": self._question,
            "turn": len(own.events),
            "answered": len(own.last),
            "left": rows + checks,
            "undo": bool(own.last),
            "item": None
            if shown is None
            else {
                "task": self._rows.ids[shown],
                "text": self._rows.prompts[shown],
                "choices": self._rows.choices_of(shown),
            },
        }
