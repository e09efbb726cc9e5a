"""What a refinement did, compared on a sample with what the strong model answers when it is shown nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from outgrow.evaluate.judge import RATED
from outgrow.labels import ChoiceTargets, Rows, TextLabels, positions
from outgrow.models.specs import ModelSpec
from outgrow.pipeline.scoring import Scorer
from outgrow.refine.audit import Audit, audit, compared
from outgrow.refine.choice_audit import ChoiceAudit, choice_audit, choices_compared
from outgrow.refine.refinement import Refinement, weak_texts
from outgrow.run import Run
from outgrow.supervisors.protocol import Asking
from outgrow.supervisors.texts import write

SAMPLE = 64
"""Rows that the untouched strong model is asked too, and that are scored: enough to see that something is wrong."""
CHOICE_SAMPLE = 256
"""The same for choices, which cost less: nothing is written."""


def audited(
    rows: Rows,
    labels: TextLabels,
    found: Refinement,
    strong: ModelSpec,
    asking: Asking,
    scorer: Scorer,
    run: Run,
) -> Audit:
    """Audits a refinement before anything is trained on it.

    Args:
        rows: The rows that were labelled again, N of them.
        labels: What the supervisors wrote for them.
        found: The refinement.
        strong: The untouched strong model.
        asking: How it is asked.
        scorer: Scores answers where all gold answers of the sample are known, or the task needs none.
        run: Store and progress.
    """
    weak, texts = weak_texts(rows, labels), found.texts()
    whole = audit(rows.prompts, weak, texts, agreement=found.agreement, concepts=found.concepts)
    picked = sampled(len(rows), SAMPLE)
    sample = rows.take(picked)
    answered = write(strong, sample.ids, asking.prompts(sample), asking.options, run)
    best = [answered.best(row, 0) for row in range(len(picked))]
    base = ["" if one is None else one.text.strip() for one in best]
    own_weak, own_texts = [weak[row] for row in picked], [texts[row] or "" for row in picked]
    scores = _scores(sample, voices(own_weak, len(labels.supervisors), base, own_texts), scorer)
    return compared(whole, own_weak, base, own_texts, scores)


def voices(
    weak: Sequence[Sequence[str]], supervisors: int, base: Sequence[str], refined: Sequence[str]
) -> dict[str, Sequence[str]]:
    """Whose answers to the sample are scored.

    Args:
        weak: The supervisors' texts for each row of the sample.
        supervisors: How many supervisors there are.
        base: What the untouched strong model answers.
        refined: What it answers when it labels again.
    """
    spoken = {f"weak {place}": [_voice(own, place) for own in weak] for place in range(supervisors)}
    return {**spoken, "base": base, "refined": refined}


def audited_choices(
    rows: Rows, weak: ChoiceTargets, refined: ChoiceTargets, base: Callable[[Rows], NDArray[np.float64]] | None
) -> ChoiceAudit:
    """Audits a refinement of choices before anything is trained on it.

    Args:
        rows: Rows of the task, those of the targets among them.
        weak: The combined weak labels.
        refined: What a relabeller made of them.
        base: Distributions of the untouched strong model, shape (n, K), for n rows; None where it has no say.
    """
    place = positions(rows.ids, refined.ids)
    picked = sampled(len(place), CHOICE_SAMPLE)
    sample = rows.take([int(place[row]) for row in picked])
    before = weak.probs[positions(weak.ids, sample.ids)]
    asked = base(sample) if base is not None and picked else None
    gold = None if None in sample.gold else sample.gold_indices()
    whole = choice_audit(rows.choices or (), weak, refined)
    return choices_compared(whole, before, refined.probs[picked], asked, gold)


def tell(checked: Audit | ChoiceAudit, method: str, seed: int, run: Run) -> None:
    """Keep an audit for the report, and note at once what should keep a user from training."""
    run.audits.append({"method": method, "seed": seed, **checked.to_json()})
    for warning in checked.warnings():
        run.note("audit", "warning", who=method, seed=seed, text=warning)
        run.reporter.note(f"{method} (seed {seed}): {warning}")


def sampled(count: int, size: int) -> list[int]:
    """Positions of at most `size` of `count` rows, in order; always the same ones."""
    return [int(row) for row in np.sort(np.random.default_rng(count).permutation(count)[:size])]


def _voice(texts: Sequence[str], place: int) -> str:
    """One of a row's weak texts: each supervisor's in turn, where some wrote nothing that of another."""
    return texts[place % len(texts)] if texts else ""


def _scores(
    sample: Rows, said: Mapping[str, Sequence[str]], scorer: Scorer
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Metric → who (`weak` is the mean of the supervisors) → scores; nothing where gold is missing and needed.

    Whether answers have been `rated` is told only where one has not.
    """
    if None in sample.gold and not scorer.needs_no_gold:
        return {}
    scored = {who: scorer(sample, answers, author=f"{who} (audit)").scores for who, answers in said.items()}
    weak = [own for who, own in scored.items() if who.startswith("weak ")]
    told = [metric for metric in scored["refined"] if all(metric in own for own in scored.values())]
    if RATED in told and all((own[RATED] == 1).all() for own in scored.values()):
        told.remove(RATED)
    return {
        metric: {
            "weak": np.mean([own[metric] for own in weak], axis=0),
            "base": scored["base"][metric],
            "refined": scored["refined"][metric],
        }
        for metric in told
    }
