import json

import numpy as np
import pytest

from outgrow.errors import DataError
from outgrow.evaluate import ModelScores, holm, performance_gap, summarise


def first(*counts, examples=200):
    """One run per count, right on that many of the first examples."""
    return (np.arange(examples) < np.array(counts)[:, None]).astype(float)


def model(name, role, *counts, metric="accuracy"):
    return ModelScores(name, role, {metric: first(*counts)})


FULL = (
    model("small", "supervisor", 90),
    model("large", "supervisor", 110),
    model("untouched", "base", 100),
    model("naive", "student", 120, 125, 130),
    model("confidence", "student", 140, 145, 150),
    model("gold", "ceiling", 160, 170, 180),
)


def lines(summary):
    return {line.name: line for line in summary.metrics[0].lines}


def test_the_gap_in_a_summary_is_the_gap_of_the_same_scores_alone():
    line = lines(summarise(FULL, {}))["confidence"]
    scores = {each.name: each.scores["accuracy"] for each in FULL}
    alone = performance_gap(scores["confidence"], scores["large"], scores["gold"], base=scores["untouched"])
    assert line.against_best.pgr == pytest.approx(alone.pgr)
    assert line.against_best.pgr_interval == pytest.approx(alone.pgr_interval)
    assert line.gain_over_base.interval == pytest.approx(alone.gain_interval)


def test_the_gap_against_the_average_supervisor_uses_the_mean_of_their_scores():
    line = lines(summarise(FULL, {}))["confidence"]
    # (145 - 100) / (170 - 100)
    assert line.against_mean.pgr == pytest.approx(45 / 70)


def test_the_best_and_the_average_supervisor_are_named_and_scored():
    metric = summarise(FULL, {}).metrics[0]
    assert metric.best_supervisor == "large"
    assert metric.mean_supervisor.value == pytest.approx(0.5)


def test_every_mean_lies_inside_its_interval():
    for line in summarise(FULL, {}).metrics[0].lines:
        low, high = line.score.interval
        assert low <= line.score.value <= high


def test_the_lead_over_the_best_supervisor_is_a_paired_difference():
    lead = lines(summarise(FULL, {}))["confidence"].gain_over_best
    assert lead.value == pytest.approx(35 / 200)
    assert lead.interval[0] > 0


def test_the_best_supervisor_may_be_chosen_on_other_rows():
    metric = summarise(FULL, {}, best={"accuracy": "small"}).metrics[0]
    assert (metric.best_supervisor, metric.best_supervisor_doubt) == ("small", 0.0)
    assert metric.of("student")[1].gain_over_best.value == pytest.approx(55 / 200)
    # The claim of having outgrown them is made against the hardest one all the same.
    assert metric.of("student")[1].rivals[0].name == "large"


def test_p_values_are_corrected_for_the_number_of_students():
    random = np.random.default_rng(0)
    ease = random.random(300)
    runs = {
        name: ease + random.normal(0, 0.1, (3, 300)) < 0.5 + lead
        for name, lead in zip("abcd", (0, 0.02, 0.03, 0.04), strict=True)
    }
    found = lines(summarise([ModelScores(name, "student", {"accuracy": own}) for name, own in runs.items()], {}))
    raw = [line.comparison.p for line in found.values()]
    assert [line.comparison.corrected for line in found.values()] == pytest.approx(holm(raw))
    assert max(raw) > min(raw) > 0


def test_students_are_tested_against_naive_and_naive_against_the_best_other():
    found = lines(summarise(FULL, {}))
    assert found["confidence"].comparison.against == "naive"
    assert (found["confidence"].comparison.wins, found["confidence"].comparison.losses) == (30, 0)
    assert found["naive"].comparison.against == "confidence"


def test_without_a_student_named_naive_the_first_one_takes_its_part():
    students = [model("one", "student", 100), model("two", "student", 120), model("three", "student", 110)]
    found = lines(summarise(students, {}))
    assert found["one"].comparison.against == "two"
    assert found["two"].comparison.against == found["three"].comparison.against == "one"


def test_a_lone_student_is_compared_with_nobody():
    assert lines(summarise([model("naive", "student", 100)], {}))["naive"].comparison is None


def test_only_students_have_gaps_gains_and_tests():
    for name, line in lines(summarise(FULL, {})).items():
        if line.role != "student":
            found = (line.against_best, line.against_mean, line.gain_over_best, line.gain_over_base, line.comparison)
            assert found == (None,) * 5, name


def test_without_a_ceiling_there_is_no_gap_but_a_gain():
    line = lines(summarise([each for each in FULL if each.role != "ceiling"], {}))["naive"]
    assert line.against_best is None
    assert line.gain_over_base.value == pytest.approx(25 / 200)


def test_without_a_base_there_is_a_gap_but_no_gain():
    line = lines(summarise([each for each in FULL if each.role != "base"], {}))["naive"]
    assert line.gain_over_base is None
    assert line.against_best.pgr == pytest.approx(15 / 60)


def test_each_metric_is_summarised_over_the_models_that_have_it():
    both = ModelScores("naive", "student", {"content": first(100), "concept": first(150)})
    only = model("votes", "supervisor", 90, metric="content")
    content, concept = summarise([only, both], {"concept": 0.25}).metrics
    assert [line.name for line in content.lines] == ["votes", "naive"]
    assert [line.name for line in concept.lines] == ["naive"]
    assert (content.chance, concept.chance) == (None, 0.25)


