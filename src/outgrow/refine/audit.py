"""Whether a refinement is worth training on: what changed and what broke, counted before anything is trained."""

from __future__ import annotations

import dataclasses
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from outgrow.labels import Note, Severity
from outgrow.refine.voting import answer_of
from outgrow.refine.wording import Wording

UNCHANGED = 0.98
"""From this share of equal answers on, a refinement has changed nothing."""
BROKEN = 0.5
"""From this share of empty, refusing or equal answers on, a refinement has broken down."""
KEPT = 0.9
"""Below this share of answers worded like the supervisors' a refinement loses their style; a warning below half."""

Scores = Mapping[str, Mapping[str, NDArray[np.float64]]]
"""Metric → who (`weak`, `base`, `refined`) → scores, shape (n,)."""
A = TypeVar("A", bound="Audit")
Reason = tuple[Severity, str, dict[str, Any]]
"""Severity, code and values of a note."""

_REFUSAL = re.compile(
    r"^\W*(i('|’)?m (very |so )?sorry|i am sorry|sorry,|i (can ?not|can('|’)?t|won('|’)?t|am not able|am unable"
    r"|('|’)m not able|('|’)m unable)\b|as an? (ai|large language|language)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Audit(ABC):
    """A refinement of N rows in numbers; shares are between 0 and 1.

    On a sample of the rows it is compared with the untrained strong model (`base`).
    """

    unit: ClassVar[str]
    """What is refined, for notes: `answers` or `labels`."""
    compared_with: ClassVar[tuple[str, ...]]
    """Whose scores refined ones should not be below: `weak`, `base`."""

    rows: int
    """Rows with a refined answer."""
    as_weak: float
    """Share whose answer equals a weak one."""
    agreement: float
    """Mean share of the draws that gave the chosen answer; 1 with one draw."""
    sample: int = 0
    """Rows of the sample."""
    as_base: float = float("nan")
    """Share of the sample whose answer equals that of the base; NaN without base."""
    weak_as_base: float = float("nan")
    """The same for the weak answers."""
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """On the sample: metric → who (`weak`, `base`, `refined`) → mean; empty without gold answers."""
    lower: tuple[str, ...] = ()
    """Metrics whose refined scores are lower by more than two standard errors of the difference."""

    def notes(self, method: str, seed: int) -> list[Note]:
        """Return warnings against training on this refinement; none where all is well."""
        lower: list[Reason] = [
            (
                "warning",
                "refine.lower",
                {"unit": self.unit, "metric": metric, "rows": self.sample, **self._means(metric)},
            )
            for metric in self.lower
        ]
        found = [*self._unchanged(), *self._broken()] or self._doubts()
        return [Note(code, severity, method, seed, values) for severity, code, values in [*found, *lower]]

    def to_json(self, method: str, seed: int) -> dict[str, Any]:
        """Return all numbers and `warnings`, the notes, as plain values."""
        warnings = [note.to_json() for note in self.notes(method, seed)]
        return {"method": method, "seed": seed, **dataclasses.asdict(self), "warnings": warnings}

    def _scored(self: A, scores: Scores) -> A:
        """Add scores of the sample."""
        means = {metric: {name: float(own.mean()) for name, own in who.items()} for metric, who in scores.items()}
        lower = [
            metric
            for metric, who in scores.items()
            if all(_below(who["refined"] - who[other]) for other in self.compared_with if other in who)
        ]
        return dataclasses.replace(self, scores=means, lower=tuple(lower))

    def _means(self, metric: str) -> dict[str, float]:
        return {who: self.scores[metric][who] for who in ("refined", *self.compared_with) if who in self.scores[metric]}

    def _unchanged(self) -> list[Reason]:
        if self.as_weak >= UNCHANGED:
            return [("warning", "refine.unchanged", {"unit": self.unit, "share": self.as_weak, **self._drift()})]
        if self.as_base >= UNCHANGED > self.weak_as_base:
            return [("warning", "refine.no_effect", {"unit": self.unit, "share": self.as_base})]
        return []

    def _drift(self) -> dict[str, Any]:
        return {}

    def _doubts(self) -> list[Reason]:
        return []

    @abstractmethod
    def _broken(self) -> list[Reason]: ...


@dataclass(frozen=True, kw_only=True)
class TextAudit(Audit):
    """A refinement of texts in numbers. Answers are equal up to case and punctuation."""

    unit: ClassVar[str] = "answers"
    compared_with: ClassVar[tuple[str, ...]] = ("weak", "base")

    length: float
    """Median number of words, divided by that of the weak texts; NaN where either is 0."""
    silent: float
    """Share of missing or empty answers."""
    refusals: float
    """Share that begins like a refusal."""
    copied: float
    """Share that repeats its question."""
    commonest: float
    """Share of the commonest answer, minus its share among the weak texts."""
    known: tuple[str, ...] = ()
    """Metrics whose scores of the base are above the weak ones by more than two standard errors of the difference."""
    not_adopted: float = float("nan")
    """Share of the sample whose score of the concept is below half of the best weak one."""
    wording: Wording | None = None
    """Whose wording the refined answers of the sample have, without ratings."""
    concepts: tuple[tuple[str, int], ...] = ()
    """The commonest inferred concepts and their number of rows, three at most."""

    @classmethod
    def of(
        cls,
        prompts: Sequence[str],
        weak: Sequence[Sequence[str]],
        refined: Sequence[str | None],
        *,
        agreement: Sequence[float] = (),
        concepts: Sequence[str] = (),
    ) -> TextAudit:
        """Audit a refinement of N rows.

        Args:
            prompts: The rows' prompts.
            weak: The supervisors' texts for each row.
            refined: The strong model's texts; None where there is none.
            agreement: For each row the share of draws that gave the answer; NaN where there is none.
            concepts: The concept behind each row's answer, where concepts were inferred.

        Example:
            >>> found = TextAudit.of(["1 + 1?", "2 + 2?"], [["Arr, 2!"], ["Arr, 5!"]], ["Arr, 2!", "I cannot say."])
            >>> found.as_weak, found.refusals
            (0.5, 0.5)
        """
        answers = ["" if text is None else text for text in refined]
        keys, weak_keys = [answer_of(one) for one in answers], [[answer_of(one) for one in own] for own in weak]
        asked = [answer_of(prompt) for prompt in prompts]
        known = [one for one in agreement if not np.isnan(one)]
        return cls(
            rows=len(answers),
            as_weak=_share([key in own for key, own in zip(keys, weak_keys, strict=True)]),
            agreement=float(np.mean(known)) if known else 1.0,
            length=_median_words(answers) / (_median_words([text for own in weak for text in own]) or np.nan),
            silent=_share([not key for key in keys]),
            refusals=_share([refuses(text) for text in answers]),
            copied=_share([bool(key) and question in key for key, question in zip(keys, asked, strict=True)]),
            commonest=max(0.0, _commonest(keys) - _commonest([key for own in weak_keys for key in own])),
            concepts=tuple(Counter(one for one in concepts if one).most_common(3)),
        )

    def compared(
        self,
        weak: Sequence[Sequence[str]],
        base: Sequence[str] | None,
        refined: Sequence[str | None],
        scores: Scores,
        wording: Wording | None = None,
    ) -> TextAudit:
        """Add the comparison on a sample of n rows, with the base where it is known; `scores` may be empty."""
        concept, not_adopted = scores.get("concept"), float("nan")
        if concept is not None and float(concept["weak"].max()) > 0:
            not_adopted = _share((concept["refined"] < concept["weak"].max() / 2).tolist())
        found = dataclasses.replace(self, sample=len(refined), not_adopted=not_adopted, wording=wording)
        if base is None:
            return found._scored(scores)
        keys, base_keys = [answer_of(one or "") for one in refined], [answer_of(one) for one in base]
        weak_keys = [[answer_of(text) for text in own] for own in weak]
        return dataclasses.replace(
            found,
            as_base=_share([one == other for one, other in zip(keys, base_keys, strict=True)]),
            weak_as_base=_share([other in own for own, other in zip(weak_keys, base_keys, strict=True)]),
            known=tuple(metric for metric, who in scores.items() if _below(who["weak"] - who["base"])),
        )._scored(scores)

    def _broken(self) -> list[Reason]:
        shares = {"empty": self.silent, "refusing": self.refusals, "copied": self.copied, "equal": self.commonest}
        broken = {what: share for what, share in shares.items() if share >= BROKEN}
        found: list[Reason] = [("warning", "refine.broken", broken)] if broken else []
        if self.not_adopted >= BROKEN:
            found.append(("warning", "refine.not_adopted", {"share": self.not_adopted}))
        return found

    def _doubts(self) -> list[Reason]:
        return [*self._reworded(), *self._ignorant()]

    def _reworded(self) -> list[Reason]:
        worded = self.wording
        # Ratings of the concept know better. Comparisons with NaN are false.
        if worded is None or not np.isnan(self.not_adopted) or not worded.high < KEPT:
            return []
        return [("warning" if worded.high < BROKEN else "caution", "refine.reworded", dataclasses.asdict(worded))]

    def _ignorant(self) -> list[Reason]:
        means = {
            metric: (who["base"], who["weak"])
            for metric, who in self.scores.items()
            if metric != "concept" and "base" in who
        }
        if self.known or not means:
            return []
        return [("caution", "refine.nothing_known", {"scores": means, "rows": self.sample})]


def refuses(text: str) -> bool:
    """Return whether an answer begins like a refusal.

    Example:
        >>> refuses("I'm sorry, but as an AI …"), refuses("I can see a ship.")
        (True, False)
    """
    return bool(_REFUSAL.match(text))


def _below(differences: NDArray[np.float64]) -> bool:
    """Whether a mean is below zero by more than two standard errors."""
    count = len(differences)
    return count > 1 and bool(differences.mean() + 2 * differences.std(ddof=1) / np.sqrt(count) < 0)


def _share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits) if hits else 0.0


def _commonest(keys: Sequence[str]) -> float:
    return Counter(keys).most_common(1)[0][1] / len(keys) if keys else 0.0


def _median_words(texts: Sequence[str]) -> float:
    return float(np.median([len(text.split()) for text in texts])) if texts else 0.0
