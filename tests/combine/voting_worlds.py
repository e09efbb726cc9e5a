"""Worlds of voters whose truth is planted, and the posterior that knows how they were made."""

import csv
import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

METHODS = ("mean", "majority", "dawid_skene", "dependence")
DATA = Path(__file__).parents[3] / "shared" / "data"


@dataclass(frozen=True, eq=False)
class World:
    votes: np.ndarray
    truth: np.ndarray
    posterior: np.ndarray


def one_hot(labels, choices=2):
    """Labels (N, M), -1 for an abstention, as votes (N, M, K)."""
    votes = np.eye(choices)[np.maximum(labels, 0)]
    votes[labels < 0] = np.nan
    return votes


def softmax(values):
    values = np.exp(values - values.max(axis=1, keepdims=True))
    return values / values.sum(axis=1, keepdims=True)


def independent(accuracies, *, rows=5000, choices=2, seed=0):
    """Voters that err independently, and uniformly over the wrong choices."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, choices, rows)
    right = random.random((rows, len(accuracies))) < accuracies
    labels = np.where(right, truth[:, None], (truth[:, None] + random.integers(1, choices, right.shape)) % choices)
    bonus = np.log(np.divide(accuracies, 1 - np.asarray(accuracies)) * (choices - 1))
    log_joint = (np.eye(choices)[labels] * bonus[:, None]).sum(axis=1)
    return World(one_hot(labels, choices), truth, softmax(log_joint))


def copies(*, rows=5000, seed=0, flip=0.05):
    """Four near-copies of a 65 % voter, which vote at random on 5 % of the rows, and two independent 85 % voters."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 2, rows)
    original, *honest = (np.where(random.random(rows) < each, truth, 1 - truth) for each in (0.65, 0.85, 0.85))
    copied = [np.where(random.random(rows) < flip, random.integers(0, 2, rows), original) for _ in range(4)]
    log_joint = np.zeros((rows, 2))
    for answer in (0, 1):
        for label in honest:
            log_joint[:, answer] += np.log(np.where(label == answer, 0.85, 0.15))
        of_original = [
            np.prod([np.where(label == said, 1 - flip / 2, flip / 2) for label in copied], axis=0) for said in (0, 1)
        ]
        log_joint[:, answer] += np.log(0.65 * of_original[answer] + 0.35 * of_original[1 - answer])
    return World(one_hot(np.stack([*copied, *honest], axis=1)), truth, softmax(log_joint))


def gaussian(sharpness, *, exponents, rows=5000, choices=2, seed=0, shared=0.0):
    """Supervisors that see the truth through Gaussian noise and report their posterior, raised to an exponent.

    A share of the noise's variance is the same for all of them; the world's posterior holds for a share of zero.
    """
    random = np.random.default_rng(seed)
    truth = random.integers(0, choices, rows)
    evidence = []
    common = random.normal(size=(rows, choices)) if shared else 0.0
    for sharp in sharpness:
        seen = np.sqrt(shared) * common + np.sqrt(1 - shared) * random.normal(size=(rows, choices))
        seen[np.arange(rows), truth] += sharp
        evidence.append(sharp * seen)
    votes = np.stack([softmax(each * power) for each, power in zip(evidence, exponents, strict=True)], axis=1)
    return World(votes, truth, softmax(sum(evidence)))


def accuracy(probs, truth):
    return float((probs.argmax(axis=1) == truth).mean())


def nll(probs, truth):
    return float(-np.log(np.maximum(probs[np.arange(len(truth)), truth], 1e-12)).mean())


def overconfidence(probs, truth):
    return float(probs.max(axis=1).mean()) - accuracy(probs, truth)


def read_rte():
    """Votes (800, 164, 2) and truth of `crowd_rte`."""
    path = _existing("crowd_rte/votes.tsv.gz")
    with gzip.open(path, "rt") as file:
        lines = list(csv.DictReader(file, delimiter="\t"))
    tasks, task = np.unique([line["orig_id"] for line in lines], return_inverse=True)
    people, person = np.unique([line["!amt_worker_ids"] for line in lines], return_inverse=True)
    labels, truth = np.full((len(tasks), len(people)), -1), np.zeros(len(tasks), dtype=int)
    labels[task, person] = [int(line["response"]) for line in lines]
    truth[task] = [int(line["gold"]) for line in lines]
    return one_hot(labels), truth


def read_strategyqa(weakest=12):
    """Votes (2290, 12, 2) and truth of the configurations with the fewest right answers on StrategyQA."""
    with gzip.open(_existing("llm_predictions/StrategyQA.jsonl.gz"), "rt") as file:
        lines = [json.loads(line) for line in file]
    names = sorted(lines[0]["pred"])
    truth = np.array([int(line["gold"]) for line in lines])
    meaning = {True: 1, False: 0}
    labels = np.array([[meaning.get(line["pred"][name], -1) for name in names] for line in lines])
    kept = np.sort(np.argsort((labels == truth[:, None]).mean(axis=0))[:weakest])
    return one_hot(labels[:, kept]), truth


def read_sciq(seed=0):
    """Votes (5840, 4, 2) of four GPT-2 models of different size, fine-tuned on other questions, and truth."""
    with gzip.open(_existing(f"sciq/gpt2_family_weak_labels_seed{seed}.jsonl.gz"), "rt") as file:
        lines = [json.loads(line) for line in file]
    names = [name for name in lines[0] if name.startswith("p_true_")]
    probs = np.array([[line[name] for name in names] for line in lines])
    return np.stack([1 - probs, probs], axis=2), np.array([line["gt_label"] for line in lines])


def _existing(name):
    if not (DATA / name).exists():
        pytest.skip(f"real data are not here: {DATA / name}")
    return DATA / name
