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
    copies: np.ndarray | None = None


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


def alike(usual, balance, *, rows=2000, people=30, per_row=5, seed=0):
    """Voters who err as `usual` (K, K; rows are answers) says, each with an own skill; `per_row` vote on each row."""
    random = np.random.default_rng(seed)
    usual, k = np.asarray(usual), len(balance)
    right = np.diag(usual) / (1 - np.diag(usual)) * np.exp(random.normal(0, 0.5, (people, 1)))
    right = right / (1 + right)
    confusion = usual * ((1 - right) / (1 - np.diag(usual)))[:, :, None]
    confusion[:, range(k), range(k)] = right
    truth = random.choice(k, rows, p=balance)
    labels = np.array([_drawn(random, each[truth]) for each in confusion]).T
    silent = random.random(labels.shape).argsort(axis=1) >= per_row
    of_vote = np.log(confusion).transpose(0, 2, 1)[np.arange(people), labels]
    log_joint = np.log(balance) + np.where(silent[:, :, None], 0.0, of_vote).sum(axis=1)
    labels[silent] = -1
    return World(one_hot(labels, k), truth, softmax(log_joint))


RARE_AND_MISSED = ((0.92, 0.08), (0.4, 0.6)), (0.95, 0.05)
"""What `alike` takes for a rare class that everyone often misses."""
ON_A_SCALE = np.full((5, 5), 0.01) + 0.55 * np.eye(5) + 0.2 * (np.eye(5, k=1) + np.eye(5, k=-1))
ON_A_SCALE = ON_A_SCALE / ON_A_SCALE.sum(axis=1, keepdims=True), np.full(5, 0.2)
"""What `alike` takes for five steps of a scale, of which neighbours are confused."""

KINDS = ("independent", "confusion", "contrary", "sparse", "unequal", "rules", "copies")


