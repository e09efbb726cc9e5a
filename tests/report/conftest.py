import numpy as np
import pytest

from outgrow.evaluate import Certainty, ModelScores, summarise


def scores(share, seeds=3, examples=200, salt=0):
    random = np.random.default_rng([salt, int(1000 * share)])
    ease = (np.arange(examples) + 0.5) / examples
    return (ease + 0.1 * random.standard_normal((seeds, examples)) < share).astype(float)


def models(*metrics, **changed):
    """Two supervisors, base, two students and ceiling on every metric; a share given by name replaces its own."""
    shares = {"tfidf": 0.5, "gpt2": 0.55, "untouched": 0.4, "naive": 0.6, "refined": 0.75, "gold": 0.85, **changed}
    roles = {"untouched": "base", "gold": "ceiling", "tfidf": "supervisor", "gpt2": "supervisor"}
    return [
        ModelScores(
            name,
            roles.get(name, "student"),
            {metric: scores(share, 1 if name in roles else 3, salt=salt) for salt, metric in enumerate(metrics)},
        )
        for name, share in shares.items()
    ]


@pytest.fixture(scope="session")
def one_metric():
    return summarise(models("accuracy"), {"accuracy": 0.25})


@pytest.fixture(scope="session")
def two_metrics():
    return summarise(models("content", "concept"), {"content": 0.25})


@pytest.fixture(scope="session")
def no_gap():
    return summarise(models("accuracy", gpt2=0.9), {})


@pytest.fixture(scope="session")
def bare():
    """A student and nothing to compare it with."""
    return summarise([ModelScores("naive", "student", {"accuracy": scores(0.6)})], {})


@pytest.fixture(scope="session")
def hostile():
    """Names that would be markup in HTML, in rich's tables and in matplotlib."""
    names = {"<script>alert(1)</script>": "supervisor", "[red]x[/red]": "student", "$\\frac{1}{0}$ & co": "student"}
    built = [
        ModelScores(name, role, {"a<b>": scores(0.3 + 0.1 * index)}, note="<img src=x>")
        for index, (name, role) in enumerate(names.items())
    ]
    return summarise(built, {})


def certainty(excess, *, seeds=3, examples=600, salt=0, vacuity=None):
    """Answers right with a probability that is `excess` below what the model believes; vacuity grows with doubt."""
    random = np.random.default_rng([salt, int(1000 * abs(excess))])
    confidence = random.uniform(0.6, 0.95, (seeds, examples))
    runs = []
    for sure in confidence:
        best = np.where(random.random(examples) < sure - excess, sure, 1 - sure)
        doubt = {None: None, "tells": 1 - sure, "misleads": sure, "silent": random.random(examples)}[vacuity]
        runs.append(Certainty.of_choices(np.stack([best, 1 - best], axis=1), np.zeros(examples, dtype=int), doubt))
    return Certainty.stack(runs)


def judged(name, role="student", **how):
    """A model with a certainty of its own."""
    sure = certainty(how.pop("excess", 0.0), **how)
    return ModelScores(name, role, {"accuracy": sure.correct}, certainty=sure)


@pytest.fixture(scope="session")
def calibrated():
    """One of each: too sure, not sure enough, just right; with and without vacuity; and hard votes."""
    hard = Certainty.of_choices(np.eye(2)[[0, 1] * 300], np.zeros(600, dtype=int))
    return summarise(
        [
            ModelScores("people", "supervisor", {"accuracy": hard.correct}, certainty=hard),
            judged("naive", excess=0.15),
            judged("timid", excess=-0.05, salt=1),
            judged("bayesian", salt=2, vacuity="tells"),
            judged("contrary", salt=3, vacuity="misleads", excess=0.151),
            judged("mute", salt=4, vacuity="silent", excess=0.3),
            judged("gold", "ceiling", salt=5),
        ],
        {},
    )