def test_a_summary_is_ready_for_json_without_nan():
    flat = [model("large", "supervisor", 150), model("naive", "student", 100), model("gold", "ceiling", 120)]
    plain = summarise(flat, {"accuracy": 0.5}).to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["metrics"][0]["lines"][1]["against_best"]["pgr"] is None


def test_models_without_scores_have_a_summary_without_metrics() -> None:
    assert summarise((ModelScores("a", "student", {}),), {}).metrics == ()


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ((), "no scores"),
        ((model("a", "student", 1), model("a", "student", 2)), "Two models"),
        ((model("a", "base", 1), model("b", "base", 2)), "more than one base"),
        ((model("a", "ceiling", 1), model("b", "ceiling", 2)), "more than one ceiling"),
        ((model("a", "teacher", 1),), "unknown role"),
        ((ModelScores("a", "student", {"accuracy": np.full((1, 3), np.nan)}),), r"'a \(student, accuracy\)'"),
    ],
)
def test_models_that_make_no_sense_are_refused(models, message):
    with pytest.raises(DataError, match=message):
        summarise(models, {})


def test_a_supervisor_and_a_student_may_share_a_name():
    summary = summarise([model("tfidf", "supervisor", 90), model("tfidf", "student", 100)], {})
    assert [line.role for line in summary.metrics[0].lines] == ["supervisor", "student"]


def test_weighted_scores_are_averaged_by_their_weights():
    weak, strong = np.array([[1.0, 0.0, 0.0]]), np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    models = [
        ModelScores("weak", "supervisor", {"f1": weak}, weights={"f1": np.array([[1.0, 1.0, 2.0]])}),
        ModelScores("naive", "student", {"f1": strong}, weights={"f1": np.array([[3.0, 1.0, 0.0], [0.0, 1.0, 1.0]])}),
    ]
    found = lines(summarise(models, {}))
    assert found["weak"].score.value == 0.25
    assert found["naive"].score.value == 0.5
    assert found["naive"].gain_over_best.value == 0.25


@pytest.mark.parametrize("weights", [np.ones((1, 3)), np.array([[1.0, -1.0]]), np.array([[1.0, np.inf]])])
def test_weights_that_do_not_fit_their_scores_are_refused(weights):
    model = ModelScores("naive", "student", {"f1": np.ones((1, 2))}, weights={"f1": weights})
    with pytest.raises(DataError, match="weights of 'naive' on f1 do not fit"):
        summarise([model], {})


@pytest.mark.parametrize(
    "name", ["one seed", "two examples", "one example", "constant", "beyond the unit", "no gap", "zero weights"]
)
def test_odd_scores_give_numbers_that_are_defined_or_absent(name):
    random = np.random.default_rng(0)
    shape = {"one seed": (1, 50), "two examples": (3, 2), "one example": (2, 1)}.get(name, (3, 50))
    scores = {who: (random.random(shape) < share).astype(float) for who, share in
              (("weak", 0.5), ("naive", 0.7), ("other", 0.7), ("base", 0.4), ("ceiling", 0.9))}  # fmt: skip
    if name == "constant":
        scores = {who: np.full(shape, 0.5) for who in scores}
    if name == "beyond the unit":
        scores = {who: 100 * own - 20 for who, own in scores.items()}
    if name == "no gap":
        scores["ceiling"] = scores["weak"] * 0
    weights = {"score": np.zeros(shape)} if name == "zero weights" else {}
    roles = {"weak": "supervisor", "base": "base", "ceiling": "ceiling"}
    models = [
        ModelScores(who, roles.get(who, "student"), {"score": own}, weights=weights) for who, own in scores.items()
    ]
    summary = summarise(models, {"score": 0.3})
    assert json.dumps(summary.to_dict(), allow_nan=False)
    for line in summary.metrics[0].lines:
        assert (line.score.interval is None) == (name == "one example")
        assert all(0 <= rival.p <= 1 for rival in line.rivals)
        if line.score.interval:
            low, high = line.score.interval
            assert low <= line.score.value <= high
    student = summary.metrics[0].of("student")[0]
    assert (student.against_best.pgr is None) == (scores["ceiling"].mean() <= scores["weak"].mean())


def test_seeds_that_were_tested_on_other_rows_are_refused():
    models = [
        ModelScores("weak", "supervisor", {"a": np.ones((1, 40))}),
        ModelScores("naive", "student", {"a": np.ones((3, 39))}),
    ]
    with pytest.raises(DataError, match="different numbers of examples"):
        summarise(models, {})


def test_a_combination_is_a_floor_and_a_rival():
    models = [*FULL, model("vote", "combined", 135), model("mean", "combined", 115), model("gold only", "gold", 165)]
    line = lines(summarise(models, {}))["confidence"]
    # (145 - 135) / (170 - 135)
    assert line.against_combined.pgr == pytest.approx(10 / 35)
    assert line.hardest is line.against_combined
    assert [(rival.kind, rival.name) for rival in line.rivals] == [
        ("supervisor", "large"),
        ("combined", "vote"),
        ("base", "untouched"),
    ]
