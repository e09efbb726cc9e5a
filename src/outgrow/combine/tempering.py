"""How much of the supervisors' evidence is shared, estimated from votes that are held out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.ballots import Ballots, Index
from outgrow.combine.dawid_skene import Fit
from outgrow.combine.likelihoods import Channels, Rules, SoftVotes, Usual
from outgrow.combine.open_answers import OpenVotes
from outgrow.combine.result import normalised

Array = NDArray[np.float64]

_GRID = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.5)
"""Shared evidence ρ to choose from."""
_UNSEEN = 1.5
"""Factor on a ρ of one and more, where scales of votes were fitted to shared errors. Chosen on planted supervisors."""
_MOST_SUPERVISORS, _MOST_VOTES = 100, 24_000
"""Supervisors whose votes are held out in turn, those with most votes, and votes of all of them together."""
_LEAST_VOTES = 20
"""Votes of a supervisor below which it is not held out."""
_STANDARD_ERRORS = 1.5
"""How many standard errors the held-out votes must become more probable by, for evidence to count as shared."""
_FIRST_ACCURACY, _CHANNEL_STEPS, _ROW_STRENGTH = 0.7, 12, 20.0
"""Start of a held-out channel, steps of its fit, and strength of the prior of its rows, in votes per choice."""
_ONE_ACCURACY = 1e9
"""The same strength where nothing but the accuracy is fitted."""


def shared_evidence(fit: Fit, lines: Ballots) -> float:
    """Return ρ ≥ 0: n votes on a row are evidence like n / (1 + (n − 1)ρ) independent ones.

    Each of some supervisors is left out in turn. The posterior of the others, their evidence divided by 1 + (n − 1)ρ,
    predicts its votes through a channel with one accuracy, which is fitted again for each ρ. If the others share their
    errors, their posterior is too sure of itself: it says the same of rows on which the held-out votes agree and of
    rows on which they do not. The ρ with the most probable votes wins, and 0 unless it is better significantly.

    What votes cannot show, here as everywhere: errors that all supervisors share equally. Where n votes with strengths
    tell no more than one (ρ ≥ 1), these are likely too, and each vote has been taken for surer than it is: ρ is raised.

    Source:
        Kish's design effect (Kish 1965) for a composite likelihood (Varin, Reid & Firth 2011), by held-out votes; ours.
    """
    voters = _voters(fit, lines)
    gains, of_gain = [np.zeros((len(_GRID), 0))], [np.zeros(0, dtype=np.int64)]
    held_out = _held_out(fit)
    for part, person in held_out:
        own = np.flatnonzero(part.ballots.supervisor == person)
        own = own[voters[part.ballots.row[own]] > 1]
        own = own[np.linspace(0, len(own) - 1, min(len(own), _MOST_VOTES // len(held_out))).astype(np.int64)]
        line, label = part.ballots.row[own], part.ballots.label[own]
        others, times = fit.log_joint[line] - part.evidence(own), lines.count[line]
        if times.sum() < _LEAST_VOTES:
            continue
        if isinstance(part, OpenVotes):
            # An answer that no other gave is no candidate of the others: to them it is among “none of these”.
            novel = part.votes[line, label] == 1
            others[novel, label[novel]] = -np.inf
        usual = part.usual if isinstance(part, Channels) else Usual.of(np.eye(lines.choices))
        tried = (normalised(others / _divisor(voters[line] - 1, rho)) for rho in _GRID)
        if isinstance(part, OpenVotes):
            alike, seen, none = part.coincidence, np.where(novel, -1, label), np.where(novel, part.coincidence, 1.0)
            fits = _by_accuracy(np.array([none * _of(probs, seen) for probs in tried]), times, alike)
        elif lines.choices == 2 and not usual.shift.any():
            fits = _by_accuracy(np.array([_of(probs, label) for probs in tried]), times)
        else:
            fits = np.array([_by_matrix(probs, label, times, usual) for probs in tried])
        gains.append(fits - fits[0])
        of_gain.append(line)
    found, row = np.concatenate(gains, axis=1), np.concatenate(of_gain)
    best = int((found @ lines.count[row]).argmax())
    # Votes on the same row are surprised together: rows are the sample, not votes.
    by_row = np.bincount(row, found[best], minlength=lines.rows)
    if by_row @ lines.count <= _STANDARD_ERRORS * np.sqrt(by_row**2 @ lines.count):
        return 0.0
    return _GRID[best] * (_UNSEEN if _GRID[best] >= 1 else 1.0)


def tempered(fit: Fit, lines: Ballots, rho: float) -> Array:
    """Return the log-joint (P, K) of lines with n votes divided by 1 + (n − 1)ρ."""
    found: Array = fit.log_joint / _divisor(_voters(fit, lines), rho)
    return found


def _voters(fit: Fit, lines: Ballots) -> Array:
    """How many votes of each line are not of rules, shape (P,)."""
    rows = [part.ballots.row for part in fit.parts if not isinstance(part, Rules)]
    return np.bincount(np.concatenate([np.zeros(0, dtype=np.int64), *rows]), minlength=lines.rows).astype(np.float64)


def _divisor(votes: Array, rho: float) -> Array:
    return 1 + np.maximum(votes - 1, 0)[:, None] * rho


def _held_out(fit: Fit) -> list[tuple[Channels | OpenVotes | SoftVotes, int]]:
    """The supervisors with most votes, each with its likelihood."""
    found: list[tuple[int, Channels | OpenVotes | SoftVotes, int]] = []
    for part in fit.parts:
        if isinstance(part, Channels | OpenVotes | SoftVotes):
            given = np.bincount(part.ballots.supervisor)
            found += [(int(given[person]), part, int(person)) for person in np.flatnonzero(given)]
    most = sorted(found, key=lambda each: -each[0])[:_MOST_SUPERVISORS]
    return [(part, person) for _, part, person in most]


def _of(probs: Array, label: Index) -> Array:
    """The probability of each vote's label, shape (V,)."""
    found: Array = probs[np.arange(len(label)), label]
    return found


