"""Audits of refinements: all rows are counted, and a sample is compared with the untrained strong model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from outgrow.evaluate.judge import RATED
from outgrow.labels import ChoiceTargets, Rows, TextLabels, positions
from outgrow.models.specs import ModelSpec
from outgrow.pipeline.scoring import Scorer
from outgrow.refine.audit import Audit, TextAudit
from outgrow.refine.choice_audit import ChoiceAudit
from outgrow.refine.refinement import Refinement, weak_texts
from outgrow.refine.wording import wording
from outgrow.run import Run
from outgrow.supervisors.protocol import Asking
from outgrow.supervisors.texts import write

SAMPLE = 64
"""Rows of the sample in text tasks: enough to see that something is wrong."""
CHOICE_SAMPLE = 256
"""Rows of the sample in choice tasks, where nothing is generated."""


def audited(
    rows: Rows,
    labels: TextLabels,
    found: Refinement,
    strong: ModelSpec,
    asking: Asking,
    scorer: Scorer,
    run: Run,
) -> TextAudit:
    """Audit a refinement of texts.

    Args:
        rows: The refined rows, N of them.
        labels: The supervisors' texts.
        found: The refinement.
        strong: The untrained strong model.
        asking: Its prompts and generation options.
        scorer: Scores answers where all gold answers of the sample are known, or the task needs none.
        run: Store and progress.
    """
    weak, texts = weak_texts(rows, labels), found.texts()
    whole = TextAudit.of(rows.prompts, weak, texts, agreement=found.agreement, concepts=found.concepts)
    picked = sampled(len(rows), SAMPLE)
    sample = rows.take(picked)
    answered = write(strong, sample.ids, asking.prompts(sample, chats=strong.chats), asking.options, run)
    best = [answered.best(row, 0) for row in range(len(picked))]
    base = ["" if one is None else one.text.strip() for one in best]
    own_weak, own_texts = [weak[row] for row in picked], [texts[row] or "" for row in picked]
    by_supervisor = {f"weak {m}": [_text_of(own, m) for own in own_weak] for m in range(len(labels.supervisors))}
    scores = _scores(sample, {**by_supervisor, "base": base, "refined": own_texts}, scorer)
    return whole.compared(own_weak, base, own_texts, scores, wording(sample.prompts, own_weak, base, own_texts))


def audited_choices(
    rows: Rows, weak: ChoiceTargets, refined: ChoiceTargets, base: Callable[[Rows], NDArray[np.float64]] | None
) -> ChoiceAudit:
    """Audit a refinement of choices.

    Args:
        rows: Rows of the task, those of the targets among them.
        weak: The combined weak targets.
        refined: The refined targets.
        base: Returns distributions of the untrained strong model, shape (n, K), for n rows; None if it has none.
    """
    place = positions(rows.ids, refined.ids)
    picked = sampled(len(place), CHOICE_SAMPLE)
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
    """Scores of `weak` (the mean of the supervisors), `base` and `refined`, by metric; `rated` only if any is not."""
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
