import numpy as np
import pytest

from outgrow.errors import ConfigError, DataError
from outgrow.progress import SilentReporter
from outgrow.registry import create
from outgrow.theory.forward import log_probability, next_token
from outgrow.theory.hmm import faulty_memory, make_ginc, sample_documents
from outgrow.theory.hmm_decoder import (
    answer_distribution,
    demonstrations_for,
    fine_tune,
    language_model_loss,
    pretrain_language_model,
    weak_to_strong,
)
from outgrow.theory.prompts import tasks_of
from outgrow.theory.training import Schedule, Shape

QUIET = SilentReporter()
CONTEXT = 24
SHAPE, SCHEDULE = Shape(width=32, layers=2, heads=2), Schedule(steps=400, batch=16, learning_rate=5e-3)


@pytest.fixture(scope="module")
def world():
    return make_ginc(concepts=2, entities=3, properties=4, vocabulary=9, permutations=3, seed=0)


@pytest.fixture(scope="module")
def model(world):
    options = {"context": CONTEXT, "documents": 100, "length": 200, "lists": 0.5, "seed": 0, "reporter": QUIET}
    return pretrain_language_model(world, SHAPE, SCHEDULE, **options)


def test_a_trained_model_comes_close_to_the_least_possible_loss_and_never_below(world, model):
    tokens = sample_documents(world, count=400, length=CONTEXT + 1, seed=5).tokens
    least = (log_probability(world, tokens[:, :1]) - log_probability(world, tokens)).mean() / CONTEXT
    loss = language_model_loss(model, tokens).mean()
    frequency = np.bincount(tokens.ravel()) / tokens.size
    untrained = -(frequency * np.log(np.maximum(frequency, 1e-12))).sum()
    assert least < loss < (least + untrained) / 2


def test_probabilities_of_the_next_token_are_near_the_exact_ones(world, model):
    tokens = sample_documents(world, count=300, length=CONTEXT, seed=6).tokens
    found, exact = answer_distribution(model, tokens), next_token(world, tokens)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert np.abs(found - exact).sum(axis=1).mean() / 2 < 0.3


def test_a_batch_is_its_sequences_one_by_one(world, model):
    tokens = sample_documents(world, count=7, length=9, seed=6).tokens
    np.testing.assert_allclose(
        answer_distribution(model, tokens), answer_distribution(model, tokens, batch=2), atol=1e-6
    )
    np.testing.assert_allclose(
        language_model_loss(model, tokens), language_model_loss(model, tokens, batch=2), atol=1e-6
    )


def test_a_student_learns_what_it_is_told_and_leaves_its_teacher_as_it_was(model):
    inputs, labels = np.array([[1, 2], [3, 4], [5, 6]]), np.array([7, 8, 1])
    before = answer_distribution(model, inputs)
    schedule = Schedule(steps=60, batch=8, learning_rate=3e-3)
    student = fine_tune(model, inputs, labels, schedule, seed=0, reporter=QUIET)
    assert answer_distribution(student, inputs).argmax(axis=1).tolist() == labels.tolist()
    np.testing.assert_array_equal(answer_distribution(model, inputs), before)


def test_weak_to_strong_with_a_right_supervisor_teaches_what_the_ceiling_is_taught(world, model):
    tasks = tasks_of(world)
    schedule, sizes = Schedule(steps=40, batch=16, learning_rate=3e-3), {"rows": 30, "test": 50, "demonstrations": 4}
    scores = weak_to_strong(model, tasks, 1, faulty_memory(tasks, 0.0, seed=0), schedule, seed=0, **sizes)
    assert scores["weak supervisor"] == 1
    assert scores["naive student"] == scores["ceiling"]
    assert scores["ceiling"] > 0.8
    assert scores == weak_to_strong(model, tasks, 1, tasks.memory, schedule, seed=0, **sizes)


def test_refined_students_leave_mistakes_behind_that_naive_students_repeat(world, model):
    tasks = tasks_of(world)
    schedule, sizes = Schedule(steps=40, batch=16, learning_rate=3e-3), {"rows": 50, "test": 150, "demonstrations": 5}
    scores = [
        weak_to_strong(model, tasks, task, faulty_memory(tasks, 0.45, seed=task), schedule, seed=task, **sizes)
        for task in (0, 3)
    ]
    mean = {name: np.mean([score[name] for score in scores]) for name in scores[0]}
    assert mean["naive student"] == pytest.approx(mean["weak supervisor"], abs=0.05)
    assert mean["refined student"] > mean["weak supervisor"] + 0.25
    assert mean["refined student"] > mean["ceiling"] - 0.1


def test_no_row_is_shown_its_own_input():
    rows = np.random.default_rng(0).integers(3, size=(40, 2))
    shown = demonstrations_for(rows, 5, np.random.default_rng(0))
    assert (rows[shown] != rows[:, None]).any(axis=2).all()
    assert all(len(set(row)) == 5 for row in shown.tolist())


def test_demonstrations_are_refused_where_too_few_other_rows_are_there():
    with pytest.raises(DataError, match="too few other rows"):
        demonstrations_for(np.array([[1, 2], [1, 2], [3, 4]]), 2, np.random.default_rng(0))


@pytest.mark.parametrize("ask", [answer_distribution, lambda model, tokens: language_model_loss(model, tokens)])
def test_prompts_longer_than_the_models_context_are_refused(model, ask):
    with pytest.raises(DataError, match="longer than the model's context"):
        ask(model, np.zeros((1, CONTEXT + 2), dtype=np.int64))


def test_a_student_without_labels_is_refused(model):
    with pytest.raises(DataError, match="at least one labelled input"):
        fine_tune(model, np.zeros((0, 2), np.int64), np.zeros(0, np.int64), SCHEDULE, seed=0, reporter=QUIET)


@pytest.mark.parametrize("wrong", [{"context": 0}, {"length": CONTEXT}, {"lists": 1.5}, {"lists": 0.5, "example": 1}])
def test_pretraining_that_cannot_be_is_refused(world, wrong):
    options = {"context": CONTEXT, "documents": 2, "length": 200, "seed": 0, "reporter": QUIET, **wrong}
    with pytest.raises(ConfigError):
        pretrain_language_model(world, SHAPE, SCHEDULE, **options)


@pytest.mark.parametrize(
    "wrong",
    [{"size": "huge"}, {"counts": []}, {"counts": [0]}, {"lists": 2.0}, {"fault": -1.0}, {"tasks": 1}, {"prompts": 1}],
)
def test_settings_of_the_topic_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError):
        create("topic", "hmm_transformer", wrong)


def test_a_topic_whose_prompts_do_not_fit_the_model_is_refused_before_anything_is_trained():
    with pytest.raises(DataError, match="longer than the context"):
        create("topic", "hmm_transformer", {"size": "reduced", "counts": [64]})
