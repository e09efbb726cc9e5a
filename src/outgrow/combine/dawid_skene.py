"""Dawid–Skene: answers and confusion matrices, estimated from agreement alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.agreement import agreement_of
from outgrow.combine.ballots import Ballots, Index, Merged, checked_gold, pooled
from outgrow.combine.combiner import PosteriorCombiner
from outgrow.combine.diagnostics import effective_supervisors, shared_errors
from outgrow.combine.result import Posterior, held, normalised

Array = NDArray[np.float64]

FULL_CONFUSION_UP_TO = 20
"""Most choices for which every supervisor gets a confusion matrix of its own; beyond, K² parameters are not learnable
from the votes a supervisor gives, and one accuracy per supervisor is estimated instead."""
_FLOOR = 1e-6
"""Probabilities are clipped here before the log, so that one vote cannot overrule all others."""
_INNER_STEPS = 2
"""Newton steps per round of EM; the next round continues from there."""
_LIMIT = 20.0
"""Largest exponent on a vote, either sign."""
_SAMPLE = 1000
"""Votes of each supervisor from which expectations over its votes are taken."""
_ALONE = "Only one supervisor voted: its votes are taken as they are."


@dataclass(frozen=True)
class DawidSkene(PosteriorCombiner):
    """Expectation–maximisation over answers and the supervisors' confusion matrices (`combine: dawid_skene`).

    Plain choices: Dirichlet priors centred on chance, so that few votes prove no skill. Probabilistic votes have a
    likelihood of their own (`SoftVotes`); as fractional counts they would contract to the uniform posterior. Assumes
    that supervisors err independently given the answer: copies make it confidently wrong, see `Dependence`.

    Source:
        Dawid & Skene 1979; the one-accuracy form for many choices as in Demartini et al. 2012 (ZenCrowd).

    Example:
        >>> from outgrow.labels import ChoiceVotes
        >>> one, two = [1.0, 0.0], [0.0, 1.0]
        >>> cast = np.array([[one, one, two], [two, two, one], [one, one, two], [two, two, one]])
        >>> votes = ChoiceVotes(("a", "b", "c", "d"), ("x", "y", "contrary"), cast)
        >>> DawidSkene().choices(votes).probs.argmax(axis=1).tolist()
        [0, 1, 0, 1]
    """

    smoothing: float = 2.0
    """Strength of the Dirichlet prior on each row of a confusion matrix, in votes (2 and K = 2 is Laplace's rule)."""
    iterations: int = 500
    """Most rounds of EM."""
    tolerance: float = 1e-3
    """Stop when no probability moves further than this."""
    discount: bool = False
    """Give probabilistic votes less weight where supervisors share errors (see `SoftVotes`)."""

    def __post_init__(self) -> None:
        if self.smoothing <= 0 or self.iterations < 1 or self.tolerance <= 0:
            raise ValueError("smoothing, iterations and tolerance are above 0")

    def posterior(self, ballots: Ballots, *, gold: NDArray[np.int64] | None = None) -> Posterior:
        """Return the posterior of every row; gold rows (`gold >= 0`) keep their answer and inform the accuracies."""
        merged = Merged.of(ballots, checked_gold(gold, ballots.rows, ballots.choices))
        usable = merged.ballots.has_votes | (merged.gold >= 0)
        probs = held(pooled(merged.ballots), usable, merged.gold)
        if np.count_nonzero(merged.ballots.per_supervisor) == 1 and (merged.gold < 0).all():
            # Its accuracy is not identified, and the most probable fit would be its commonest label on every row.
            return Posterior(probs[merged.of_row], notes=(_ALONE,), unheld=probs[merged.of_row])
        likelihoods = self._likelihoods(merged)
        share = merged.ballots.count * usable
        notes: tuple[str, ...] = ()
        for _ in range(self.iterations):
            for likelihood in likelihoods:
                likelihood.fit(probs)
            balance = share @ probs + 1.0
            log_joint = np.tile(np.log(balance / balance.sum()), (len(probs), 1))
            for likelihood in likelihoods:
                likelihood.add_to(log_joint)
            unheld = normalised(log_joint)
            before, probs = probs, held(unheld, usable, merged.gold)
            if np.abs(probs - before).max(initial=0.0) < self.tolerance:
                break
        else:
            notes = (f"Expectation–maximisation had not settled after {self.iterations} rounds.",)
        return Posterior(probs[merged.of_row], notes=notes, unheld=unheld[merged.of_row])

    def _likelihoods(self, merged: Merged) -> list[_ConfusionMatrices | _Accuracies | SoftVotes]:
        ballots = merged.ballots
        soft = ballots.soft_supervisors()[ballots.supervisor]
        found: list[_ConfusionMatrices | _Accuracies | SoftVotes] = []
        if not soft.all():
            hard = ballots.select(~soft)
            kind = _ConfusionMatrices if ballots.choices <= FULL_CONFUSION_UP_TO else _Accuracies
            found.append(kind(hard, self.smoothing))
        if soft.any():
            found.append(SoftVotes(ballots.select(soft), discount=self.discount))
        return found


class _ConfusionMatrices:
    """A confusion matrix per supervisor, kept for the (supervisor, label) pairs that occur."""

    def __init__(self, ballots: Ballots, smoothing: float) -> None:
        k, self._smoothing = ballots.choices, smoothing
        pairs, column = ballots.symbols()
        # One sparse matrix, rows × pairs with one entry per vote, serves both steps of EM.
        self._votes = ballots.incidence(column, len(pairs))
        self._count = ballots.count
        self._owner = pairs // k
        self._people = len(ballots.names)
        self._log_confusion = np.zeros((len(pairs), k))

    def fit(self, responsibilities: Array) -> None:
        k = responsibilities.shape[1]
        counts = self._votes.T @ (self._count[:, None] * responsibilities)
        totals = np.full((self._people, k), self._smoothing, dtype=np.float64)
        np.add.at(totals, self._owner, counts)
        self._log_confusion = np.log((counts + self._smoothing / k) / totals[self._owner])

    def add_to(self, log_joint: Array) -> None:
        log_joint += self._votes @ self._log_confusion


class _Accuracies:
    """One accuracy per supervisor; errors are uniform over the other choices."""

    def __init__(self, ballots: Ballots, smoothing: float) -> None:
        self._ballots, self._smoothing = ballots, smoothing
        self._count = ballots.count[ballots.row]
        self._given = np.bincount(ballots.supervisor, self._count, minlength=len(ballots.names))
        self._bonus = np.zeros(len(ballots.names))

    def fit(self, responsibilities: Array) -> None:
        # The posterior mean, as the log-odds that a vote adds to its choice.
        ballots = self._ballots
        right = self._count * responsibilities[ballots.row, ballots.label]
        chance = self._smoothing / ballots.choices
        hits = np.bincount(ballots.supervisor, right, minlength=len(ballots.names)) + chance
        accuracy = np.clip(hits / (self._given + self._smoothing), 1e-6, 1 - 1e-6)
        self._bonus = np.log(accuracy * (ballots.choices - 1) / (1 - accuracy))

    def add_to(self, log_joint: Array) -> None:
        ballots = self._ballots
        np.add.at(log_joint, (ballots.row, ballots.label), self._bonus[ballots.supervisor])


class SoftVotes:
    """The calibrated answer given a supervisor's probabilities y: p(k | y) ∝ y_k^β · e^(b_k), fitted to the posterior.

    By Bayes' rule the likelihood ratio of a vote is p(k | y) / π_k, whatever the distribution of the votes themselves.
    β < 1 corrects overconfidence, β < 0 inverts a contrary supervisor (K = 2), b removes a bias towards a class.

    With `discount` the evidence of M supervisors that amount to M′ independent ones, by the errors they share under the
    posterior, counts M′/M. Those that err independently lose nothing.

    Source:
        Vector scaling (Guo et al. 2017) as the M-step of Dawid–Skene; the discount is that of a composite likelihood
        (Varin, Reid & Firth 2011) with the effective number for the information; ours.
    """

    def __init__(self, ballots: Ballots, *, discount: bool = False) -> None:
        self._ballots, self._share = ballots, 1.0
        self._agreement = agreement_of(ballots) if discount else None
        self._row, self._person, self._rows = ballots.row, ballots.supervisor, ballots.rows
        log_votes = np.log(np.maximum(ballots.distributions(), _FLOOR))
        self._log_votes = log_votes - log_votes.mean(axis=1, keepdims=True)
        people = len(ballots.names)
        self._exponent = np.ones(people)
        self._offset = np.zeros((people, ballots.choices))
        self._log_prior = np.zeros((people, ballots.choices))

    def fit(self, responsibilities: Array) -> None:
        """Move each supervisor's exponent and offsets towards the posterior (N, K)."""
        wanted = responsibilities[self._row]
        wanted_share = self._per_person(wanted) + 1.0
        for _ in range(_INNER_STEPS):
            predicted = np.exp(self._log_predicted())
            mean = (predicted * self._log_votes).sum(axis=1)
            slope = ((wanted - predicted) * self._log_votes).sum(axis=1)
            curvature = (predicted * self._log_votes**2).sum(axis=1) - mean**2
            # A prior worth one vote keeps β at one where there is nothing to learn it from.
            step = (self._sum(slope) - (self._exponent - 1.0)) / (self._sum(curvature) + 1.0)
            self._exponent = np.clip(self._exponent + np.clip(step, -1.0, 1.0), -_LIMIT, _LIMIT)
            share = self._per_person(np.exp(self._log_predicted())) + 1.0
            self._offset += np.log(wanted_share / share)
        self._log_prior = np.log(wanted_share / wanted_share.sum(axis=1, keepdims=True))
        if self._agreement is not None:
            errors = shared_errors(self._ballots, responsibilities, self._agreement)
            voices = np.count_nonzero(self._ballots.per_supervisor)
            self._share = effective_supervisors(self._ballots, errors) / voices

    def add_to(self, log_joint: Array) -> None:
        """Add log p(k | y) − log π_k of every vote to an array of shape (N, K)."""
        evidence = self._evidence()
        for k in range(log_joint.shape[1]):
            log_joint[:, k] += np.bincount(self._row, evidence[:, k], minlength=len(log_joint))

    def samples(self) -> tuple[Index, list[Array]]:
        """Return the supervisors, and the log-evidence (≤ 1000, K) of evenly spread votes of each."""
        evidence, people = self._evidence(), np.unique(self._person)
        found = []
        for person in people:
            own = np.flatnonzero(self._person == person)
            found.append(evidence[own[np.linspace(0, len(own) - 1, min(len(own), _SAMPLE)).astype(np.int64)]])
        return people, found

    def _evidence(self) -> Array:
        evidence: Array = self._log_predicted() - self._log_prior[self._person]
        evidence *= self._share
        return evidence

    def _log_predicted(self) -> Array:
        logits: Array = self._exponent[self._person, None] * self._log_votes + self._offset[self._person]
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return logits

    def _sum(self, values: Array) -> Array:
        return np.bincount(self._person, values, minlength=len(self._exponent)).astype(np.float64)

    def _per_person(self, values: Array) -> Array:
        return np.stack([self._sum(column) for column in values.T], axis=1)
