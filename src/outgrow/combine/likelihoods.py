"""How supervisors vote, given the answer: what Dawid–Skene fits to a posterior, and adds to one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.ballots import Ballots, Index

Array = NDArray[np.float64]

_FLOOR = 1e-6
"""Probabilities are clipped here before the log, so that one vote cannot overrule all others."""
_STRENGTHS = (1.0, 2.0, 4.0, 8.0, 16.0, 40.0, 100.0)
"""Strengths of the prior on accuracies to choose from, in votes."""
_ROW_STRENGTHS = (2.0, 5.0, 12.0, 30.0, 80.0, 200.0, 1000.0)
"""Strengths of the prior on rows of confusion matrices to choose from, in votes."""
_CHOSEN_EVERY, _FIRST_CHOSEN = 5, 2
"""Rounds of EM after which the strengths are chosen again, and before they are chosen at first."""
Form = Literal["even", "classes", "confusions"]
"""How all supervisors err: in all classes alike, more in some than in others, or also with some labels more often."""
_USUAL_STRENGTH = 20.0
"""Strength of the prior of `Usual`, which is that of errors in all classes alike, in votes per class."""
_FIRST_PRECISION, _RULE_STRENGTH = 0.7, 20.0
"""Precision of rules at the start, and strength of the precision of all of them, in votes that meet others on their
row. The strength was chosen on planted rules, and word lists for `mr` and `cr`."""
_SURELY, _ROUNDS = 0.8, 20
"""Probability of being a rule from which a supervisor is taken for one, and rounds of estimating how many there are."""
_RULES_KNOW_LITTLE = 8.0
"""Rows of each class that are added where the class probabilities come from rules. Chosen on planted rules."""
_MOST_FIRED = 0.97
"""Largest probability of a rule to vote where it is right: silence is never a proof."""
_INNER_STEPS = 2
"""Newton steps per round of EM; the next round continues from there."""
_LIMIT = 20.0
"""Largest exponent on a vote, either sign."""


class Likelihood(Protocol):
    """The votes of some supervisors, given the answer."""

    ballots: Ballots
    """The votes of these supervisors."""

    def fit(self, responsibilities: Array) -> None:
        """Move towards a posterior (N, K)."""

    def add_to(self, log_joint: Array) -> None:
        """Add log p(votes | k), up to a constant, to an array of shape (N, K)."""


def likelihoods(
    ballots: Ballots, weight: Array, smoothing: float, form: Form = "even", *, alike: bool = False
) -> list[Likelihood]:
    """Return one likelihood for each kind of supervisor that occurs: probabilistic, one label only, and others.

    `weight` (N,) is how many rows each row stands for, and zero where only one vote or none was given: there the
    posterior is that vote's own echo. `form` is what is usual among the others (`Usual`); `alike` is that of `Rules`.
    """
    soft = ballots.soft_supervisors()
    rules = one_label_only(ballots) & ~soft
    kinds: list[tuple[NDArray[np.bool_], Any]] = [
        (~soft & ~rules, lambda votes: Channels(votes, weight, smoothing, form)),
        (rules, lambda votes: Rules(votes, alike=alike)),
        (soft, lambda votes: SoftVotes(votes, weight)),
    ]
    found = [(ballots.select(which[ballots.supervisor]), make) for which, make in kinds if which.any()]
    return [make(votes) for votes, make in found if len(votes.row)]


def one_label_only(ballots: Ballots) -> NDArray[np.bool_]:
    """Return which supervisors are rules, which only ever give one label, shape (M,).

    Others give one label by chance, with few votes. How many supervisors are rules is estimated from all of them.
    """
    k, people = ballots.choices, len(ballots.names)
    times = None if ballots.repeats is None else ballots.repeats[ballots.row]
    given = np.bincount(ballots.codes(), times, minlength=people * k).reshape(people, k)
    votes, share = given.sum(axis=1), given.sum(axis=0) / max(given.sum(), 1.0)
    alike = np.count_nonzero(given, axis=1) == 1
    by_chance = np.exp(votes[:, None] * np.log(np.maximum(share, 1e-12))).sum(axis=1)
    rules, found = 0.5, np.zeros(people)
    for _ in range(_ROUNDS):
        found = alike * rules / (rules + (1 - rules) * by_chance)
        rules = (found.sum() + 1) / (np.count_nonzero(votes) + 5)
    only: NDArray[np.bool_] = found > _SURELY
    return only


class Usual(NamedTuple):
    """How supervisors err on the whole: which answers are hard to see, and what is said instead."""

    shift: Array
    """What the logit of an accuracy gains where each choice is the answer, shape (K,)."""
    errors: Array
    """Share of each label among the wrong ones; rows are answers, shape (K, K)."""

    @classmethod
    def of(cls, counts: Array, form: Form = "even") -> Usual:
        """Return what counts of votes (answers × labels) of all supervisors say, as far as the form goes."""
        choices, right, given = len(counts), np.diag(counts), counts.sum(axis=1)
        shift, errors = np.zeros(choices), (1 - np.eye(choices)) / (choices - 1)
        if form != "even":
            mean = (right.sum() + 1) / (given.sum() + choices)
            shift = _logit((right + _USUAL_STRENGTH * mean) / (given + _USUAL_STRENGTH)) - _logit(mean)
        if form == "confusions":
            wrong = counts * (errors > 0) + _USUAL_STRENGTH * errors
            errors = wrong / wrong.sum(axis=1, keepdims=True)
        return cls(shift, errors)

    def around(self, accuracy: Array, label: Index) -> Array:
        """Return the probability of labels (V,) by supervisors of an accuracy (V,), given each answer, (V, K)."""
        right = 1 / (1 + np.exp(-_logit(accuracy)[:, None] - self.shift))
        found: Array = (1 - right) * self.errors.T[label]
        own = np.arange(len(label))
        found[own, label] = right[own, label]
        return found


def _logit(share: Any) -> Any:
    return np.log(share / (1 - share))


class Channels:
    """A confusion matrix per supervisor, as full as its votes allow; kept for the (supervisor, label) pairs that occur.

    Each row of a matrix has a Dirichlet prior around the supervisor's accuracy and how all of them err (`Usual`), and
    the accuracy a beta prior around that of all supervisors. How strong both are is chosen by marginal likelihood:
    supervisors of few votes, or of many choices, are described by an accuracy alone.

    Source:
        Dawid & Skene 1979; the hierarchy and its empirical Bayes are ours.
    """

    def __init__(self, ballots: Ballots, weight: Array, smoothing: float, form: Form) -> None:
        self.ballots, self._form, self._weight = ballots, form, weight[:, None]
        pairs, self._column = ballots.symbols()
        owner, self._label = np.divmod(pairs, ballots.choices)
        _, self._first, self._owner = np.unique(owner, return_index=True, return_inverse=True)
        # One matrix, rows × pairs with one entry per vote, serves both steps of EM.
        self._votes = ballots.incidence(self._column, len(pairs))
        self._given = self._votes.T @ self._weight
        self._prior, self._row_strength = AccuracyPrior(smoothing), 30.0
        self._log_confusion = self._counts = self._expected = np.zeros((len(pairs), ballots.choices))
        self._totals, self.usual = self._per_person(self._counts), Usual.of(np.eye(ballots.choices))

    def fit(self, responsibilities: Array) -> None:
        """See `Likelihood`."""
        k, every = self.ballots.choices, np.arange(len(self._owner))
        # The last choice is what remains: with two choices this halves the work.
        others = self._votes.T @ (self._weight * responsibilities[:, :-1])
        counts = np.concatenate([others, self._given - others @ np.ones((k - 1, 1))], axis=1)
        totals, choose = self._per_person(counts), self._prior.chosen_now
        hits = self._per_person(counts[every, self._label])
        accuracy = self._prior.accuracies(hits, totals.sum(axis=1), k)[self._owner]
        if choose and self._form != "even":
            self.usual = Usual.of(counts.T @ np.eye(k)[self._label], self._form)
        expected = self.usual.around(accuracy, self._label)
        self._counts, self._expected, self._totals = counts, expected, totals
        if choose:
            self._row_strength = _likeliest(_ROW_STRENGTHS, self._evidence)
        strength = self._row_strength
        confusion = (counts + strength * expected) / (totals + strength).take(self._owner, axis=0)
        self._log_confusion = np.log(np.maximum(confusion, _FLOOR))

    def _per_person(self, of_pairs: Array) -> Array:
        found: Array = np.add.reduceat(of_pairs, self._first, axis=0)
        return found

    def _evidence(self, strength: float) -> float:
        return _evidence(self._counts, self._expected, self._totals, strength)

    def add_to(self, log_joint: Array) -> None:
        """See `Likelihood`."""
        log_joint[:, :-1] += self._votes @ (self._log_confusion[:, :-1] - self._log_confusion[:, -1:])

    def bound(self) -> float:
        """Log-probability of the votes given the posterior of the last round, less Schwarz's price of the form."""
        k = self.ballots.choices
        parameters = {"even": 0, "classes": k - 1, "confusions": k * (k - 1) - 1}[self._form]
        return self._evidence(self._row_strength) - 0.5 * parameters * math.log(self._totals.sum() + 1)

    def evidence(self, votes: Index) -> Array:
        """Return log p(vote | k) of some votes, shape (V, K)."""
        found: Array = self._log_confusion[self._column[votes]]
        return found


