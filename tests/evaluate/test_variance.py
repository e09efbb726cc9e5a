import itertools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from outgrow.evaluate import ModelScores, holm, mean_scores, summarise
from outgrow.evaluate.intervals import unseen_share
from outgrow.evaluate.slu import f1_of_counts
from outgrow.evaluate.variance import Contrast, ratio_interval


def planted(rng, seeds, examples, *, example=1.0, seed=1.0, residual=1.0):
    """Scores with planted standard deviations and a true mean of 0."""
    rows, runs = rng.normal(0, example, examples), rng.normal(0, seed, seeds)
    return rows + runs[:, None] + rng.normal(0, residual, (seeds, examples))


def test_one_seed_is_the_textbook_t_interval_and_test():
    scores = np.random.default_rng(0).random((1, 40))
    contrast = mean_scores([scores]).contrast([1])
    wanted = stats.ttest_1samp(scores[0], 0.5)
    shifted = mean_scores([scores - 0.5]).contrast([1])
    assert shifted.p() == pytest.approx(wanted.pvalue)
    low, high = wanted.confidence_interval()
    assert contrast.interval(0, 1) == pytest.approx((low, high))


def test_runs_that_agree_on_every_example_are_one_run():
    scores = np.random.default_rng(1).random((1, 30))
    once, thrice = (mean_scores([each]).contrast([1]) for each in (scores, np.repeat(scores, 3, axis=0)))
    assert thrice.interval(0, 1) == pytest.approx(once.interval(0, 1))
    assert thrice.p() == pytest.approx(once.p())


def test_examples_that_agree_within_a_run_leave_the_t_interval_of_the_runs():
    runs = np.array([0.2, 0.5, 0.6])
    contrast = mean_scores([np.repeat(runs[:, None], 100, axis=1)]).contrast([1])
    wanted = stats.ttest_1samp(runs, 0).confidence_interval()
    assert contrast.df == pytest.approx(2)
    assert contrast.interval(-9, 9) == pytest.approx((wanted.low, wanted.high))


def test_mean_squares_are_those_of_the_two_way_table_summed_by_hand():
    scores = np.random.default_rng(2).random((3, 4))
    mean, rows, runs = scores.mean(), scores.mean(axis=0), scores.mean(axis=1)
    by_hand = (
        3 * sum((row - mean) ** 2 for row in rows) / 3,
        4 * sum((run - mean) ** 2 for run in runs) / 2,
        sum((scores[s, i] - rows[i] - runs[s] + mean) ** 2 for s, i in itertools.product(range(3), range(4))) / 6,
    )
    assert mean_scores([scores]).contrast([1]).squares == pytest.approx(by_hand)


def test_the_variance_is_unbiased_for_planted_components():
    rng = np.random.default_rng(3)
    found = [mean_scores([planted(rng, 4, 25, seed=0.5)]).contrast([1]) for _ in range(3000)]
    true = 1 / 25 + 0.25 / 4 + 1 / 100
    assert np.var([each.value for each in found]) == pytest.approx(true, rel=0.08)
    # Cut at zero, the component of seeds is a little too large.
    assert 0.97 * true < np.mean([each.variance for each in found]) < 1.1 * true


@given(st.integers(1, 4), st.integers(2, 8), st.integers(0, 1000))
def test_a_contrast_has_the_squares_of_the_differences_themselves(seeds, examples, seed):
    scores = np.random.default_rng(seed).random((3, seeds, examples))
    weights = np.array([1.0, -0.25, -0.75])
    own = mean_scores(list(scores)).contrast(weights)
    alone = mean_scores([np.tensordot(weights, scores, 1)]).contrast([1])
    assert own.value == pytest.approx(alone.value)
    assert own.squares == pytest.approx(alone.squares, abs=1e-9)


