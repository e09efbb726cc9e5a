import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.errors import ConfigError, DataError
from outgrow.theory.forward import concept_posterior, forward, log_probability, next_token
from outgrow.theory.hmm import make_ginc, sample_documents


def small_world(seed):
    return make_ginc(concepts=2, entities=2, properties=3, vocabulary=5, permutations=2, temperature=0.5, seed=seed)


def enumerated(world, sequence, jump=0.0):
    """Joint probability of a sequence, each concept and each next token, by the sum over all hidden paths: (C, V)."""
    states = list(itertools.product(range(world.entities), range(world.properties)))
    joint = np.zeros((world.concepts, world.vocabulary))
    for concept in range(world.concepts):
        step = np.kron(world.entity_transition, world.property_transition[concept])
        step = (1 - jump) * step + jump / len(states)
        for path in itertools.product(range(len(states)), repeat=len(sequence) + 1):
            said = [world.memory[states[state]] for state in path]
            if said[:-1] != list(sequence):
                continue
            chance = world.start[concept].ravel()[path[0]]
            for before, after in itertools.pairwise(path):
                chance *= step[before, after]
            joint[concept, said[-1]] += world.prior[concept] * chance
    return joint


@given(st.integers(0, 200), st.integers(0, 4), st.sampled_from([0.0, 0.2]))
def test_the_forward_algorithm_is_the_sum_over_all_hidden_paths(seed, length, jump):
    world = small_world(seed)
    tokens = sample_documents(world, count=1, length=length, seed=seed).tokens
    joint = enumerated(world, tokens[0], jump)
    assert log_probability(world, tokens, jump=jump) == pytest.approx(np.log(joint.sum()), abs=1e-10)
    np.testing.assert_allclose(
        concept_posterior(world, tokens, jump=jump)[0], joint.sum(axis=1) / joint.sum(), atol=1e-12
    )
    np.testing.assert_allclose(next_token(world, tokens, jump=jump)[0], joint.sum(axis=0) / joint.sum(), atol=1e-12)


@pytest.mark.parametrize("length", [1, 3])
def test_the_probabilities_of_all_sequences_sum_to_one(length):
    world = small_world(1)
    every = np.array(list(itertools.product(range(world.vocabulary), repeat=length)))
    assert np.exp(log_probability(world, every)).sum() == pytest.approx(1, abs=1e-12)


def test_a_batch_is_its_rows_one_by_one(monkeypatch):
    world = make_ginc(seed=0)
    tokens = sample_documents(world, count=7, length=30, seed=0).tokens
    whole = forward(world, tokens)
    monkeypatch.setattr("outgrow.theory.forward._CELLS_AT_ONCE", 3 * world.start.size)
    parts = forward(world, tokens)
    np.testing.assert_array_equal(parts.log_likelihood, whole.log_likelihood)
    np.testing.assert_array_equal(parts.ahead, whole.ahead)


def test_ten_thousand_tokens_do_not_underflow():
    world = make_ginc(seed=0)
    tokens = sample_documents(world, count=2, length=10_240, seed=0).tokens
    rate = -log_probability(world, tokens) / tokens.shape[1]
    assert (rate > 0.5).all()
    assert (rate < np.log(50)).all()


def test_documents_are_told_apart_by_their_concept():
    world = make_ginc(seed=1)
    documents = sample_documents(world, count=200, length=100, seed=0)
    found = concept_posterior(world, documents.tokens).argmax(axis=1)
    assert (found == documents.concept).mean() > 0.97


def test_the_posterior_is_calibrated_on_the_worlds_own_documents():
    world = make_ginc(seed=1)
    documents = sample_documents(world, count=4000, length=4, seed=0)
    posterior = concept_posterior(world, documents.tokens)
    right = posterior.argmax(axis=1) == documents.concept
    assert posterior.max(axis=1).mean() == pytest.approx(right.mean(), abs=0.02)


def test_a_concept_that_the_prior_rules_out_is_never_found():
    world = dataclasses.replace(make_ginc(seed=1), prior=np.array([0.0, 0.25, 0.25, 0.25, 0.25]))
    tokens = sample_documents(world, count=20, length=3, seed=0).tokens
    assert (concept_posterior(world, tokens)[:, 0] == 0).all()


def impossible(world):
    """Two tokens of one concept's documents that no transition of any concept joins."""
    every = np.array(list(itertools.product(range(world.vocabulary), repeat=2)))
    said = np.isin(every, world.memory).all(axis=1)
    return every[~np.isfinite(log_probability(world, every)) & said][:1]


def test_an_impossible_sequence_has_probability_zero():
    world = make_ginc(seed=0)
    assert log_probability(world, impossible(world))[0] == -np.inf


@pytest.mark.parametrize("ask", [concept_posterior, next_token])
def test_an_impossible_sequence_says_nothing_about_concepts_and_is_refused_with_the_reason(ask):
    world = make_ginc(seed=0)
    with pytest.raises(DataError, match=r"Sequence 0 is impossible under every concept: it makes a transition"):
        ask(world, impossible(world))


def test_a_token_that_no_state_says_is_the_reason_where_it_is_one():
    world = make_ginc(seed=0)
    unsaid = np.setdiff1d(np.arange(50), world.memory)[:1]
    with pytest.raises(DataError, match=rf"no state emits token {unsaid[0]}"):
        next_token(world, unsaid[None], jump=0.5)


def test_with_jumps_every_sequence_of_known_tokens_is_possible():
    world = make_ginc(seed=0)
    assert next_token(world, impossible(world), jump=1e-3).sum() == pytest.approx(1)


def test_a_chain_that_always_jumps_forgets_what_it_said():
    world = make_ginc(seed=0)
    tokens = sample_documents(world, count=5, length=9, seed=0).tokens
    frequency = np.bincount(world.memory.ravel(), minlength=50) / 100
    np.testing.assert_allclose(next_token(world, tokens, jump=1.0), np.tile(frequency, (5, 1)))


@pytest.mark.parametrize("tokens", [np.array([[50]]), np.array([[-1]]), np.array([1, 2])])
def test_tokens_that_are_none_are_refused(tokens):
    with pytest.raises(DataError):
        forward(make_ginc(seed=0), tokens)


@pytest.mark.parametrize("jump", [-0.1, 1.1])
def test_a_jump_that_is_no_probability_is_refused(jump):
    with pytest.raises(ConfigError, match="jump must be between 0 and 1"):
        forward(make_ginc(seed=0), np.array([[1]]), jump=jump)
