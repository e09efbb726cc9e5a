import numpy as np

from outgrow.evaluate import ModelScores, summarise
from outgrow.report.words import best_student, details, headline


def first(count, examples=200):
    return np.repeat((np.arange(examples) < count)[None].astype(float), 3, axis=0)


def summary_of(*models, metric="accuracy"):
    return summarise([ModelScores(name, role, {metric: first(count)}) for name, role, count in models], {})


def test_a_clear_lead_is_called_outgrowing():
    summary = summary_of(("weak", "supervisor", 100), ("naive", "student", 150))
    assert headline(summary) == "“naive” outgrows its supervisor (.750 against .500)."


def test_a_clear_loss_is_called_staying_below():
    summary = summary_of(("weak", "supervisor", 150), ("other", "supervisor", 10), ("naive", "student", 100))
    assert headline(summary) == "“naive” stays below its best supervisor (.500 against .750)."


def test_a_lead_that_could_be_luck_is_not_called_one():
    random = np.random.default_rng(0)
    weak, student = ((random.random((3, 50)) < share).astype(float) for share in (0.5, 0.55))
    summary = summarise(
        [ModelScores("weak", "supervisor", {"accuracy": weak}), ModelScores("naive", "student", {"accuracy": student})],
        {},
    )
    assert "cannot be told from its supervisor" in headline(summary)


def test_the_best_student_is_best_on_average_over_metrics(two_metrics):
    assert best_student(two_metrics) == "refined"


def test_metrics_with_the_same_verdict_share_it(two_metrics):
    found = headline(two_metrics)
    assert found.count("outgrows its best supervisor") == 1
    assert " on content (" in found
    assert " and on concept (" in found


def test_metrics_with_different_verdicts_get_one_each():
    models = [
        ModelScores("weak", "supervisor", {"content": first(50), "concept": first(180)}),
        ModelScores("icl", "student", {"content": first(190), "concept": first(100)}),
    ]
    expected = (
        "“icl” outgrows its supervisor on content (.950 against .250), "
        "and stays below its supervisor on concept (.500 against .900)."
    )
    assert headline(summarise(models, {})) == expected


def test_without_students_the_headline_says_so():
    summary = summary_of(("weak", "supervisor", 100))
    assert headline(summary) == "No student was trained: these are reference points only."
    assert details(summary) == ()


def test_without_supervisors_nothing_is_called_outgrown(bare):
    assert "has no supervisor to be compared with" in headline(bare)


def test_picking_the_best_of_several_students_on_test_is_admitted(one_metric):
    assert "one of 2 students" in details(one_metric)[-1]


def test_an_undefined_gap_is_explained_in_the_details(no_gap):
    assert "undefined, because the ceiling" in " ".join(details(no_gap))


def test_two_students_that_never_differ_are_said_not_to():
    summary = summary_of(("naive", "student", 100), ("copy", "student", 100))
    assert "On no test example does it differ from “copy”." in details(summary)[0]
