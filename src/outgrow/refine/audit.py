"""Is a refinement worth training on? What changed, what was kept and what broke, said before hours are spent.

Everything here is counted from texts, without a model; what is compared with the base is counted on a sample.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outgrow.evaluate.wording import number_text, share_text
from outgrow.refine.voting import answer_of

UNCHANGED = 0.98
"""From this share of equal answers on, a refinement has changed nothing."""
BROKEN = 0.5
"""From this share of empty, refusing or one and the same answer on, a refinement has broken down."""

_REFUSAL = re.compile(
    r"^\W*(i('|’)?m (very |so )?sorry|i am sorry|sorry,|i (can ?not|can('|’)?t|won('|’)?t|am not able|am unable"
    r"|('|’)m not able|('|’)m unable)\b|as an? (ai|large language|language)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Audit:
    """A refinement of N rows in numbers; shares are between 0 and 1."""

    rows: int
    """Rows that were labelled again."""
    as_weak: float
    """Share whose answer is that of a supervisor, up to case and punctuation."""
    length: float
    """Median number of words, divided by that of the weak texts; NaN where either is 0."""
    silent: float
    """Share without an answer, or with an empty one."""
    refusals: float
    """Share that begins like a refusal."""
    copied: float
    """Share that says its question back."""
    commonest: float
    """Share of the commonest answer, beyond its share among the weak texts."""
    agreement: float
    """Mean share of the draws that gave the chosen answer; 1 with one draw."""
    sample: int = 0
    """Rows that were compared with the base."""
    as_base: float = float("nan")
    """Share of these whose answer is that of the untouched strong model; NaN where it was not asked."""
    weak_as_base: float = float("nan")
    """The same for the supervisors' answers."""
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """On the sample: metric → who (`weak`, `base`, `refined`) → mean."""
    lower: tuple[str, ...] = ()
    """Metrics on which refined answers are worse than both, by more than two standard errors of the difference."""
    not_adopted: float = float("nan")
    """Share of the sample whose concept is below half of what the best of the supervisors' texts reach."""
    concepts: tuple[tuple[str, int], ...] = ()
    """The inferred sentences that most rows were answered under, and how many rows, three at most."""

    def warnings(self) -> list[str]:
        """What should keep a user from training on this, in whole sentences; nothing where all is well."""
        found = []
        if self.as_weak >= UNCHANGED:
            found.append(f"refinement changes nothing: {share_text(self.as_weak)} of its answers are the weak ones.")
        elif self.as_base >= UNCHANGED > self.weak_as_base:
            shown = share_text(self.as_base)
            found.append(f"refinement has no effect: {shown} of its answers are those of the untouched strong model.")
        broken = [
            f"{share_text(share)} {what}"
            for share, what in (
                (self.silent, "are empty"),
                (self.refusals, "refuse"),
                (self.copied, "repeat the question"),
                (self.commonest, "(more than of the weak texts) are one and the same"),
            )
            if share >= BROKEN
        ]
        if broken:
            found.append(f"refinement breaks down: of its answers {', '.join(broken)}.")
        for metric in self.lower:
            weak, base, refined = (number_text(self.scores[metric][who]) for who in ("weak", "base", "refined"))
            means = f"{refined}, against {weak} and {base}"
            found.append(f"refined answers have a lower {metric} than the weak ones and than the base: {means}.")
        if self.not_adopted >= BROKEN:
            found.append(f"{share_text(self.not_adopted)} of the refined answers did not adopt the concept.")
        return found

    def to_json(self) -> dict[str, Any]:
        """All numbers as plain values."""
        about = {key: value for key, value in vars(self).items() if key not in ("scores", "concepts")}
        scores = {metric: dict(who) for metric, who in self.scores.items()}
        return {
            **about,
            "scores": scores,
            "concepts": [list(pair) for pair in self.concepts],
            "warnings": self.warnings(),
        }