class AccuracyPrior:
    """A beta prior of accuracies around that of all supervisors, as strong as their hits make most likely."""

    def __init__(self, strength: float) -> None:
        self._strength, self._rounds = strength, 0

    @property
    def chosen_now(self) -> bool:
        """Whether this is a round in which strengths are chosen again."""
        return self._rounds % _CHOSEN_EVERY == _FIRST_CHOSEN

    def accuracies(self, hits: Array, votes: Array, choices: int) -> Array:
        """Return accuracies from hits among votes, shape (M,) each, and go on to the next round."""
        common = (hits.sum() + 1) / (votes.sum() + choices)

        def evidence(strength: float) -> float:
            return _evidence(np.stack([hits, votes - hits]), np.array([[common], [1 - common]]), votes, strength)

        if self.chosen_now:
            self._strength = _likeliest(_STRENGTHS, evidence)
        self._rounds += 1
        found: Array = np.clip((hits + self._strength * common) / (votes + self._strength), 1e-4, 1 - 1e-4)
        return found


def _likeliest(strengths: Sequence[float], evidence: Callable[[float], float]) -> float:
    """The strength with most evidence, which rises to one peak: from the strongest on, until it falls."""
    best, most = strengths[-1], -math.inf
    for strength in reversed(strengths):
        found = evidence(strength)
        if found < most:
            break
        best, most = strength, found
    return best


