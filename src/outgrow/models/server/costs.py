"""What served models have cost, for the artefacts of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from outgrow.models.server.usage import Prices, Usage


@dataclass(frozen=True)
class Cost:
    """What one served model has been asked for."""

    who: str
    """The model by what it does and its name, such as `the judge big-chat`."""
    usage: Usage
    """Requests and tokens."""
    prices: Prices | None = None
    """What tokens cost, if that is known."""
    notes: Sequence[str] = ()
    """What a reader should know of its server."""

    @property
    def money(self) -> float | None:
        """What it cost, in the currency of the prices; None where these are not known."""
        return self.prices.of(self.usage.prompt_tokens, self.usage.completion_tokens) if self.prices else None

    def to_json(self) -> dict[str, Any]:
        """Counts and money as plain values."""
        return {"who": self.who, **vars(self.usage), "money": self.money}


@dataclass
class Costs:
    """What the artefacts that a run uses have cost, whenever they were made; each counts once, whoever uses it.

    Example:
        >>> costs = Costs()
        >>> for artefact in ("a", "b", "a"):
        ...     costs.enter(artefact, Cost("the judge big", Usage(asked=5, prompt_tokens=70, completion_tokens=9)))
        >>> costs.lines()
        ['The judge big took 10 requests (0 more from the cache), 140 + 18 tokens.']
    """

    _entries: dict[str, Cost] = field(default_factory=dict)

    def enter(self, artefact: str, cost: Cost) -> None:
        """Says what an artefact has cost."""
        self._entries[artefact] = cost

    def totals(self) -> list[Cost]:
        """The cost of every served model, in the order in which they were first asked."""
        found: dict[str, Cost] = {}
        for one in self._entries.values():
            before = found.get(one.who, Cost(one.who, Usage(), one.prices))
            notes = tuple(dict.fromkeys((*before.notes, *one.notes)))
            found[one.who] = Cost(one.who, before.usage + one.usage, one.prices, notes)
        return list(found.values())

    def lines(self) -> list[str]:
        """All that a reader should know, in whole sentences: a line for each model, and what it all cost."""
        totals = self.totals()
        said = [f"{_capital(one.who)} took {one.usage.text(one.prices)}." for one in totals]
        money = [one.money for one in totals if one.money is not None]
        if len(money) > 1:
            said.append(f"All servers with prices together cost {sum(money):.4g}.")
        return [*dict.fromkeys(note for one in totals for note in one.notes), *said]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