def test_two_models_that_always_agree_have_no_variance_but_rounding():
    scores = np.random.default_rng(4).random((3, 50)) / 3
    contrast = mean_scores([scores, scores + 0.25]).contrast([-1, 1])
    assert contrast.variance == 0
    low, high = contrast.interval(-1, 1)
    assert (low, high) == pytest.approx((0.25 - 1.25 * unseen_share(50), 0.25 + 0.75 * unseen_share(50)))
    assert contrast.p() == pytest.approx(2 * (1 / 1.25) ** 50)


def test_the_test_of_constant_leads_agrees_with_their_interval():
    # All examples differ by the same lead: p falls below .05 where the interval leaves zero.
    leads = np.linspace(0.001, 0.3, 200)
    found = [Contrast(lead, 40, 1, (0.0, 0.0, 0.0)) for lead in leads]
    assert [each.p() < 0.05 for each in found] == [each.interval(-1, 1)[0] > 0 for each in found]
    assert {each.p() < 0.05 for each in found} == {True, False}


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_the_test_rejects_exactly_what_the_interval_excludes(seed, seeds):
    rng = np.random.default_rng(seed)
    contrast = mean_scores([planted(rng, seeds, 20) + rng.normal(0, 1)]).contrast([1])
    low, high = contrast.interval(-99, 99)
    assert (contrast.p() < 0.05) == (low > 0 or high < 0)


def test_a_single_example_has_neither_interval_nor_evidence():
    contrast = mean_scores([[[1.0], [0.5]]]).contrast([1])
    assert contrast.interval(0, 1) is None
    assert contrast.p() == 1.0
    assert contrast.needed() == (None, None)


def test_intervals_stay_within_the_possible_scores():
    low, high = mean_scores([[[1.0] * 19 + [0.0]]]).contrast([1]).interval(0, 1)
    assert high == 1
    assert low < 0.95


def test_a_corpus_score_has_the_variance_that_the_jackknife_finds():
    rng = np.random.default_rng(5)
    counts = rng.integers(5, size=(300, 3)).astype(float)
    scores = np.array([[f1_of_counts(row) for row in counts]])
    weights = counts[None] @ np.array([2.0, 1.0, 1.0])
    without = np.array([f1_of_counts(np.delete(counts, row, axis=0).sum(axis=0)) for row in range(300)])
    jackknife = 299 / 300 * ((without - without.mean()) ** 2).sum()
    contrast = mean_scores([scores], [weights]).contrast([1])
    assert contrast.value == pytest.approx(f1_of_counts(counts.sum(axis=0)))
    assert contrast.variance == pytest.approx(jackknife, rel=0.02)


@pytest.mark.parametrize(("seeds", "least"), [(2, 0.92), (3, 0.92), (5, 0.92)])
@pytest.mark.parametrize("spread", [0.0, 0.1, 1.0])
def test_intervals_cover_whatever_the_seeds_contribute(seeds, least, spread):
    rng = np.random.default_rng([seeds, int(10 * spread)])
    found = [mean_scores([planted(rng, seeds, 50, seed=spread)]).contrast([1]) for _ in range(600)]
    assert least <= np.mean([abs(each.value) <= each.margin for each in found]) <= 0.995 + (seeds == 2)


@pytest.mark.parametrize("seeds", [2, 3])
def test_equally_good_methods_are_told_apart_no_more_often_than_promised(seeds):
    rng = np.random.default_rng(6)
    rejected = 0
    for _ in range(800):
        easy = rng.normal(0, 0.7, 200)
        one, two = ((easy + rng.normal(0, 0.2, (seeds, 1)) + rng.normal(0, 0.7, (seeds, 200)) > 0) for _ in range(2))
        rejected += mean_scores([one, two]).contrast([1, -1]).p() < 0.05
    assert rejected / 800 <= 0.06


def test_fieller_is_exact_for_a_known_case():
    # Independent contrasts: the ends solve (u − r·v)² = t²(A + r²·B), a quadratic in r.
    rng = np.random.default_rng(7)
    u, v = rng.normal(1, 1, 60), rng.normal(2, 1, 60)
    scores = mean_scores([u[None], v[None]])
    a, b, c = np.cov(u, v)[np.tril_indices(2)][[0, 2, 1]] / 60
    t = stats.t.ppf(0.975, 59)
    roots = np.roots([v.mean() ** 2 - t**2 * b, 2 * t**2 * c - 2 * u.mean() * v.mean(), u.mean() ** 2 - t**2 * a])
    assert ratio_interval(scores, [1, 0], [0, 1]) == pytest.approx(tuple(sorted(roots)))


