"""The likelihood of votes that come as probabilities: a temperature and class offsets per supervisor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.agreement import agreement_of
from outgrow.combine.ballots import Ballots, Index
from outgrow.combine.diagnostics import effective_supervisors, shared_errors

Array = NDArray[np.float64]

_FLOOR = 1e-6
"""Probabilities are clipped here before the log, so that one vote cannot overrule all others."""
_INNER_STEPS = 2
"""Newton steps per round of EM; the next round continues from there."""
_LIMIT = 20.0
"""Largest exponent on a vote, either sign."""
_SAMPLE = 1000
"""Votes of each supervisor from which expectations over its votes are taken."""


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
