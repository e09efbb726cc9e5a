"""What the page about the world of GINC says, measured at a reduced size."""

import pytest

from outgrow.errors import ConfigError
from outgrow.progress import SilentReporter
from outgrow.registry import create
from outgrow.theory.topics.hmm import (
    ACCURACY,
    CLEAN,
    DECONVOLVED,
    DISTANCE,
    LAYOUT,
    MIXED,
    NAIVE,
    REFINED,
    SEQUENCE,
    WEAK,
    HmmTopic,
)


@pytest.fixture(scope="module")
def measured():
    """Mean and standard error by panel, series, kind and n."""
    topic = HmmTopic(entities=6, properties=6, vocabulary=30, counts=(2, 32), faults=(0.5,), prompts=60, worlds=4)
    return {row[:4]: row[4:] for row in topic(SilentReporter()).data.rows}


def apart(lower, higher):
    """Whether 95 % intervals do not touch."""
    return lower[0] + 1.96 * lower[1] < higher[0] - 1.96 * higher[1]


def test_demonstrations_help_most_who_knows_that_examples_are_independent(measured):
    assert measured[CLEAN, LAYOUT, ACCURACY, 0][0] == pytest.approx(measured[CLEAN, SEQUENCE, ACCURACY, 0][0], abs=0.02)
    assert measured[CLEAN, SEQUENCE, ACCURACY, 32][0] > measured[CLEAN, SEQUENCE, ACCURACY, 0][0] + 0.05
    assert apart(measured[CLEAN, SEQUENCE, ACCURACY, 32], measured[CLEAN, LAYOUT, ACCURACY, 32])


def test_refinement_leaves_the_mistakes_of_a_faulty_memory_behind_and_naive_training_repeats_them(measured):
    weak = "50% of memory wrong"
    assert measured[WEAK, weak, NAIVE, None][0] == pytest.approx(0.5, abs=0.12)
    assert apart(measured[WEAK, weak, NAIVE, None], measured[WEAK, weak, REFINED, 2])
    assert measured[WEAK, weak, REFINED, 32][0] > 0.97


def test_on_a_mixed_target_deconvolution_comes_closer_than_refinement(measured):
    assert measured[MIXED, DECONVOLVED, DISTANCE, 32][0] < measured[MIXED, REFINED, DISTANCE, 32][0] / 2
    assert measured[MIXED, DECONVOLVED, DISTANCE, 32][0] < measured[MIXED, DECONVOLVED, DISTANCE, 2][0] / 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"counts": [0, 1]},
        {"counts": []},
        {"length": 1},
        {"concepts": 2},
        {"target": [0.5, 0.6]},
        {"corruption": 1.5},
        {"faults": [-0.5]},
        {"jump": 0.0},
        {"worlds": 1},
        {"prompts": 0},
        {"vocabulary": 1},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError):
        create("topic", "hmm", wrong)(SilentReporter())
