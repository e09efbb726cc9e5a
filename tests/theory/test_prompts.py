import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.errors import ConfigError, DataError
from outgrow.theory.deconvolution import estimate_prior
from outgrow.theory.forward import forward, next_token
from outgrow.theory.hmm import faulty_memory, make_ginc
from outgrow.theory.prompts import (
    Prompts,
    answer_probabilities,
    answers,
    check_prompt_size,
    sample_prompts,
    task_log_likelihoods,
    task_posterior,
    tasks_of,
)


@pytest.fixture(scope="module")
def tasks():
    return tasks_of(make_ginc(seed=0))


@given(st.integers(0, 5), st.integers(2, 5), st.integers(0, 99))
def test_prompts_have_n_delimiters_and_the_length_that_is_announced(demonstrations, length, seed):
    tasks = tasks_of(make_ginc(entities=3, properties=4, vocabulary=9, seed=seed))
    prompts = sample_prompts(tasks, np.arange(6), demonstrations=demonstrations, length=length, seed=seed)
    assert prompts.tokens.shape == (6, demonstrations * (length + 1) + length - 1)
    np.testing.assert_array_equal(prompts.tokens[:, length :: length + 1], 0)
    np.testing.assert_array_equal(prompts.tokens[:, length - 1 :: length + 1][:, :demonstrations], prompts.outputs)


def test_there_can_be_no_prompts(tasks):
    none = sample_prompts(tasks, np.zeros(0, dtype=int), demonstrations=2, length=3, seed=0)
    assert none.tokens.shape == (0, 10)


def test_every_example_starts_at_the_property_of_its_task(tasks):
    task = np.arange(45)
    prompts = sample_prompts(tasks, task, demonstrations=30, length=3, seed=0)
    for row in task:
        assert np.isin(prompts.inputs[row, :, 0], tasks.memory[:, 1 + row % 9]).all()


def test_examples_follow_the_concept_of_their_task(tasks):
    prompts = sample_prompts(tasks, np.full(500, 20), demonstrations=4, length=2, seed=0)
    said = np.bincount(prompts.outputs.ravel(), minlength=50) / prompts.outputs.size
    ahead = tasks.start[20].sum(axis=0) @ tasks.property_transition[20]
    expected = np.zeros(50)
    np.add.at(expected, tasks.memory.ravel(), np.tile(ahead / 10, 10))
    np.testing.assert_allclose(said, expected, atol=0.04)


def test_the_right_answer_is_the_likeliest_end_of_the_chain_that_the_task_starts(tasks):
    inputs = sample_prompts(tasks, np.full(20, 13), demonstrations=0, length=3, seed=0).query
    for given_input, answer in zip(inputs, answers(tasks, np.full(20, 13), inputs), strict=True):
        ends = np.array([[*given_input, token] for token in range(50)])
        assert forward(tasks, ends).log_likelihood[:, 13].argmax() == answer


def test_a_faulty_memory_errs_in_the_same_way_every_time(tasks):
    inputs = sample_prompts(tasks, np.full(300, 13), demonstrations=0, length=3, seed=0).query
    memory = faulty_memory(tasks, 0.4, seed=1)
    weak = answers(tasks, np.full(300, 13), inputs, memory=memory)
    assert 0.2 < (weak != answers(tasks, np.full(300, 13), inputs)).mean() < 0.6
    _, first, same = np.unique(inputs, axis=0, return_index=True, return_inverse=True)
    np.testing.assert_array_equal(weak, weak[first][same])


@pytest.mark.parametrize("corruption", [0.0, 0.3, 1.0])
def test_outputs_are_corrupted_as_often_as_asked_and_inputs_never(tasks, corruption):
    options = {"demonstrations": 20, "length": 3, "seed": 0}
    clean = sample_prompts(tasks, np.zeros(200, dtype=int), **options)
    noisy = sample_prompts(tasks, np.zeros(200, dtype=int), corruption=corruption, **options)
    np.testing.assert_array_equal(clean.inputs, noisy.inputs)
    assert (clean.outputs != noisy.outputs).mean() == pytest.approx(corruption, abs=0.03)


def test_single_examples_have_the_probabilities_of_a_corrupted_channel(tasks):
    inputs = sample_prompts(tasks, np.array([5]), demonstrations=0, length=3, seed=0).query
    every = np.arange(50)
    found = np.exp(task_log_likelihoods(tasks, inputs.repeat(50, axis=0), every, corruption=0.3))
    before = np.exp(forward(tasks, inputs).log_likelihood[0])
    clean = np.exp(task_log_likelihoods(tasks, inputs.repeat(50, axis=0), every))
    np.testing.assert_allclose(found, 0.7 * clean + 0.3 * before * (every[:, None] > 0) / 49, atol=1e-15)
    np.testing.assert_allclose(found.sum(axis=0), before)


def test_the_task_posterior_is_bayes_rule_over_independent_examples(tasks):
    prompts = sample_prompts(tasks, np.array([5, 40]), demonstrations=2, length=3, corruption=0.5, seed=0)
    joint = tasks.prior * np.exp(forward(tasks, prompts.query).log_likelihood)
    for shot in range(2):
        joint *= np.exp(task_log_likelihoods(tasks, prompts.inputs[:, shot], prompts.outputs[:, shot], corruption=0.5))
    np.testing.assert_allclose(
        task_posterior(tasks, prompts, corruption=0.5), joint / joint.sum(axis=1, keepdims=True), atol=1e-12
    )