def test_a_ratio_holds_exactly_the_values_that_the_test_does_not_reject():
    rng = np.random.default_rng(8)
    scores = mean_scores([planted(rng, 3, 40) + mean for mean in (0.0, 2.0, 4.0)])
    over, under = np.array([-1.0, 1.0, 0.0]), np.array([-1.0, 0.0, 1.0])
    low, high = ratio_interval(scores, over, under)
    for r, inside in ((low - 0.01, False), (low + 0.01, True), (high - 0.01, True), (high + 0.01, False)):
        assert (scores.contrast(over - r * under).p() > 0.05) == inside


def test_a_ratio_over_what_may_be_zero_has_no_interval():
    rng = np.random.default_rng(9)
    assert ratio_interval(mean_scores([rng.random((2, 30)), rng.normal(0, 1, (2, 30))]), [1, 0], [0, 1]) is None


def test_holm_corrects_the_smallest_most_and_never_reverses_an_order():
    assert holm([]) == []
    assert holm([0.2]) == [0.2]
    assert holm([0.01, 0.02, 0.9]) == pytest.approx([0.03, 0.04, 0.9])
    assert holm([0.5, 0.5]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_lies_between_no_correction_and_bonferroni(p_values):
    for own, corrected in zip(p_values, holm(p_values), strict=True):
        assert own <= corrected <= min(1.0, len(p_values) * own) + 1e-12 or corrected <= 1.0


def test_the_examples_that_would_settle_a_lead_do_so_four_times_in_five():
    rng = np.random.default_rng(10)
    lead = 0.1
    needed = Contrast(lead, 50, 1, (1.0, 0.0, 0.0)).needed()[1]
    assert needed == pytest.approx((1.96 + 0.84) ** 2 / lead**2, rel=0.02)
    found = [mean_scores([rng.normal(lead, 1, (1, needed))]).contrast([1]).p() < 0.05 for _ in range(400)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.06)


def test_more_seeds_settle_what_runs_leave_open_and_more_examples_do_not():
    # Two runs far apart, on examples that hardly differ.
    contrast = mean_scores([np.array([[0.0], [0.2]]) + np.linspace(0, 0.01, 50)]).contrast([1])
    seeds, examples = contrast.needed()
    assert 10 <= seeds <= 20
    assert examples is None


def test_all_intervals_of_a_large_report_take_less_than_a_second():
    rng = np.random.default_rng(11)
    ease = rng.random(2500)
    shares = dict(zip(range(25), rng.uniform(0.6, 0.7, 25), strict=True))
    models = [
        ModelScores(f"m{n}", "student", {"accuracy": ease + rng.normal(0, 0.2, (3, 2500)) < shares[n]}) for n in shares
    ]
    models += [ModelScores(f"s{n}", "supervisor", {"accuracy": (ease < 0.6)[None]}) for n in range(3)]
    models += [ModelScores("base", "base", {"accuracy": (ease < 0.5)[None]})]
    models += [ModelScores("ceiling", "ceiling", {"accuracy": ease + rng.normal(0, 0.2, (3, 2500)) < 0.8})]
    clock = time.process_time()
    summarise(models, {"accuracy": 0.5})
    assert time.process_time() - clock < 1.5


@pytest.mark.parametrize("weights", [0.0, 1.0])
def test_weights_that_are_all_zero_leave_the_plain_mean(weights):
    scores = np.random.default_rng(12).random((2, 10))
    found = mean_scores([scores], [np.full((2, 10), weights)])
    assert found.means == pytest.approx(scores.mean())
    assert found.contrast([1]).squares == pytest.approx(mean_scores([scores]).contrast([1]).squares)
