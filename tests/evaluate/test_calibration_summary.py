import json

import numpy as np
import pytest

from outgrow.errors import DataError
from outgrow.evaluate import Certainty, ModelScores, calibration_error, intervals, summarise
from outgrow.evaluate.calibration_summary import resampled_calibration_errors, summarise_calibration


def world(excess, *, seeds=3, examples=1000, vacuity=False, salt=0):
    """Answers right with a probability that is `excess` below what the model believes."""
    random = np.random.default_rng([salt, seeds])
    confidence = random.uniform(0.6, 0.95, (seeds, examples))
    right = random.random((seeds, examples)) < confidence - excess
    gold = np.zeros(examples, dtype=int)
    runs = []
    for sure, hit in zip(confidence, right, strict=True):
        best = np.where(hit, sure, 1 - sure)
        doubt = 1 - sure if vacuity else None
        runs.append(Certainty.of_choices(np.stack([best, 1 - best], axis=1), gold, doubt))
    return Certainty.stack(runs)


def student(name, certainty, role="student"):
    return ModelScores(name, role, {"accuracy": certainty.correct}, certainty=certainty)


def lines(*models):
    return {line.name: line for line in summarise_calibration(models).lines}


@pytest.mark.parametrize("excess", [-0.05, 0.0, 0.1, 0.3])
def test_planted_over_and_underconfidence_lies_in_the_interval(excess):
    line = lines(student("naive", world(excess)))["naive"]
    low, high = line.overconfidence.interval
    assert low <= excess <= high
    low, high = line.error.interval
    assert low <= abs(excess) <= high
    assert (low > 0) == (excess != 0)


def test_every_estimate_lies_in_its_own_interval():
    for line in lines(*(student(str(excess), world(excess, examples=80)) for excess in (0.0, 0.05, 0.3))).values():
        for estimate in (line.error, line.overconfidence, line.brier, line.nll, line.error_change):
            if estimate is not None:
                assert estimate.interval[0] <= estimate.value <= estimate.interval[1]


def test_intervals_of_the_calibration_error_cover_the_planted_one_about_as_often_as_they_claim():
    for excess in (0.0, 0.05):
        covered = 0
        for run in range(30):
            low, high = lines(student("a", world(excess, seeds=1, examples=300, salt=run)))["a"].error.interval
            covered += low <= excess <= high
        assert covered / 30 >= 0.9, excess


def test_the_mean_over_seeds_is_taken_of_their_calibration_errors():
    certainty = world(0.1)
    each = [calibration_error(*run) for run in zip(certainty.confidence, certainty.correct, strict=True)]
    assert lines(student("naive", certainty))["naive"].error.value == pytest.approx(np.mean(each))


def test_resampled_errors_are_the_errors_of_the_resampled_examples(monkeypatch):
    monkeypatch.setattr(intervals, "_CELLS", 60 * 700)  # several blocks
    certainty = world(0.1, seeds=2, examples=60)
    errors, noise = resampled_calibration_errors([certainty], seed=4)
    blocks = list(intervals.resampled_counts(2, 60, seed=4))
    assert len(blocks) == 3
    for block, chosen, counts in blocks:
        for row in (0, len(chosen) - 1):
            drawn = np.repeat(np.arange(60), counts[row].astype(int))
            runs = np.repeat(np.arange(2), chosen[row].astype(int))
            of_runs = [calibration_error(certainty.confidence[s, drawn], certainty.correct[s, drawn]) for s in runs]
            assert errors[block][row, 0] == pytest.approx(np.mean(of_runs))
    assert (noise >= 0).all()


def test_resamples_are_those_of_the_accuracies():
    # One example decides: drawn n times it adds n/N to a mean score and to a calibration error alike.
    correct = np.ones((1, 50))
    correct[0, 7] = 0
    certainty = Certainty(np.ones((1, 50)), correct, np.zeros((1, 50)), np.zeros((1, 50)))
    errors, _ = resampled_calibration_errors([certainty], seed=3)
    assert errors[:, 0] == pytest.approx(1 - intervals.resampled_means([correct], seed=3)[:, 0])


def test_a_student_is_compared_with_the_naive_one_on_the_same_examples():
    found = lines(student("other", world(0.0)), student("naive", world(0.2)), student("gold", world(0.0), "ceiling"))
    assert (found["other"].against, found["naive"].against, found["gold"].against) == ("naive", None, None)
    low, high = found["other"].error_change.interval
    assert low <= -0.2 <= high < -0.1
    assert found["naive"].error_change is None


def test_a_student_that_is_a_copy_of_the_naive_one_differs_by_nothing():
    certainty = world(0.1)
    change = lines(student("naive", certainty), student("copy", certainty))["copy"].error_change
    assert change.value == 0
    assert change.interval[0] < 0 < change.interval[1]


def test_one_seed_stands_for_all():
    found = lines(student("votes", world(0.1, seeds=1), "supervisor"), student("naive", world(0.1)))
    assert found["votes"].error.interval is not None


def test_vacuity_that_orders_errors_is_measured_and_only_where_there_is_any():
    found = lines(student("naive", world(0.1)), student("evidential", world(0.1, vacuity=True)))
    assert found["naive"].vacuity is None
    about = found["evidential"].vacuity
    assert 0.5 < about.detection.interval[0] < about.detection.value < about.detection.interval[1] < 1
    assert about.detection == about.confidence_detection  # one minus confidence is this world's vacuity
    assert about.bins[0].rate < about.bins[-1].rate


def test_a_model_that_never_errs_has_no_errors_to_detect():
    always = Certainty.of_choices([[0.9, 0.1]] * 20, [0] * 20, np.linspace(0, 1, 20))
    line = lines(student("naive", always))["naive"]
    assert line.vacuity.detection is None
    # Resampling shows no doubt about it, the exact binomial bound does.
    assert line.error.interval[0] < 0.1 < line.error.interval[1]


def test_hard_votes_that_are_wrong_are_counted_as_impossible():
    hard = Certainty.of_choices([[1.0, 0.0]] * 10, [0] * 7 + [1] * 3)
    assert lines(student("votes", hard))["votes"].impossible == pytest.approx(0.3)


def test_one_example_has_no_interval():
    line = lines(student("naive", Certainty.of_choices([[0.9, 0.1]], [0])))["naive"]
    assert (line.error.interval, line.overconfidence.interval) == (None, None)


def test_without_certainties_there_is_no_calibration_and_with_them_it_is_ready_for_json():
    assert summarise([ModelScores("naive", "student", {"accuracy": np.ones((1, 5))})], {}).calibration is None
    plain = summarise([student("naive", world(0.1, vacuity=True))], {}).to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["calibration"]["lines"][0]["name"] == "naive"


def test_the_same_certainties_give_the_same_summary():
    models = [student("naive", world(0.1)), student("other", world(0.0, vacuity=True))]
    assert summarise_calibration(models, seed=1) == summarise_calibration(models, seed=1)
    assert summarise_calibration(models, seed=1) != summarise_calibration(models, seed=2)


def test_certainties_on_other_examples_are_refused():
    with pytest.raises(DataError, match="different numbers of examples"):
        summarise_calibration([student("naive", world(0.1)), student("other", world(0.1, examples=10))])