def refuses(text: str) -> bool:
    """Whether an answer begins like a refusal.

    Example:
        >>> refuses("I'm sorry, but as an AI …"), refuses("I can see a ship.")
        (True, False)
    """
    return bool(_REFUSAL.match(text))


def audit(
    prompts: Sequence[str],
    weak: Sequence[Sequence[str]],
    refined: Sequence[str | None],
    *,
    agreement: Sequence[float] = (),
    concepts: Sequence[str] = (),
) -> Audit:
    """Counts what a refinement did to all N rows.

    Args:
        prompts: What the rows ask.
        weak: The supervisors' texts for each.
        refined: The strong model's; None where there is none.
        agreement: For each row the share of draws that gave the answer; NaN where there is none.
        concepts: The sentence each row was answered under, if there are any.

    Example:
        >>> found = audit(["1 + 1?", "2 + 2?"], [["Arr, 2!"], ["Arr, 5!"]], ["Arr, 2!", "I cannot say."])
        >>> found.as_weak, found.refusals
        (0.5, 0.5)
    """
    answers = ["" if text is None else text for text in refined]
    keys, weak_keys = [answer_of(one) for one in answers], [[answer_of(one) for one in own] for own in weak]
    asked = [answer_of(prompt) for prompt in prompts]
    known = [one for one in agreement if not np.isnan(one)]
    return Audit(
        rows=len(answers),
        as_weak=_share([key in own for key, own in zip(keys, weak_keys, strict=True)]),
        length=_median_words(answers) / (_median_words([text for own in weak for text in own]) or np.nan),
        silent=_share([not key for key in keys]),
        refusals=_share([refuses(text) for text in answers]),
        copied=_share([bool(key) and question in key for key, question in zip(keys, asked, strict=True)]),
        commonest=max(0.0, _commonest(keys) - _commonest([key for own in weak_keys for key in own])),
        agreement=float(np.mean(known)) if known else 1.0,
        concepts=tuple(Counter(one for one in concepts if one).most_common(3)),
    )


def compared(
    found: Audit,
    weak: Sequence[Sequence[str]],
    base: Sequence[str],
    refined: Sequence[str | None],
    scores: Mapping[str, Mapping[str, NDArray[np.float64]]],
) -> Audit:
    """The audit with what a comparison with the untouched strong model shows, on a sample of n rows.

    Args:
        found: The audit of all rows.
        weak: The supervisors' texts for each row of the sample.
        base: What the strong model answers there without being shown anything.
        refined: The refined answers.
        scores: Metric → who (`weak`, `base`, `refined`) → scores, shape (n,); nothing where nobody scores.
    """
    keys = [answer_of(one or "") for one in refined]
    base_keys = [answer_of(one) for one in base]
    concept = scores.get("concept")
    not_adopted = float("nan")
    if concept is not None and float(concept["weak"].max()) > 0:
        not_adopted = _share((concept["refined"] < concept["weak"].max() / 2).tolist())
    return dataclasses.replace(
        found,
        sample=len(keys),
        as_base=_share([one == other for one, other in zip(keys, base_keys, strict=True)]),
        weak_as_base=_share(
            [other in [answer_of(text) for text in own] for own, other in zip(weak, base_keys, strict=True)]
        ),
        scores={metric: {name: float(own.mean()) for name, own in who.items()} for metric, who in scores.items()},
        lower=tuple(
            metric
            for metric, who in scores.items()
            if all(below(who["refined"] - who[other]) for other in ("weak", "base"))
        ),
        not_adopted=not_adopted,
    )


def below(differences: NDArray[np.float64]) -> bool:
    """Whether a mean is below zero by more than two standard errors."""
    count = len(differences)
    return count > 1 and bool(differences.mean() + 2 * differences.std(ddof=1) / np.sqrt(count) < 0)


def _share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits) if hits else 0.0


def _commonest(keys: Sequence[str]) -> float:
    return Counter(keys).most_common(1)[0][1] / len(keys) if keys else 0.0


def _median_words(texts: Sequence[str]) -> float:
    return float(np.median([len(text.split()) for text in texts])) if texts else 0.0
