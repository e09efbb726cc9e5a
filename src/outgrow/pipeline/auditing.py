"""Audits of refinements: all rows are counted, and a sample is compared with the untrained strong model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from outgrow.evaluate.judge import RATED
from outgrow.labels import ChoiceTargets, Rows, TextLabels, positions
from outgrow.pipeline.scoring import Scorer
from outgrow.refine.audit import Audit, TextAudit
from outgrow.refine.choice_audit import ChoiceAudit
from outgrow.refine.refinement import Refinement, weak_texts
from outgrow.refine.wording import wording
from outgrow.run import Run

SAMPLE = 64
"""Rows of the sample in text tasks: enough to see that something is wrong."""
CHOICE_SAMPLE = 256
"""Rows of the sample in choice tasks, where nothing is generated."""


def audited(
    rows: Rows,
    labels: TextLabels,
    found: Refinement,
    base: Callable[[Rows], Sequence[str]] | None,
    scorer: Scorer,
    picked: Sequence[int] | None = None,
) -> TextAudit:
    """Audit a refinement of texts.

    Args:
        rows: The refined rows, N of them.
        labels: The supervisors' texts.
        found: The refinement.
        base: Returns the answers of the untrained strong model to n rows; None if they are not known.
        scorer: Scores answers where all gold answers of the sample are known, or the task needs none.
        picked: Positions of the sample; by default `SAMPLE` rows.
    """
    weak, texts = weak_texts(rows, labels), found.texts()
    whole = TextAudit.of(rows.prompts, weak, texts, agreement=found.agreement, concepts=found.concepts)
    picked = sampled(len(rows), SAMPLE) if picked is None else picked
    sample = rows.take(picked)
    own_weak, refined = [weak[row] for row in picked], [texts[row] or "" for row in picked]
    said: dict[str, Sequence[str]] = {
        f"weak {m}": [_text_of(own, m) for own in own_weak] for m in range(len(labels.supervisors))
    }
    said["refined"] = refined
    answers = None if base is None else base(sample)
    if answers is None:
        return whole.compared(own_weak, None, refined, _scores(sample, said, scorer))
    worded = wording(sample.prompts, own_weak, answers, refined)
    return whole.compared(own_weak, answers, refined, _scores(sample, {**said, "base": answers}, scorer), worded)


def audited_choices(
    rows: Rows,
    weak: ChoiceTargets,
    refined: ChoiceTargets,
    base: Callable[[Rows], NDArray[np.float64]] | None,
    picked: Sequence[int] | None = None,
) -> ChoiceAudit:
    """Audit a refinement of choices.

    Args:
        rows: Rows of the task, those of the targets among them.
        weak: The combined weak targets.
        refined: The refined targets.
        base: Returns distributions of the untrained strong model, shape (n, K), for n rows; None if it has none.
        picked: Positions of the sample among the refined targets; by default `CHOICE_SAMPLE` of them.
    """
    place = positions(rows.ids, refined.ids)
    picked = sampled(len(place), CHOICE_SAMPLE) if picked is None else picked
    sample = rows.take([int(place[row]) for row in picked])
    before = weak.probs[positions(weak.ids, sample.ids)]
    asked = base(sample) if base is not None and picked else None
    gold = None if None in sample.gold else sample.gold_indices()
    whole = ChoiceAudit.of(rows.choices or (), weak, refined)
    return whole.compared(before, refined.probs[picked], asked, gold)


def report_audit(audit: Audit, method: str, seed: int, run: Run) -> None:
    """Keep an audit for the report, and show its warnings at once, before training."""
    run.audits.append(audit.to_json(method, seed))
    for note in audit.notes(method, seed):
        if note not in run.notes:  # a later stage may take the same refinement from the store
            run.add(note)
            run.reporter.note(run.sentence(note))


def sampled(count: int, size: int) -> list[int]:
    """Return the positions of at most `size` of `count` rows, in order; always the same ones."""
    return [int(row) for row in np.sort(np.random.default_rng(count).permutation(count)[:size])]


def _text_of(texts: Sequence[str], place: int) -> str:
    # Where a supervisor wrote nothing, the text of another.
    return texts[place % len(texts)] if texts else ""


def _scores(
    sample: Rows, said: Mapping[str, Sequence[str]], scorer: Scorer
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Scores of `weak` (the mean of the supervisors), `refined` and any `base`, by metric; `rated` only if any is not.

    Rows where one of them has no rating are left out of that metric.
    """
    if None in sample.gold and not scorer.needs_no_gold:
        return {}
    scored = {who: scorer(sample, answers, author=f"{who} (audit)") for who, answers in said.items()}
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    for metric in scored["refined"].scores:
        if not all(metric in own.scores for own in scored.values()):
            continue
        if metric == RATED and all((own.scores[RATED] == 1).all() for own in scored.values()):
            continue
        known = np.all([own.weights.get(metric, np.ones(len(sample))) > 0 for own in scored.values()], axis=0)
        if known.any():
            own_scores = {who: own.scores[metric][known] for who, own in scored.items()}
            weak = [own for who, own in own_scores.items() if who.startswith("weak ")]
            others = {who: own for who, own in own_scores.items() if not who.startswith("weak ")}
            found[metric] = {"weak": np.mean(weak, axis=0), **others}
    return found
