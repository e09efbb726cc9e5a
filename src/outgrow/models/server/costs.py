"""What served models have cost, for the artefacts of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from outgrow.labels import Note
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
        usage = self.usage
        tokens = usage.prompt_tokens, usage.completion_tokens, usage.trained_tokens
        return self.prices.of(*tokens) if self.prices else None

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
        >>> costs.notes()[0].values["usage"]
        '10 requests (0 more from the cache), 140 + 18 tokens'
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

    def notes(self) -> list[Note]:
        """Return a note for each model, for what a reader should know of its server, and for the sum."""
        totals = self.totals()
        found = [Note("message", "caution", values={"text": note}) for one in totals for note in one.notes]
        for one in totals:
            found.append(Note("cost.model", who=one.who, values={"usage": one.usage.text(one.prices)}))
        money = [one.money for one in totals if one.money is not None]
        return found + [Note("cost.all", values={"money": f"{sum(money):.4g}"})] * (len(money) > 1)


def planned_costs(planned: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """Return the cost of what dry runs of servers counted, a line for each, and of all with prices together.

    Args:
        planned: Role and name → the model's spec (with `prices`) and its `DryRunServer`.
    """
    found, money = [], []
    for who, (spec, counted) in planned.items():
        estimate = counted.estimate
        found.append(f"{who}: {estimate.text(spec.prices)}")
        if spec.prices is not None:
            tokens = estimate.prompt_tokens, estimate.completion_tokens, estimate.trained_tokens
            money.append(spec.prices.of(*tokens))
    return [*found, f"all servers with prices together: at most about {sum(money):.4g}"] if money[1:] else found