def test_without_demonstrations_the_query_alone_speaks(tasks):
    prompts = sample_prompts(tasks, np.arange(45), demonstrations=0, length=3, seed=0)
    found = answer_probabilities(tasks, prompts.query, task_posterior(tasks, prompts))
    np.testing.assert_allclose(found, next_token(tasks, prompts.tokens), atol=1e-12)


def test_the_exact_predictor_finds_the_task_within_a_few_demonstrations(tasks):
    rng = np.random.default_rng(0)
    task = rng.integers(45, size=300)
    right = []
    for demonstrations in (0, 1, 4):
        prompts = sample_prompts(tasks, task, demonstrations=demonstrations, length=3, seed=1)
        found = answer_probabilities(tasks, prompts.query, task_posterior(tasks, prompts)).argmax(axis=1)
        right.append((found == answers(tasks, task, prompts.query)).mean())
    assert right[0] < 0.75
    assert right[1] > right[0] + 0.2
    assert right[2] > 0.98


def test_corrupted_outputs_that_are_reckoned_with_do_not_mislead(tasks):
    task = np.arange(45)
    prompts = sample_prompts(tasks, task, demonstrations=16, length=3, corruption=0.5, seed=1)
    assert (task_posterior(tasks, prompts, corruption=0.5).argmax(axis=1) == task).mean() > 0.95


def mixed_examples(tasks, shares, count):
    """Inputs and corrupted outputs of single examples whose tasks are drawn by their shares."""
    task = np.random.default_rng(0).choice(list(shares), p=list(shares.values()), size=count)
    prompts = sample_prompts(tasks, task, demonstrations=1, length=5, corruption=0.3, seed=0)
    return prompts.inputs[:, 0], prompts.outputs[:, 0]


def test_the_shares_of_a_mixed_target_are_found_again_from_weak_answers(tasks):
    shares = {0: 0.6, 12: 0.3, 40: 0.1}
    scores = task_log_likelihoods(tasks, *mixed_examples(tasks, shares, 1500), corruption=0.3)
    found = estimate_prior(scores)
    assert found.prior[list(shares)] == pytest.approx(list(shares.values()), abs=0.04)
    assert not found.confounded


def test_tasks_of_two_equal_concepts_are_said_to_be_indistinguishable():
    world = make_ginc(concepts=2, entities=3, properties=3, vocabulary=9, seed=0)
    twins = tasks_of(dataclasses.replace(world, property_transition=world.property_transition[[0, 0]]))
    scores = task_log_likelihoods(twins, *mixed_examples(twins, {0: 0.5, 1: 0.5}, 400), corruption=0.3)
    assert estimate_prior(scores).confounded == ((0, 2), (1, 3))


def test_an_output_that_no_task_allows_is_refused_unless_corruption_is_reckoned_with(tasks):
    prompts = Prompts(
        tasks.memory[None, :1, 1:2], np.setdiff1d(np.arange(50), tasks.memory)[None, :1], tasks.memory[:1, 1:2]
    )
    assert not np.isfinite(task_log_likelihoods(tasks, prompts.inputs[0], prompts.outputs[0])).any()
    with pytest.raises(DataError, match="Prompt 0 is impossible under every task"):
        task_posterior(tasks, prompts)
    assert task_posterior(tasks, prompts, corruption=0.1).sum() == pytest.approx(1)


def test_an_input_that_its_task_does_not_allow_has_no_answer(tasks):
    foreign = np.setdiff1d(tasks.memory, tasks.memory[:, 1])[1:2]
    with pytest.raises(DataError, match="impossible under its task"):
        answers(tasks, np.array([0]), foreign[None])


@pytest.mark.parametrize("corruption", [-0.1, 1.1, float("nan")])
def test_corruption_out_of_range_is_refused(tasks, corruption):
    with pytest.raises(ConfigError, match="corruption must be between 0 and 1"):
        sample_prompts(tasks, np.array([0]), demonstrations=1, length=3, corruption=corruption, seed=0)
    with pytest.raises(ConfigError, match="corruption must be between 0 and 1"):
        task_log_likelihoods(tasks, np.array([[1, 2]]), np.array([3]), corruption=corruption)


def test_prompts_longer_than_the_context_are_refused_and_the_longest_that_fit_are_not():
    with pytest.raises(DataError, match="longer than the context") as refused:
        check_prompt_size(64, 3, 256)
    assert "at most 63 demonstrations" in str(refused.value)
    check_prompt_size(63, 3, 256)


@pytest.mark.parametrize(("demonstrations", "length"), [(-1, 3), (2, 1), (2, 0)])
def test_prompts_without_an_input_or_with_fewer_than_no_demonstrations_are_refused(tasks, demonstrations, length):
    with pytest.raises(ConfigError):
        sample_prompts(tasks, np.array([0]), demonstrations=demonstrations, length=length, seed=0)