def _by_accuracy(right: Array, times: Array, coincidence: float = 1.0) -> Array:
    """Log-probability of each vote, from the probabilities that it is right, by an accuracy, shape (ρ, V) each.

    The accuracy is fitted for each ρ; two wrong answers coincide with a known probability.
    """
    accuracy, elsewhere = np.full((len(right), 1), _FIRST_ACCURACY), (1 - right) * coincidence
    for _ in range(_CHANNEL_STEPS):
        share = accuracy * right / (accuracy * right + (1 - accuracy) * elsewhere)
        accuracy = (share @ times[:, None] + 1) / (times.sum() + 2)
    found: Array = np.log(accuracy * right + (1 - accuracy) * elsewhere)
    return found


def _by_matrix(probs: Array, label: Index, times: Array, usual: Usual) -> Array:
    """Log-probability of each vote (V,) by a matrix with a strong prior around an accuracy, fitted to these votes."""
    k = probs.shape[1]
    said, channel = times[:, None] * np.eye(k)[label], _around(_FIRST_ACCURACY, usual)
    strength = _ROW_STRENGTH * k if k > 2 else _ONE_ACCURACY
    for _ in range(_CHANNEL_STEPS):
        joint = probs * channel[:, label].T
        joint /= joint.sum(axis=1, keepdims=True)
        counts = joint.T @ said
        channel = strength * _around((np.trace(counts) + 1) / (counts.sum() + 2), usual)
        channel = (counts + channel) / (counts.sum(axis=1, keepdims=True) + strength)
    found: Array = np.log((probs * channel[:, label].T).sum(axis=1))
    return found


def _around(accuracy: float, usual: Usual) -> Array:
    labels = np.arange(len(usual.shift))
    return usual.around(np.full(len(labels), accuracy), labels).T