def _evidence(counts: Array, expected: Array, totals: Array, strength: float) -> float:
    """Log-probability of counts under Dirichlet distributions of some strength around what is expected."""
    prior, whole = strength * expected, np.array(strength)
    of_labels = (log_gamma(counts + prior) - log_gamma(prior)).sum()
    return float(of_labels + (log_gamma(whole) - log_gamma(totals + whole)).sum())


def log_gamma(x: Array) -> Array:
    """Return log Γ(x) for x > 0, by Stirling's series at x + 7: an import of `scipy.special` takes a tenth of a second.

    Example:
        >>> log_gamma(np.array([0.5, 5.0])).round(6).tolist(), math.log(24)
        ([0.572365, 3.178054], 3.1780538303479458)
    """
    above, ends = x + 7.0, x * (x + 6)
    below = ends * (ends + 5) * (ends + 8) * (x + 3)  # x (x + 1) … (x + 6)
    inverse = 1 / above
    series = inverse * (1 / 12 - inverse**2 * (1 / 360 - inverse**2 / 1260))
    found: Array = (above - 0.5) * np.log(above) - above + 0.5 * math.log(2 * math.pi) + series - np.log(below)
    return found


class Rules:
    """Supervisors with one label each, which speak up more often where it is right; their silence says a little too.

    A rule that votes for c on a share s of the rows with precision q votes with probability s·q/π_c where c is the
    answer, and s·(1 − q)/(1 − π_c) elsewhere; never is it evidence against its own label. Which label it would give
    carries nothing. As q and π set these rates, neither is a mean of the posterior: each round of EM takes one step of
    Fisher scoring for π, and one for every q, which is drawn towards that of all rules.

    Words that meet often for another reason can pass for a class. Where that seems so, all rules count `alike`: with
    one precision, and only by which of them speak on a row, not by how many.

    Source:
        Ours, after the propensity and accuracy of labelling functions (Ratner et al. 2016, arXiv 1605.07723).
    """

    def __init__(self, ballots: Ballots, *, alike: bool = False) -> None:
        self.ballots, self.balance, self._alike = ballots, np.full(ballots.choices, 1 / ballots.choices), alike
        rules, first = np.unique(ballots.supervisor, return_index=True)
        self._label = ballots.label[first]
        self._votes = ballots.incidence(np.searchsorted(rules, ballots.supervisor), len(rules))
        self._given = ballots.per_supervisor[rules].astype(np.float64)
        meeting = self._votes.T @ (ballots.count * (ballots.per_row > 1))
        self._strength = _RULE_STRENGTH * self._given / np.maximum(meeting, 1.0)
        self._precision = np.full(len(rules), _FIRST_PRECISION)
        self._voted, self._silent = np.zeros((2, len(rules), ballots.choices))

    def fit(self, responsibilities: Array) -> None:
        """See `Likelihood`; `balance` is π."""
        # The silence of the others is evidence on rows with a single vote too.
        count, every = self.ballots.count, np.arange(len(self._label))
        hits = (self._votes.T @ (count[:, None] * responsibilities))[every, self._label]
        if self._alike:
            heard = (count * (self.ballots.per_row > 0)) @ responsibilities + _RULES_KNOW_LITTLE
            self.balance = heard / heard.sum()
            common = np.clip(hits.sum() / self._given.sum(), 0.5, 0.99)
            self._precision = np.maximum(common, self.balance[self._label])
            rates = self._votes_by_answer()
            self._voted = np.log(rates / rates.sum(axis=0))
            return
        rows = count @ responsibilities
        self._step_balance(rows, hits)
        self._step_precision(rows, hits)
        rates = self._votes_by_answer()
        self._voted, self._silent = np.log(rates), np.log1p(-rates)

    def _step_balance(self, rows: Array, hits: Array) -> None:
        """One scoring step of π, from expected rows of each class (K,) and expected hits of each rule (M,)."""
        own, whole, (right, wrong) = self._label, rows.sum(), self._rates()
        mine, others, misses = rows[own], whole - rows[own], self._given - hits
        # A rule as precise as its label is common tells nothing, whatever π is.
        tells, odds = self._precision > self.balance[own], (self.balance / (1 - self.balance))[own]
        gained = tells * ((mine * right - hits) / (1 - right) - odds * (others * wrong - misses) / (1 - wrong))
        known = tells * (right / (1 - right) + odds * wrong / (1 - wrong))
        wanted = rows + _RULES_KNOW_LITTLE + np.bincount(own, gained, minlength=len(rows))
        step = wanted / (whole + _RULES_KNOW_LITTLE * len(rows)) - self.balance
        balance = self.balance + step / (1 + np.bincount(own, known, minlength=len(rows)))
        balance = np.maximum(balance, 1 / whole)
        self.balance = balance / balance.sum()

    def _step_precision(self, rows: Array, hits: Array) -> None:
        """One scoring step of every precision q, drawn towards that of all rules."""
        own, whole, (right, wrong) = self._label, rows.sum(), self._rates()
        mine, others, misses = rows[own], whole - rows[own], self._given - hits
        hit, miss = self._precision, 1 - self._precision
        slope = (hits - mine * right) / (1 - right) / hit - (misses - others * wrong) / (1 - wrong) / miss
        known = mine * right / (1 - right) / hit**2 + others * wrong / (1 - wrong) / miss**2
        precision = hit + slope / known
        common = np.clip(known @ precision / known.sum(), 0.5, 0.99)
        prior = self._strength / (common * (1 - common))
        least = self.balance[own]
        most = np.maximum(np.minimum(_MOST_FIRED * least * whole / self._given, 0.99), least)
        self._precision = np.clip((known * precision + prior * common) / (known + prior), least, most)

    def _votes_by_answer(self) -> Array:
        """How often each rule votes where each choice is the answer, shape (M, K)."""
        right, wrong = self._rates()
        found = np.repeat(wrong[:, None], len(self.balance), axis=1)
        found[np.arange(len(right)), self._label] = right
        return found

    def _rates(self) -> tuple[Array, Array]:
        """How often each rule votes where it is right, and where it is not, shape (M,) each."""
        share, right = self._given / self.ballots.count.sum(), self.balance[self._label]
        hit, miss = share * self._precision / right, share * (1 - self._precision) / (1 - right)
        return np.minimum(hit, _MOST_FIRED), np.minimum(miss, _MOST_FIRED)

    def add_to(self, log_joint: Array) -> None:
        """See `Likelihood`."""
        log_joint += self._silent.sum(axis=0) + self._votes @ (self._voted - self._silent)


