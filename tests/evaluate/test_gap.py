import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outgrow.errors import DataError
from outgrow.evaluate import performance_gap


def first(count, examples=100):
    """Right on the first `count` examples: nested sets, as when some examples are harder for everybody."""
    return (np.arange(examples) < count)[None].astype(float)


def test_the_gap_recovered_is_the_ratio_of_mean_scores_not_the_mean_of_ratios():
    # Per seed: (80-60)/(100-60) = 1/2 and (80-20)/(100-20) = 3/4; of means: (80-40)/(100-40) = 2/3.
    floor = np.concatenate([first(60), first(20)])
    gap = performance_gap(first(80), floor, first(100))
    assert gap.pgr == pytest.approx(2 / 3)


def test_a_student_worse_than_its_supervisor_has_a_negative_gap():
    assert performance_gap(first(50), first(60), first(80)).pgr == pytest.approx(-0.5)


def test_a_student_better_than_the_ceiling_recovers_more_than_all():
    assert performance_gap(first(90), first(60), first(80)).pgr == pytest.approx(1.5)


def test_gain_over_base_is_the_difference_of_means():
    gap = performance_gap(first(70), first(60), first(80), base=first(40))
    assert gap.gain_over_base == pytest.approx(0.3)
    low, high = gap.gain_interval
    assert low < 0.3 < high


def test_without_a_base_there_is_no_gain():
    gap = performance_gap(first(70), first(60), first(80))
    assert (gap.base, gap.gain_over_base, gap.gain_interval) == (None, None, None)


@pytest.mark.parametrize("ceiling", [60, 61, 74])
def test_a_ceiling_not_above_the_floor_leaves_the_gap_undefined_but_not_the_gain(ceiling):
    gap = performance_gap(first(57), first(74), first(ceiling), base=first(50))
    assert gap.pgr is None
    assert gap.pgr_interval is None
    assert gap.gain_over_base == pytest.approx(0.07)
    assert gap.gain_interval is not None


def test_an_undefined_gap_is_explained_in_words():
    words = performance_gap(first(57), first(74), first(61)).describe()
    assert "the ceiling (.610) is not above the floor (.740): there is no gap to recover" in words


def test_a_gap_that_is_only_rounding_is_no_gap():
    floor = np.full((1, 10), 0.1) * 3
    assert performance_gap(floor, floor, np.full((1, 10), 0.3) + 1e-16).pgr is None


def test_a_gap_that_cannot_be_told_from_zero_has_no_interval_and_says_why():
    random = np.random.default_rng(0)
    floor, ceiling = ((random.random((3, 100)) < share).astype(float) for share in (0.60, 0.62))
    assert 0 < ceiling.mean() - floor.mean() < 0.1
    gap = performance_gap(first(61), floor, ceiling)
    assert gap.pgr is not None
    assert gap.pgr_interval is None
    assert 0.025 < gap.undefined_share < 1
    assert "cannot be told from zero on 100 examples" in gap.describe()


def test_a_gap_that_is_barely_there_has_a_wide_and_skewed_interval():
    # The ceiling wins 18 examples and loses 6: a gap of .12 with a standard error of .048, 2.5 of which make zero.
    floor, ceiling = first(60), first(60)
    floor[0, :18], ceiling[0, 18:24] = 0, 0
    gap = performance_gap(first(55), floor, ceiling)
    assert 0.005 < gap.undefined_share < 0.01
    low, high = gap.pgr_interval
    assert high - gap.pgr > 2 * (gap.pgr - low)


def test_one_test_example_gives_numbers_without_intervals():
    gap = performance_gap([[1.0]], [[0.0]], [[1.0]], base=[[0.0]])
    assert gap.pgr == 1.0
    assert gap.pgr_interval is None
    assert gap.gain_interval is None
    assert "a single test example" in gap.describe()


def test_a_student_equal_to_the_ceiling_everywhere_keeps_some_doubt():
    gap = performance_gap(first(80), first(30), first(80))
    low, high = gap.pgr_interval
    # Up to 1 - .025^(1/100) = 3.6 % of unseen examples may differ by 1, on a gap of .5.
    assert (low, high) == pytest.approx((1 - 0.0724, 1 + 0.0724), abs=1e-4)


def test_one_seed_of_the_supervisor_stands_for_all_seeds_of_the_student():
    students = np.concatenate([first(70), first(75), first(80)])
    once = performance_gap(students, first(60), first(90))
    thrice = performance_gap(students, first(60).repeat(3, axis=0), first(90).repeat(3, axis=0))
    assert once == thrice


@pytest.mark.parametrize("scores", [np.ones(100), np.ones((1, 99)), np.full((1, 100), np.nan)])
def test_scores_that_do_not_fit_are_refused(scores):
    with pytest.raises(DataError, match=r"shape|examples|finite"):
        performance_gap(scores, first(60), first(80))


def test_intervals_cover_a_planted_gap_about_as_often_as_they_claim():
    # Accuracies .5, .7 and .9 make a true PGR of one half; examples are shared, as in a real test part.
    random = np.random.default_rng(7)
    covered = 0
    for _ in range(200):
        ease = random.random((1, 200))
        noise = 0.2 * (random.random((3, 200)) - 0.5)
        student = (ease + noise < 0.7).astype(float)
        gap = performance_gap(student, (ease < 0.5).astype(float), (ease < 0.9).astype(float))
        covered += gap.pgr_interval[0] <= 0.5 <= gap.pgr_interval[1]
    assert 0.92 <= covered / 200 <= 0.985


def test_pairing_makes_the_interval_narrower_than_independent_examples_would():
    random = np.random.default_rng(8)
    scores = first(500, 1000), first(300, 1000), first(800, 1000)
    paired = performance_gap(*scores).pgr_interval
    unpaired = performance_gap(*(random.permutation(each, axis=1) for each in scores)).pgr_interval
    assert paired[1] - paired[0] < 0.8 * (unpaired[1] - unpaired[0])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.5, 20), st.floats(-5, 5))
def test_the_gap_does_not_depend_on_the_unit_of_the_scores(seed, scale, shift):
    random = np.random.default_rng(seed)
    student, floor, ceiling = random.random((2, 30)), random.random((2, 30)), 1 + random.random((2, 30))
    plain = performance_gap(student, floor, ceiling)
    other = performance_gap(scale * student + shift, scale * floor + shift, scale * ceiling + shift)
    assert other.pgr == pytest.approx(plain.pgr, abs=1e-6)
    assert other.pgr_interval == pytest.approx(plain.pgr_interval, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_the_gap_is_defined_exactly_where_the_ceiling_is_above_the_floor(student, floor, ceiling):
    gap = performance_gap(first(student, 20), first(floor, 20), first(ceiling, 20))
    assert (gap.pgr is None) == (ceiling <= floor)
    if gap.pgr is not None:
        assert gap.pgr == pytest.approx((student - floor) / (ceiling - floor))
    assert (gap.reason is None) == (gap.pgr_interval is not None)
