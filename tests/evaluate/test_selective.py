import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from outgrow.errors import DataError
from outgrow.evaluate import error_bins, error_detection, risk_coverage
from outgrow.evaluate.intervals import resampled_means
from outgrow.evaluate.selective import detection_terms

DOUBTS = st.lists(st.tuples(st.integers(0, 6), st.sampled_from([0.0, 1.0])), min_size=1, max_size=40)


@given(DOUBTS)
def test_the_area_is_that_of_scikit_learn_ties_and_all(pairs):
    doubt, correct = np.array(pairs).T
    if len(set(correct)) < 2:
        assert error_detection(doubt, correct) is None
    else:
        assert error_detection(doubt, correct) == pytest.approx(roc_auc_score(1 - correct, doubt))


@given(DOUBTS)
def test_the_area_and_its_opposite_add_up_to_one(pairs):
    doubt, correct = np.array(pairs).T
    area = error_detection(doubt, correct)
    if area is not None:
        assert area + error_detection(-doubt, correct) == pytest.approx(1)
        assert area == pytest.approx(error_detection(np.exp(doubt), correct))


@given(DOUBTS)
def test_right_and_wrong_play_the_same_part_with_doubt_turned_round(pairs):
    doubt, correct = np.array(pairs).T
    terms = detection_terms(doubt, correct)
    if terms is not None:
        assert terms == pytest.approx(detection_terms(-doubt, 1 - correct))


def test_an_answer_that_is_half_right_is_one_of_each():
    halves = error_detection([1, 2, 3], [1.0, 0.5, 0.0])
    whole = error_detection([1, 1, 2, 2, 3, 3], [1, 1, 1, 0, 0, 0])
    assert halves == pytest.approx(whole)


def test_resampled_terms_spread_as_the_area_itself_does():
    random = np.random.default_rng(0)
    correct = (random.random(400) < 0.75).astype(float)
    doubt = random.standard_normal(400) + 1.2 * (1 - correct)
    drawn = random.integers(400, size=(400, 400))
    areas = [error_detection(doubt[each], correct[each]) for each in drawn]
    linear = resampled_means([detection_terms(doubt, correct)[None]])[:, 0]
    assert linear.mean() == pytest.approx(np.mean(areas), abs=0.003)
    assert linear.std() == pytest.approx(np.std(areas), rel=0.1)


def test_error_bins_recover_a_planted_rise():
    random = np.random.default_rng(1)
    doubt = random.random(20_000)
    bins = error_bins(doubt, (random.random(20_000) > doubt / 2).astype(float))
    assert len(bins) == 10
    for place, each in enumerate(bins):
        assert each.level == pytest.approx((place + 0.5) / 10, abs=0.01)
        assert each.rate == pytest.approx(each.level / 2, abs=0.035)
        assert each.interval[0] < each.rate < each.interval[1]


@given(DOUBTS, st.integers(1, 12))
def test_every_error_is_in_one_bin(pairs, bins):
    doubt, correct = np.array(pairs).T
    found = error_bins(doubt, correct, bins=bins)
    assert sum(each.rate * each.count for each in found) == pytest.approx((1 - correct).sum())


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.0, 1.0])), min_size=1, max_size=5))
def test_risk_at_ties_is_the_mean_over_all_orders(pairs):
    pairs = sorted(pairs)
    orders = [each for each in itertools.permutations(pairs) if [doubt for doubt, _ in each] == [d for d, _ in pairs]]
    curves = [np.cumsum([1 - right for _, right in order]) / np.arange(1, len(pairs) + 1) for order in orders]
    coverage, risk = risk_coverage(*np.array(pairs).T)
    assert risk == pytest.approx(np.mean(curves, axis=0))
    assert coverage.tolist() == pytest.approx([(n + 1) / len(pairs) for n in range(len(pairs))])


@given(DOUBTS)
def test_at_full_coverage_the_risk_is_the_error_rate(pairs):
    doubt, correct = np.array(pairs).T
    assert risk_coverage(doubt, correct)[1][-1] == pytest.approx(np.mean(1 - correct))


@pytest.mark.parametrize("function", [error_bins, error_detection, risk_coverage])
@pytest.mark.parametrize(
    ("doubt", "correct"),
    [([], []), ([1, 2], [1]), ([[1]], [[1]]), ([math.nan], [1]), ([math.inf], [1]), ([1], [1.5]), ([1], [math.nan])],
)
def test_what_cannot_be_ordered_is_refused(function, doubt, correct):
    with pytest.raises(DataError):
        function(doubt, correct)