class SoftVotes:
    """The calibrated answer given a supervisor's probabilities y: p(k | y) ∝ y_k^β · e^(b_k), fitted to the posterior.

    By Bayes' rule the likelihood ratio of a vote is p(k | y) / π_k, whatever the distribution of the votes themselves.
    β < 1 corrects overconfidence, β < 0 inverts a contrary supervisor (K = 2), b removes a bias towards a class.

    Source:
        Vector scaling (Guo et al. 2017) as the M-step of Dawid–Skene; ours.
    """

    def __init__(self, ballots: Ballots, weight: Array) -> None:
        self.ballots, self._weight = ballots, weight[ballots.row]
        self._row, self._person = ballots.row, ballots.supervisor
        log_votes = np.log(np.maximum(ballots.distributions(), _FLOOR))
        self._log_votes = log_votes - log_votes.mean(axis=1, keepdims=True)
        people = len(ballots.names)
        self._exponent = np.ones(people)
        self._offset = np.zeros((people, ballots.choices))
        self._log_prior = np.zeros((people, ballots.choices))

    def fit(self, responsibilities: Array) -> None:
        """See `Likelihood`."""
        own = self._weight
        wanted = own[:, None] * responsibilities[self._row]
        wanted_share = self._per_person(wanted) + 1.0
        for _ in range(_INNER_STEPS):
            predicted = np.exp(self._log_predicted())
            mean = (predicted * self._log_votes).sum(axis=1)
            slope = ((wanted - own[:, None] * predicted) * self._log_votes).sum(axis=1)
            curvature = own * ((predicted * self._log_votes**2).sum(axis=1) - mean**2)
            # A prior worth one vote keeps β at one where there is nothing to learn it from.
            step = (self._sum(slope) - (self._exponent - 1.0)) / (self._sum(curvature) + 1.0)
            self._exponent = np.clip(self._exponent + np.clip(step, -1.0, 1.0), -_LIMIT, _LIMIT)
            share = self._per_person(own[:, None] * np.exp(self._log_predicted())) + 1.0
            self._offset += np.log(wanted_share / share)
        self._log_prior = np.log(wanted_share / wanted_share.sum(axis=1, keepdims=True))

    def add_to(self, log_joint: Array) -> None:
        """See `Likelihood`."""
        evidence = self.evidence(np.arange(len(self._row)))
        for k in range(log_joint.shape[1]):
            log_joint[:, k] += np.bincount(self._row, evidence[:, k], minlength=len(log_joint))

    def evidence(self, votes: Index) -> Array:
        """Return log p(k | y) − log π_k of some votes, shape (V, K)."""
        found: Array = (self._log_predicted() - self._log_prior[self._person])[votes]
        return found

    def _log_predicted(self) -> Array:
        logits: Array = self._exponent[self._person, None] * self._log_votes + self._offset[self._person]
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return logits

    def _sum(self, values: Array) -> Array:
        return np.bincount(self._person, values, minlength=len(self._exponent)).astype(np.float64)

    def _per_person(self, values: Array) -> Array:
        return np.stack([self._sum(column) for column in values.T], axis=1)
