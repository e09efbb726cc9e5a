import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.errors import DataError
from outgrow.evaluate import intervals
from outgrow.evaluate.intervals import (
    aligned_scores,
    bounded_interval,
    percentile_interval,
    resampled_counts,
    resampled_means,
    unseen_share,
)
from outgrow.evaluate.slu import f1_of_counts
from outgrow.evaluate.variance import mean_scores


def test_resamples_follow_the_exact_distribution_of_all_draws():
    # Three examples and two seeds can be drawn in 27 x 4 equally likely ways: enumerate them.
    scores = np.array([[0.0, 1.0, 5.0], [2.0, 3.0, 11.0]])
    every = [
        np.mean([[scores[s, e] for e in examples] for s in seeds])
        for examples in itertools.product(range(3), repeat=3)
        for seeds in itertools.product(range(2), repeat=2)
    ]
    drawn = resampled_means([scores], resamples=40_000)[:, 0]
    assert drawn.mean() == pytest.approx(np.mean(every), abs=0.05)
    assert drawn.std() == pytest.approx(np.std(every), rel=0.02)
    for value in np.unique(np.round(every, 9))[::5]:
        expected = np.mean(np.asarray(every) <= value + 1e-9)
        assert np.mean(drawn <= value + 1e-9) == pytest.approx(expected, abs=0.012)


def test_one_draw_serves_all_methods_so_a_constant_lead_has_no_spread():
    base = np.random.default_rng(0).random((3, 50))
    means = resampled_means([base, base + 0.25])
    assert np.ptp(means[:, 1] - means[:, 0]) < 1e-12


def test_spread_over_one_seed_is_the_standard_error_of_the_mean():
    scores = np.random.default_rng(1).random((1, 400))
    drawn = resampled_means([scores], resamples=20_000)[:, 0]
    assert drawn.std() == pytest.approx(scores.std() / math.sqrt(400), rel=0.03)


def test_seeds_that_differ_widen_the_interval():
    # Every example agrees within a seed: all spread is between the three runs.
    scores = np.repeat([[0.2], [0.5], [0.8]], 100, axis=1)
    low, high = percentile_interval(resampled_means([scores])[:, 0])
    assert (low, high) == pytest.approx((0.2, 0.8))


def test_the_same_seed_gives_the_same_draws_and_another_seed_others():
    scores = [np.random.default_rng(2).random((2, 30))]
    assert np.array_equal(resampled_means(scores, seed=5), resampled_means(scores, seed=5))
    assert not np.array_equal(resampled_means(scores, seed=5), resampled_means(scores, seed=6))


def test_draws_do_not_depend_on_how_much_memory_is_allowed(monkeypatch):
    scores = [np.random.default_rng(3).random((3, 40))]
    at_once = resampled_means(scores, resamples=300)
    monkeypatch.setattr(intervals, "_CELLS", 1)
    assert np.allclose(resampled_means(scores, resamples=300), at_once)


def test_counts_held_at_a_time_stay_below_the_bound(monkeypatch):
    held = []
    draw = intervals._draw_counts

    def watched(random, resamples, size):
        held.append(resamples * size)
        return draw(random, resamples, size)

    monkeypatch.setattr(intervals, "_CELLS", 10_000)
    monkeypatch.setattr(intervals, "_draw_counts", watched)
    resampled_means([np.zeros((2, 700))], resamples=1000)
    assert max(held) <= 10_000


def test_intervals_cover_a_planted_mean_about_as_often_as_they_claim():
    random = np.random.default_rng(4)
    covered = 0
    for run in range(300):
        scores = (random.random((1, 150)) < 0.7).astype(float)
        low, high = percentile_interval(resampled_means([scores], resamples=400, seed=run)[:, 0])
        covered += low <= 0.7 <= high
    assert 0.91 <= covered / 300 <= 0.98


def test_one_seed_stands_for_all():
    aligned = aligned_scores({"votes": [[1, 0]], "student": [[1, 1], [0, 0], [1, 0]]})
    assert aligned["votes"].tolist() == [[1, 0]] * 3


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"a": [1.0, 0.0]}, "wrong shape"),
        ({"a": [[1.0, 0.0], [1.0]]}, "not an array of numbers"),
        ({"a": [["right", "wrong"]]}, "not an array of numbers"),
        ({"a": np.empty((0, 4))}, "wrong shape"),
        ({"a": [[]]}, "wrong shape"),
        ({"a": [[1.0, float("nan")]]}, "1 scores of 'a' are not finite"),
        ({"a": [[1.0, float("inf")]]}, "not finite"),
        ({"a": [[1.0]], "b": [[1.0, 0.0]]}, "different numbers of examples"),
        ({"a": np.zeros((2, 4)), "b": np.zeros((3, 4))}, "different numbers of seeds"),
    ],
)
def test_scores_that_cannot_be_compared_are_refused(scores, message):
    with pytest.raises(DataError, match=message):
        aligned_scores(scores)


def test_a_single_example_has_no_interval():
    assert bounded_interval(1.0, np.ones(10), low=0, high=1, examples=1) is None


def test_a_model_that_is_always_right_gets_the_exact_binomial_bound():
    low, high = bounded_interval(1.0, np.ones(10), low=0, high=1, examples=50)
    assert high == 1
    # At the bound, being right 50 times out of 50 has just the probability that a tail may have.
    assert low**50 == pytest.approx(0.025)


def test_two_models_that_never_differ_get_an_interval_on_both_sides_of_zero():
    low, high = bounded_interval(0.0, np.zeros(10), low=-1, high=1, examples=50)
    assert -low == high == pytest.approx(unseen_share(50))


@given(st.integers(1, 1000))
def test_the_unseen_share_shrinks_with_every_example(examples):
    assert 0 < unseen_share(examples + 1) < unseen_share(examples) < 1


def test_the_f1_of_a_corpus_is_resampled_as_if_it_were_counted_anew():
    random = np.random.default_rng(0)
    counts = random.integers(4, size=(30, 3)).astype(float)
    counts[:3] = 0
    scores = np.array([[f1_of_counts(row) for row in counts]])
    weights = counts[None] @ np.array([2.0, 1.0, 1.0])
    draws = resampled_means([scores], weights=[weights], resamples=50)
    again = next(resampled_counts(1, 30, resamples=50))[2]
    assert draws[:, 0] == pytest.approx([f1_of_counts(own @ counts) for own in again])
    assert mean_scores([scores], [weights]).means == pytest.approx(f1_of_counts(counts.sum(axis=0)))


@given(st.integers(1, 3), st.integers(1, 6), st.floats(0.1, 10))
def test_equal_weights_weigh_nothing(seeds, examples, weight):
    scores = np.random.default_rng(seeds).random((2, seeds, examples))
    weights = np.full_like(scores, weight)
    plain = resampled_means(list(scores), resamples=10)
    assert resampled_means(list(scores), weights=list(weights), resamples=10) == pytest.approx(plain)
    assert mean_scores(scores, weights).means == pytest.approx(mean_scores(scores).means)
    assert mean_scores(scores, weights).squares == pytest.approx(mean_scores(scores).squares)


def test_a_run_without_any_weight_keeps_its_plain_mean():
    scores, weights = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 0.0], [1.0, 0.0]])
    assert mean_scores([scores], [weights]).means == 0.75
    assert resampled_means([scores[:1]], weights=[weights[:1]], resamples=5).tolist() == [[0.5]] * 5
