"""The dependence-aware posterior: copies count once, and shared errors cost confidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.agreement import Agreement, agreement_of, find_copies, pool, tetrad_excess
from outgrow.combine.ballots import Ballots, Merged, checked_gold
from outgrow.combine.calibration import recalibrate
from outgrow.combine.combiner import PosteriorCombiner
from outgrow.combine.dawid_skene import DawidSkene
from outgrow.combine.diagnostics import shared_errors
from outgrow.combine.likelihoods import one_label_only
from outgrow.combine.result import Posterior, finished, normalised
from outgrow.combine.tempering import shared_evidence, tempered

Groups: TypeAlias = tuple[tuple[int, ...], ...]

_LOOSE_EXCESS, _LEAST_CORRELATION = 0.15, 0.55
"""Of copies that leave nothing unexplained: least excess of their correlation, and least correlation. The first is
above four standard errors of 1,000 rows and two choices; copies that vote at random on a fifth of the rows correlate by
.64."""
_UNEXPLAINED, _MOST_LOOSE = 0.05, 100
"""Largest excess that counts as explained, and most supervisors for which all tetrads are looked at."""
_LEAST_SPOKEN = 10
"""Rows on which two rules must speak together to be copies."""
_ENOUGH_GOLD = 30
"""Gold rows from which they have a say in who copies."""
_STANDARD_ERRORS = 2.0
"""How many standard errors gold rows must be more probable by, to group otherwise than votes suggest."""


@dataclass(frozen=True)
class Dependence(PosteriorCombiner):
    """A posterior for supervisors that may copy each other and fail on the same rows (`combine: dependence`).

    1. Near-copies are found and pooled, so that they count once (`find_copies`): supervisors whose votes correlate far
       beyond what being right explains, or less far if nothing remains unexplained once they are pooled; and rules
       that speak on nearly the same rows. Of these, of groups with the same errors on gold rows, and of none, another
       is taken if gold rows are significantly more probable with it.
    2. `DawidSkene` on what remains.
    3. The votes' evidence is discounted by what they share, estimated from held-out votes (`shared_evidence`).
       Independent supervisors lose nothing.
    4. The temperature and bias of the posterior are fitted on gold rows, if there are any.

    Source:
        Copies: Jaffe et al. 2016 (arXiv 1510.05830). The combination is ours.

    Example:
        >>> random = np.random.default_rng(0)
        >>> truth = random.integers(0, 2, 2000)
        >>> said = [np.where(random.random(2000) < each, truth, 1 - truth) for each in (0.65, 0.85, 0.85)]
        >>> cast = np.eye(2)[np.stack([said[0]] * 4 + said[1:], axis=1)]  # four copies of the weakest
        >>> round(float((Dependence().posterior(Ballots.of(cast)).probs.argmax(axis=1) == truth).mean()), 1)
        0.9
    """

    copy_excess: float = 0.65
    """Supervisors are copies if their votes correlate by this much more than being right explains; 1 finds none."""

    def __post_init__(self) -> None:
        if not 0 < self.copy_excess <= 1:
            raise ValueError("copy_excess is above 0 and at most 1")

    def posterior(self, ballots: Ballots, *, gold: NDArray[np.int64] | None = None) -> Posterior:
        """Return the posterior of every row; gold rows (`gold >= 0`) are certain, and calibrate the others."""
        merged = Merged.of(ballots, checked_gold(gold, ballots.rows, ballots.choices))
        lines, known = merged.ballots, merged.gold
        agreement = None if lines.open else agreement_of(lines)
        found = [_Discounted.of(lines, known, groups) for groups in self._groupings(lines, known, agreement)]
        best = found[0]
        for other in found[1:]:
            gain, times = other.on_gold(known) - best.on_gold(known), lines.count[known >= 0]
            if gain @ times > _STANDARD_ERRORS * np.sqrt(gain**2 @ times):
                best = other
        log_joint = best.log_joint if lines.open else recalibrate(best.log_joint, known, lines.count)
        probs = finished(normalised(log_joint), lines, known)
        return Posterior(probs[merged.of_row], best.copies, best.rho, best.notes, agreement)

    def _groupings(self, lines: Ballots, known: NDArray[np.int64], agreement: Agreement | None) -> list[Groups]:
        """The groups of copies that votes suggest, and with gold rows the alternatives to them."""
        if lines.open:
            return [()]
        rules = _rules_that_copy(lines, agreement) if self.copy_excess < 1 else ()
        suggested = [find_copies(lines, excess=self.copy_excess, agreement=agreement)]
        if self.copy_excess < 1 and len(lines.names) <= _MOST_LOOSE and not lines.soft_supervisors().any():
            loose = find_copies(
                lines,
                excess=_LOOSE_EXCESS,
                least=_LEAST_CORRELATION,
                unexplained=_UNEXPLAINED,
                agreement=agreement,
            )
            if loose not in ((), suggested[0]):
                suggested.insert(0, loose)
        suggested = [groups + rules for groups in suggested]
        if lines.count @ (known >= 0) < _ENOUGH_GOLD:
            return suggested[:1]
        return list(dict.fromkeys([*suggested, (), _failing_alike(lines, known)]))


class _Discounted(NamedTuple):
    """A fit with some copies pooled, and what is left of its evidence."""

    copies: Groups
    log_joint: NDArray[np.float64]
    rho: float
    notes: tuple[str, ...]

    @classmethod
    def of(cls, lines: Ballots, known: NDArray[np.int64], copies: Groups) -> _Discounted:
        pooled = pool(lines, copies, ties_apart=True) if copies else lines
        fit = DawidSkene().fit(pooled, known)
        rho = shared_evidence(fit, pooled)
        return cls(copies, tempered(fit, pooled, rho), rho, fit.notes)

    def on_gold(self, known: NDArray[np.int64]) -> NDArray[np.float64]:
        """Log-probability of each known answer under the posterior of the votes alone."""
        lines = np.flatnonzero(known >= 0)
        probs = normalised(self.log_joint[lines])[np.arange(len(lines)), known[lines]]
        found: NDArray[np.float64] = np.log(np.maximum(probs, np.finfo(float).tiny))
        return found


def _failing_alike(lines: Ballots, known: NDArray[np.int64]) -> Groups:
    """Groups of supervisors whose errors on gold rows are the same."""
    checked, certain = lines.select(known[lines.row] >= 0), np.eye(lines.choices)[np.maximum(known, 0)]
    errors = shared_errors(checked, certain, agreement_of(checked))
    if errors is None:
        return ()
    return _connected(errors > _LEAST_CORRELATION)


def _rules_that_copy(lines: Ballots, agreement: Agreement | None) -> Groups:
    """Groups of rules for one label that speak on the same rows, far beyond what tetrads of such rules explain."""
    rules = one_label_only(lines) & ~lines.soft_supervisors()
    if agreement is None or np.count_nonzero(rules) < 2:
        return ()
    said, rows = agreement.mean.argmax(axis=1), lines.count.sum()
    found: Groups = ()
    for own in (np.flatnonzero(rules & (said == label)) for label in range(lines.choices)):
        together = agreement.together[np.ix_(own, own)]
        share = np.diag(together) / rows
        deviation = np.sqrt(np.maximum(share * (1 - share), 1e-12))
        correlation = (together / rows - np.outer(share, share)) / np.outer(deviation, deviation)
        error = np.full(correlation.shape, 1 / np.sqrt(rows))
        alike = np.triu((correlation >= _LEAST_CORRELATION) & (together >= _LEAST_SPOKEN), 1)
        for i, j in np.argwhere(alike):
            alike[i, j] = tetrad_excess(correlation, error, i, j) > _LOOSE_EXCESS
        found += tuple(tuple(own[list(group)].tolist()) for group in _connected(alike))
    return found


def _connected(alike: NDArray[np.bool_]) -> Groups:
    """Groups of two and more that are linked by pairs."""
    if not alike.any():
        return ()
    from scipy.sparse.csgraph import connected_components  # slow to import, and rarely needed

    _, group = connected_components(alike, directed=False)
    members = (np.flatnonzero(group == each) for each in np.unique(group))
    return tuple(tuple(each.tolist()) for each in members if len(each) > 1)
