import numpy as np
import pytest

from outgrow.evaluate import ModelScores, summarise
from outgrow.report.notes import ranked, sentence


def first(count, examples=200, seeds=3):
    return np.repeat((np.arange(examples) < count)[None].astype(float), seeds, axis=0)


def sentences(models, chance):
    return [sentence(note) for note in summarise(models, chance).notes]


def warnings_of(*models, chance=None, examples=200, seeds=3):
    built = [ModelScores(name, role, {"accuracy": first(count, examples, seeds)}) for name, role, count in models]
    return sentences(built, {} if chance is None else {"accuracy": chance})


SOUND = (("weak", "supervisor", 120), ("strong", "base", 110), ("naive", "student", 150), ("gold", "ceiling", 180))


def test_a_sound_experiment_has_no_warnings():
    assert warnings_of(*SOUND, chance=0.25) == []


def test_a_metric_in_which_all_models_have_zero_is_doubted():
    models = [(name, role, 0) for name, role, _ in SOUND]
    assert any("No answer of any model scores above 0 in accuracy" in text for text in warnings_of(*models))
    assert not any("No answer of any model" in text for text in warnings_of(*models, chance=0.25))


def test_an_undefined_gap_is_said_once_with_the_supervisor_it_is_measured_against():
    found = warnings_of(
        ("weak", "supervisor", 148), ("naive", "student", 114), ("two", "student", 110), ("gold", "ceiling", 122)
    )
    undefined = [text for text in found if "undefined" in text]
    assert undefined == [
        "PGR against the supervisor (weak) is undefined, because the ceiling (.610) is not above the floor (.740): "
        "there is no gap to recover."
    ]


def test_a_gap_that_is_defined_only_against_the_average_supervisor_is_said_to_be():
    found = warnings_of(
        ("good", "supervisor", 160), ("bad", "supervisor", 20), ("naive", "student", 114), ("gold", "ceiling", 150)
    )
    assert sum("PGR against the best supervisor (good) is undefined" in text for text in found) == 1
    assert not any("average supervisor" in text for text in found)


def test_a_combination_above_the_ceiling_is_said_to_leave_no_gap():
    found = warnings_of(*SOUND, ("other", "supervisor", 20), ("vote", "combined", 190))
    assert found == [
        "PGR against the supervisors combined (vote) is undefined, because the ceiling (.900) is not above the floor "
        "(.950): there is no gap to recover."
    ]


def test_a_gap_without_an_interval_is_said_to_have_none():
    found = warnings_of(("weak", "supervisor", 120), ("naive", "student", 121), ("gold", "ceiling", 122))
    assert any("has no interval, because the gap between" in text for text in found)


@pytest.mark.parametrize(
    ("right", "words"), [(90, "at or below chance"), (100, "at or below chance"), (105, "cannot be told from chance")]
)
def test_a_score_that_is_no_better_than_chance_is_named(right, words):
    found = warnings_of(*SOUND, ("lost", "student", right), chance=0.5)
    assert sum("'lost' scores" in text and words in text for text in found) == 1


def test_an_untouched_model_at_chance_is_no_news():
    found = warnings_of(("weak", "supervisor", 150), ("strong", "base", 100), ("naive", "student", 150), chance=0.5)
    assert not any("chance" in text for text in found)


def test_a_student_worse_than_the_untouched_model_is_named():
    found = warnings_of(("weak", "supervisor", 60), ("strong", "base", 180), ("naive", "student", 60))
    assert any("'naive' is worse than the untouched strong model (-.600" in text for text in found)


def test_a_best_supervisor_that_is_hardly_the_best_is_said_to_be_picked_on_test():
    random = np.random.default_rng(0)
    models = [
        ModelScores(name, "supervisor", {"accuracy": (random.random((1, 200)) < 0.6).astype(float)}) for name in "ab"
    ]
    assert any("was picked on the test part" in text for text in sentences(models, {}))


def test_a_best_supervisor_that_is_clearly_the_best_needs_no_words():
    assert not any("picked" in text for text in warnings_of(*SOUND, ("worse", "supervisor", 20)))


@pytest.mark.parametrize(("seeds", "words"), [(1, "one seed"), (2, "2 seeds")])
def test_too_few_seeds_are_said(seeds, words):
    found = warnings_of(*SOUND, seeds=seeds)
    assert len(found) == 1
    assert words in found[0]


def test_few_test_examples_are_said():
    found = warnings_of(("weak", "supervisor", 5), ("naive", "student", 12), examples=20)
    assert any("only 20 test examples" in text for text in found)


def test_with_several_metrics_each_warning_names_its_own():
    models = [
        ModelScores("weak", "supervisor", {"content": first(100), "concept": first(150)}),
        ModelScores("naive", "student", {"content": first(60), "concept": first(150)}),
    ]
    found = sentences(models, {"content": 0.5, "concept": 0.25})
    assert found[-1].startswith("On content: the student 'naive'")
    assert not any("On concept" in text for text in found)


def test_what_did_harm_is_told_before_what_makes_numbers_rough():
    models = [ModelScores("weak", "supervisor", {"accuracy": first(12, 20)})]
    models += [ModelScores("strong", "base", {"accuracy": first(18, 20)})]
    models += [ModelScores("naive", "student", {"accuracy": first(2, 20)})]
    told = ranked(summarise(models, {}).notes)
    assert "its training did harm" in told[0].text
    assert [note.severity for note in told] == ["warning", "caution"]