def planted(kind, seed):
    """A world of a kind, otherwise drawn at random: 2 to 20 choices, 500 to 4,000 rows, 4 to 200 voters.

    `confusion`: each voter has a confusion matrix of its own. `contrary`: some are below chance. `sparse`: 40 to 200
    voters with 3 to 9 votes a row. `unequal`: class shares from a flat Dirichlet. `rules`: voters with one label each
    on 3 to 16 % of the rows. `copies`: 2 to 5 voters repeat a hidden one on 80 to 95 % of the rows and vote at random
    elsewhere, beside 3 to 7 others. The posterior is that of the planted parameters.
    """
    random = np.random.default_rng([sum(map(ord, kind)), seed])
    k = int(random.choice([2, 2, 3, 4, 6, 10, 20]))
    rows, people = int(random.choice([500, 1000, 2000, 4000])), int(random.integers(4, 13))
    balance = random.dirichlet(np.full(k, 10.0)) if random.random() < 0.5 else np.full(k, 1 / k)
    low, coverage, errors = 0.55 if k == 2 else 0.35, 1.0, None
    if kind == "rules":
        return _rules(random)
    if kind == "copies":
        return _copies(random, balance, rows, low)
    if kind == "unequal":
        balance = 0.9 * random.dirichlet(np.ones(k)) + 0.1 / k
    if kind == "confusion":
        errors = 0.7
    if kind == "sparse":
        people = int(random.integers(40, 200))
        coverage = random.uniform(3, 9) / people
    if kind == "contrary":
        k, balance, low = 2, np.array([0.5, 0.5]), 0.55
    accuracies = random.uniform(low, 0.92, people)
    if kind == "contrary":
        accuracies[: max(1, people // 5)] = random.uniform(0.1, 0.4, max(1, people // 5))
    confusion = _confusion(random, accuracies, k, errors)
    truth, labels, log_joint = _said(random, confusion, balance, rows, coverage)
    return World(one_hot(labels, k), truth, softmax(log_joint))


def _drawn(random, probs):
    return (random.random(len(probs))[:, None] > probs.cumsum(axis=1)).sum(axis=1).clip(max=probs.shape[1] - 1)


def _confusion(random, accuracies, k, errors):
    """Matrices (M, K, K) of p(label | answer); errors are spread evenly, or by a Dirichlet distribution."""
    found = np.empty((len(accuracies), k, k))
    for person, accuracy in enumerate(accuracies):
        for answer in range(k):
            spread = np.full(k - 1, 1 / (k - 1)) if errors is None else random.dirichlet(np.full(k - 1, errors))
            own = accuracy if errors is None else np.clip(accuracy + random.normal(0, 0.08), 0.05, 0.98)
            found[person, answer] = np.insert(spread * (1 - own), answer, own)
    return found


def _said(random, confusion, balance, rows, coverage=1.0):
    truth = _drawn(random, np.tile(balance, (rows, 1)))
    labels = np.stack([_drawn(random, each[truth]) for each in confusion], axis=1)
    labels[random.random(labels.shape) > coverage] = -1
    log_joint = np.tile(np.log(balance), (rows, 1))
    for each, label in zip(confusion, labels.T, strict=True):
        log_joint[label >= 0] += np.log(each[:, label[label >= 0]].T)
    return truth, labels, log_joint


def _rules(random):
    k, rows = int(random.choice([2, 2, 4, 6])), int(random.choice([2000, 4000]))
    balance = random.dirichlet(np.full(k, 5.0))
    choice = np.arange(k * int(random.integers(3, 8))) % k
    precision, coverage = random.uniform(0.55, 0.95, len(choice)), random.uniform(0.03, 0.16, len(choice))
    truth = _drawn(random, np.tile(balance, (rows, 1)))
    log_joint, labels = np.tile(np.log(balance), (rows, 1)), np.full((rows, len(choice)), -1)
    for rule, own in enumerate(choice):
        votes = np.full(k, (1 - precision[rule]) * coverage[rule] / (1 - balance[own]))
        votes[own] = min(precision[rule] * coverage[rule] / balance[own], 0.95)
        fires = random.random(rows) < votes[truth]
        labels[fires, rule] = own
        log_joint += np.where(fires[:, None], np.log(votes), np.log(1 - votes))
    return World(one_hot(labels, k), truth, softmax(log_joint))


def repeated_rules(seed, copies=3):
    """Ten rules for two labels on 3,000 rows, and further rules that do as the first one on 90 % of the rows."""
    random = np.random.default_rng(seed)
    truth, labels = random.integers(0, 2, 3000), np.full((3000, 10 + copies), -1)
    for rule in range(10):
        precision, coverage = random.uniform(0.7, 0.95), random.uniform(0.1, 0.25)
        right = np.where(truth == rule % 2, precision, 1 - precision)
        labels[random.random(3000) < 2 * coverage * right, rule] = rule % 2
    for copy in range(10, 10 + copies):
        alone = np.where(random.random(3000) < (labels[:, 0] == 0).mean(), 0, -1)
        labels[:, copy] = np.where(random.random(3000) < 0.9, labels[:, 0], alone)
    return World(one_hot(labels), truth, None)


def _copies(random, balance, rows, low):
    k, copied, others = len(balance), int(random.integers(2, 6)), int(random.integers(3, 8))
    rate = random.uniform(0.8, 0.95)
    low = low if k == 2 else 0.4
    accuracies = np.append(random.uniform(low + 0.05, 0.9, others), random.uniform(low, 0.8))
    confusion = _confusion(random, accuracies, k, None)
    truth, labels, log_joint = _said(random, confusion[:-1], balance, rows)
    hidden = _drawn(random, confusion[-1][truth])
    follows = random.random((rows, copied)) < rate
    copies = np.where(follows, hidden[:, None], random.integers(0, k, (rows, copied)))
    of_hidden = np.stack([np.log(rate * (copies == said) + (1 - rate) / k).sum(axis=1) for said in range(k)], axis=1)
    top = of_hidden.max(axis=1, keepdims=True)
    log_joint += np.log(np.exp(of_hidden - top) @ confusion[-1].T)
    labels = random.permutation(np.concatenate([copies, labels], axis=1), axis=1)
    copied = (labels[:, :, None] == copies[:, None]).all(axis=0).any(axis=1)
    return World(one_hot(labels, k), truth, softmax(log_joint), copied)


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


def read_binary(name):
    """Votes (N, M, 2) and truth of the configurations on StrategyQA (25 of them) or `sports` (30)."""
    with gzip.open(_existing(f"llm_predictions/{name}.jsonl.gz"), "rt") as file:
        lines = [json.loads(line) for line in file]
    names = sorted(lines[0]["pred"])
    truth = np.array([int(line["gold"]) for line in lines])
    meaning = {True: 1, False: 0, "1": 1, "0": 0}
    return one_hot(np.array([[meaning.get(line["pred"][name], -1) for name in names] for line in lines])), truth


def read_strategyqa(weakest=12):
    """Votes (2290, 12, 2) and truth of the configurations with the fewest right answers on StrategyQA."""
    votes, truth = read_binary("StrategyQA")
    right = np.nan_to_num(votes)[np.arange(len(truth)), :, truth].mean(axis=0)
    return votes[:, np.sort(np.argsort(right)[:weakest])], truth


def read_open_answers(name):
    """Labels (N, 30) and truth of the configurations on GSM8K or `date`: numbers or dates, equal numbers as one."""
    with gzip.open(_existing(f"llm_predictions/{name}.jsonl.gz"), "rt") as file:
        lines = [json.loads(line) for line in file]
    names, place = sorted(lines[0]["pred"]), {}
    truth = np.array([place.setdefault(_number(line["gold"]), len(place)) for line in lines])
    labels = [
        [-1 if said in ("[invalid]", "", None) else place.setdefault(_number(said), len(place)) for said in answers]
        for answers in ([line["pred"][name] for name in names] for line in lines)
    ]
    return np.array(labels), truth


def _number(text):
    text = str(text).split("####")[-1].strip().replace(",", "").lstrip("$")
    try:
        return str(float(text))
    except ValueError:
        return text


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
