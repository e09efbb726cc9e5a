"""`outgrow theory hmm`: in-context learning as exact inference in the GINC world, with weak answers and mixtures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outgrow.progress import Reporter
from outgrow.theory.checks import Floats, Ints, above_zero, at_least, distribution, positive_counts, probability
from outgrow.theory.deconvolution import estimate_prior
from outgrow.theory.figures import Chart, Panel, charted
from outgrow.theory.forward import log_probability, next_token
from outgrow.theory.hmm import HiddenMarkovWorld, faulty_memory, make_ginc, sample_documents
from outgrow.theory.prompts import (
    Prompts,
    answer_probabilities,
    answers,
    check_prompt_size,
    sample_prompts,
    task_log_likelihoods,
    task_posterior,
    tasks_of,
)
from outgrow.theory.regression import Risk
from outgrow.theory.topic import Finding, Point, curve, pivot

LAYOUT, SEQUENCE = "knows the layout", "reads one document"
REFINED, NAIVE, DECONVOLVED = "refined", "naive", "deconvolved"
CLEAN, WEAK, MIXED = "True demonstrations", "Weak demonstrations", "Mixed target"
ACCURACY, DISTANCE = "accuracy", "distance from the oracle"
_STATISTICS = {"delimiters": ".3f", "stays": ".3f", "said": ".0f", "nats": ".2f"}
Scores = dict[tuple[str, str, str], dict[int | None, list[float]]]
"""One mean per world, by panel, series, kind and n."""


@dataclass(frozen=True)
class HmmTopic:
    """Exact predictors on correct, weakly labelled and mixed prompts; every number is a mean over worlds."""

    concepts: int = 5
    entities: int = 10
    properties: int = 10
    vocabulary: int = 50
    permutations: int = 10
    length: int = 3
    """k: tokens of an example."""
    counts: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    """n: demonstrations; for mixtures the total number of weak answers."""
    jump: float = 1e-2
    """Probability of a jump per step, for the predictor that reads a prompt as one document."""
    faults: tuple[float, ...] = (0.2, 0.4, 0.6)
    """Shares of the weak supervisors' memory that are wrong."""
    target: tuple[float, ...] = (0.6, 0.3, 0.1)
    """Shares of the tasks in a mixed target; each task has a different concept."""
    corruption: float = 0.3
    """Probability that a weak answer to a mixed target is a random token."""
    prompts: int = 150
    """Prompts in each world."""
    worlds: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        positive_counts("counts", self.counts)
        check_prompt_size(max(self.counts), self.length, None)
        for name, value in (("corruption", self.corruption), *(("faults", share) for share in self.faults)):
            probability(name, value)
        above_zero("jump", self.jump)
        probability("jump", self.jump)
        at_least("prompts", self.prompts, 1)
        at_least("worlds", self.worlds, 2)
        at_least("concepts", self.concepts, len(self.target))
        distribution("The target", self.target, len(self.target))

    def __call__(self, reporter: Reporter) -> Finding:
        """Sample the worlds and measure the predictors on each."""
        found: Scores = {}
        facts: dict[str, list[float]] = {}
        with reporter.step("infer", total=self.worlds * len(self.counts)) as step:
            for number in range(self.worlds):
                world = self._world(number)
                self._statistics(world, facts)
                for n in (0, *self.counts):
                    self._measure(world, n, self.seed + number, found)
                    step.advance(n > 0)
        points: list[Point] = []
        for key, scores in found.items():
            points += curve(*key, scores, [Risk.of(np.array(values)) for values in scores.values()])
        summary = pivot(
            points, {"panel": "prompts", "series": "predictor or supervisor", "kind": "measured"}, (0, *self.counts)
        )
        page_facts = self._facts(facts, max(point.standard_error or 0.0 for point in points))
        untouched = Risk.of(np.array(found[CLEAN, LAYOUT, ACCURACY][0]))
        for panel in (CLEAN, WEAK):
            points += curve(panel, "query alone", ACCURACY, [None], [untouched])
        shown = ((CLEAN, ACCURACY), (WEAK, ACCURACY), (MIXED, DISTANCE))
        panels = tuple(Panel(name, y=height, ylim=(0, None)) for name, height in shown)
        return charted("hmm", self, summary, points, Chart(panels), size=(10.0, 3.8), value="mean", facts=page_facts)

    def _world(self, number: int) -> HiddenMarkovWorld:
        sizes = ("concepts", "entities", "properties", "vocabulary", "permutations")
        return make_ginc(**{name: getattr(self, name) for name in sizes}, seed=self.seed + number)

    def _measure(self, world: HiddenMarkovWorld, n: int, seed: int, found: Scores) -> None:
        """Add one world's scores at one number of demonstrations."""

        def add(panel: str, series: str, kind: str, scores: NDArray[Any], x: int | None = n) -> None:
            found.setdefault((panel, series, kind), {}).setdefault(x, []).append(float(scores.mean()))

        tasks = tasks_of(world)
        task = np.random.default_rng([seed, n]).integers(tasks.concepts, size=self.prompts)
        prompts = sample_prompts(tasks, task, demonstrations=n, length=self.length, seed=seed)
        truth = answers(tasks, task, prompts.query)
        add(CLEAN, LAYOUT, ACCURACY, _answered(tasks, prompts, 0.0) == truth)
        add(CLEAN, SEQUENCE, ACCURACY, next_token(world, prompts.tokens, jump=self.jump).argmax(axis=1) == truth)
        for share in self.faults:
            faulty, memory = f"{share:.0%} of memory wrong", faulty_memory(tasks, share, seed=seed)
            said = answers(tasks, task.repeat(n), prompts.inputs.reshape(len(task) * n, self.length - 1), memory=memory)
            weak = dataclasses.replace(prompts, outputs=said.reshape(prompts.outputs.shape))
            add(WEAK, faulty, REFINED, _answered(tasks, weak, share) == truth)
            if not n:
                add(WEAK, faulty, NAIVE, answers(tasks, task, prompts.query, memory=memory) == truth, None)
        if n:
            self._measure_mixture(tasks, n, seed, add)

    def _measure_mixture(
        self, tasks: HiddenMarkovWorld, n: int, seed: int, add: Callable[[str, str, str, NDArray[Any]], None]
    ) -> None:
        """Add distances from the oracle, which knows the mixture, for n weak answers and new queries."""
        rng = np.random.default_rng([seed, n, 1])
        starts = tasks.concepts // self.concepts
        members = rng.permutation(self.concepts)[: len(self.target)] * starts + rng.integers(starts)
        prior = np.zeros(tasks.concepts)
        prior[members] = self.target
        repeats = max(1, self.prompts // 10)
        task = rng.choice(members, p=self.target, size=(repeats, n + 1))
        prompts = sample_prompts(
            tasks, task, demonstrations=n, length=self.length, corruption=self.corruption, seed=rng
        )
        oracle = _under(tasks, prior, prompts.query)
        refined = answer_probabilities(
            tasks, prompts.query, task_posterior(tasks, prompts, corruption=self.corruption, jump=self.jump)
        )
        each = task_log_likelihoods(
            tasks, prompts.inputs.reshape(repeats * n, -1), prompts.outputs.ravel(), corruption=self.corruption
        ).reshape(repeats, n, -1)
        pooled = (_pooled(one, tasks.prior) for one in each)
        deconvolved = np.concatenate(
            [_under(tasks, prior, query[None]) for prior, query in zip(pooled, prompts.query, strict=True)]
        )
        for name, found in ((REFINED, refined), (DECONVOLVED, deconvolved)):
            add(MIXED, name, DISTANCE, np.abs(found - oracle).sum(axis=1) / 2)

    def _statistics(self, world: HiddenMarkovWorld, facts: dict[str, list[float]]) -> None:
        documents = sample_documents(world, count=100, length=1000, seed=self.seed)
        stays = documents.entity[:, 1:] == documents.entity[:, :-1]
        short = documents.tokens[:, :200]
        loss = -log_probability(world, short).mean() / short.shape[1]
        values = ((documents.tokens == 0).mean(), stays.mean(), len(np.unique(documents.tokens)), loss)
        for name, value in zip(_STATISTICS, values, strict=True):
            facts.setdefault(name, []).append(float(value))

    def _facts(self, facts: dict[str, list[float]], error: float) -> dict[str, str]:
        return {
            **{name: f"{np.mean(facts[name]):{digits}}" for name, digits in _STATISTICS.items()},
            "error": f"{error:.3f}",
            "world": f"{self.concepts} concepts, {self.entities} entities × {self.properties} properties, "
            f"vocabulary {self.vocabulary}, k = {self.length}",
            "corruption": f"{self.corruption:.0%}",
        }


def _answered(tasks: HiddenMarkovWorld, prompts: Prompts, corruption: float) -> Ints:
    posterior = task_posterior(tasks, prompts, corruption=corruption)
    return np.asarray(answer_probabilities(tasks, prompts.query, posterior).argmax(axis=1))


def _under(tasks: HiddenMarkovWorld, prior: Floats, query: Ints) -> Floats:
    return next_token(dataclasses.replace(tasks, prior=prior), query)


def _pooled(log_likelihood: Floats, source: Floats) -> Floats:
    """Estimate the prior of the tasks, smoothed by the source's with the weight of one answer so that none is 0."""
    estimate = estimate_prior(log_likelihood, start=source).prior
    return np.asarray((len(log_likelihood) * estimate + source) / (len(log_likelihood) + 1))
