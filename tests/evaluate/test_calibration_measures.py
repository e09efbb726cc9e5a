import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import binomtest
from sklearn.metrics import brier_score_loss, log_loss

from outgrow.errors import DataError
from outgrow.evaluate import (
    brier_scores,
    calibration_error,
    confidences,
    negative_log_likelihoods,
    reliability_bins,
    wilson_interval,
)
from outgrow.evaluate.calibration import BINS, PROBABILITY_FLOOR, bin_indices

SHARES = st.integers(0, 64).map(lambda number: number / 64)
ANSWERS = st.lists(st.tuples(SHARES, st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=40)
SPACINGS = st.sampled_from(["width", "mass"])
BOTH = pytest.mark.parametrize("spacing", ["width", "mass"])


def distributions(rows=60, choices=4, seed=0):
    random = np.random.default_rng(seed)
    return random.dirichlet(np.ones(choices), size=rows), random.integers(choices, size=rows)


@pytest.mark.parametrize("choices", [2, 3, 10])
def test_brier_scores_are_those_of_scikit_learn(choices):
    probs, gold = distributions(choices=choices)
    expected = brier_score_loss(gold, probs, labels=range(choices), scale_by_half=False)
    assert brier_scores(probs, gold).mean() == pytest.approx(expected)


@pytest.mark.parametrize("choices", [2, 3, 10])
def test_likelihoods_are_those_of_scikit_learn(choices):
    probs, gold = distributions(choices=choices)
    assert negative_log_likelihoods(probs, gold).mean() == pytest.approx(log_loss(gold, probs, labels=range(choices)))


def test_a_right_answer_called_impossible_costs_the_floor_and_no_more():
    found = negative_log_likelihoods([[1.0, 0.0], [1 - 1e-300, 1e-300]], [1, 1])
    assert found.tolist() == pytest.approx([-math.log(PROBABILITY_FLOOR)] * 2)


@pytest.mark.parametrize("choices", [2, 5, 1000])
def test_an_abstention_is_scored_as_a_uniform_guess(choices):
    silent, uniform, gold = np.full((1, choices), np.nan), np.full((1, choices), 1 / choices), [choices - 1]
    for score in (confidences, brier_scores, negative_log_likelihoods):
        assert score(silent, gold) == pytest.approx(score(uniform, gold))
    assert brier_scores(silent, gold)[0] == pytest.approx(1 - 1 / choices)
    assert negative_log_likelihoods(silent, gold)[0] == pytest.approx(math.log(choices))


def test_rounding_does_not_make_a_model_surer_than_sure():
    assert confidences([[1 + 1e-7, 0.0]], [0]).tolist() == [1.0]


@pytest.mark.parametrize("score", [confidences, brier_scores, negative_log_likelihoods])
@pytest.mark.parametrize(
    ("probs", "gold", "message"),
    [
        ([[0.5, 0.6]], [0], "not distributions"),
        ([[-0.5, 1.5]], [0], "not distributions"),
        ([[math.inf, 0.0]], [0], "not distributions"),
        ([[0.5, math.nan]], [0], "NaN only in part"),
        ([[0.5, 0.5]], [2], "not one of the choices"),
        ([[0.5, 0.5]], [0, 1], "do not fit together"),
        ([[], []], [0, 0], "do not fit together"),
    ],
)
def test_rows_that_cannot_be_scored_are_refused(score, probs, gold, message):
    with pytest.raises(DataError, match=message):
        score(probs, gold)


def test_the_calibration_error_of_two_bins_is_what_pencil_and_paper_say():
    # (3/5)·|2/3 − .9| + (2/5)·|1 − .6| = .14 + .16
    assert calibration_error([0.9, 0.9, 0.9, 0.6, 0.6], [1, 0, 1, 1, 1]) == pytest.approx(0.3)


@BOTH
def test_the_calibration_error_is_that_of_a_loop_over_bins(spacing):
    random = np.random.default_rng(1)
    confidence = random.beta(5, 2, size=300)
    correct = (random.random(300) < confidence**2).astype(float)
    if spacing == "width":
        parts = [np.flatnonzero((confidence >= b / BINS) & (confidence < (b + 1) / BINS)) for b in range(BINS)]
    else:
        parts = np.split(np.argsort(confidence), BINS)
    expected = sum(len(part) / 300 * abs(np.mean(correct[part] - confidence[part])) for part in parts if len(part))
    assert calibration_error(confidence, correct, spacing=spacing) == pytest.approx(expected)


@BOTH
def test_a_planted_excess_of_confidence_is_found_and_a_calibrated_world_has_little_error(spacing):
    random = np.random.default_rng(2)
    confidence = random.uniform(0.7, 1, size=40_000)
    for excess in (0.0, 0.1, 0.3):
        correct = (random.random(40_000) < confidence - excess).astype(float)
        assert calibration_error(confidence, correct, spacing=spacing) == pytest.approx(excess, abs=0.015)


@given(ANSWERS, SPACINGS, st.integers(1, 20))
def test_the_calibration_error_lies_between_the_gap_of_means_and_the_mean_gap(answers, spacing, bins):
    confidence, correct = np.array(answers).T
    error = calibration_error(confidence, correct, bins=bins, spacing=spacing)
    assert abs(np.mean(correct - confidence)) - 1e-9 <= error <= np.mean(np.abs(correct - confidence)) + 1e-9


@given(ANSWERS, SPACINGS, st.randoms())
def test_the_order_of_examples_does_not_matter(answers, spacing, random):
    shuffled = random.sample(answers, len(answers))
    first, second = (calibration_error(*np.array(each).T, spacing=spacing) for each in (answers, shuffled))
    assert first == pytest.approx(second)


@given(ANSWERS, SPACINGS)
def test_every_example_twice_gives_the_same_error(answers, spacing):
    once, twice = (calibration_error(*np.array(each).T, spacing=spacing) for each in (answers, answers * 2))
    assert once == pytest.approx(twice)


@given(ANSWERS, st.integers(0, 20))
def test_abstentions_add_no_error_and_thin_out_what_there_is(answers, silent):
    confidence, correct = np.array(answers).T
    guess = np.full(silent, 0.25)
    diluted = calibration_error(np.append(confidence, guess), np.append(correct, guess))
    assert diluted == pytest.approx(calibration_error(confidence, correct) * len(answers) / (len(answers) + silent))


@given(ANSWERS, SPACINGS, st.integers(1, 20))
def test_the_error_is_the_mean_gap_of_the_bins_in_the_diagram(answers, spacing, bins):
    confidence, correct = np.array(answers).T
    found = reliability_bins(confidence, correct, bins=bins, spacing=spacing)
    gaps = sum(each.count * abs(each.rate - each.level) for each in found) / len(answers)
    assert gaps == pytest.approx(calibration_error(confidence, correct, bins=bins, spacing=spacing), abs=1e-9)
    assert sum(each.count for each in found) == len(answers)
    assert [each.level for each in found] == sorted(each.level for each in found)


@given(arrays.arrays(float, st.integers(1, 50), elements=SHARES), SPACINGS, st.integers(1, 20))
def test_equal_confidences_share_a_bin_and_higher_ones_never_fall_below(values, spacing, bins):
    index = bin_indices(values, bins, spacing)
    order = np.argsort(values, kind="stable")
    assert (np.diff(index[order]) >= 0).all()
    assert len(set(zip(values, index, strict=True))) == len(set(values))
    assert 0 <= index.min() <= index.max() < bins


def test_bins_of_equal_mass_hold_equally_many():
    index = bin_indices(np.random.default_rng(3).random(1500) ** 9, 15, "mass")
    assert np.bincount(index).tolist() == [100] * 15


def test_seeds_of_one_example_are_not_independent_evidence():
    confidence, correct = [0.8] * 50, [1.0] * 30 + [0.0] * 20
    (once,), (thrice,) = reliability_bins(confidence, correct), reliability_bins(confidence * 3, correct * 3, seeds=3)
    assert (once.rate, once.count) == (thrice.rate, thrice.count)
    assert once.interval == pytest.approx(thrice.interval)


@given(st.integers(1, 500), st.data())
def test_the_interval_of_a_share_is_that_of_scipy(trials, data):
    successes = data.draw(st.integers(0, trials))
    expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert wilson_interval(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (2, 1), (-1, 5), (math.nan, 1)])
def test_a_share_that_does_not_exist_is_refused(successes, trials):
    with pytest.raises(DataError, match="does not exist"):
        wilson_interval(successes, trials)


@pytest.mark.parametrize(
    ("confidence", "correct", "options", "message"),
    [
        ([], [], {}, "do not fit"),
        ([0.5], [1, 0], {}, "do not fit"),
        ([[0.5]], [[1]], {}, "do not fit"),
        ([1.5], [1], {}, "confidence is outside"),
        ([math.nan], [1], {}, "confidence is outside"),
        ([0.5], [2], {}, "correctness is outside"),
        ([0.5], [1], {"bins": 0}, "Bins cannot be made"),
        ([0.5], [1], {"spacing": "depth"}, "Bins cannot be made"),
    ],
)
def test_what_has_no_calibration_error_is_refused(confidence, correct, options, message):
    for function in (calibration_error, reliability_bins):
        with pytest.raises(DataError, match=message):
            function(confidence, correct, **options)
