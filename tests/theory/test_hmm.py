import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.errors import ConfigError
from outgrow.theory.hmm import faulty_memory, make_ginc, sample_documents


@pytest.fixture(scope="module")
def world():
    return make_ginc(seed=3)


@pytest.fixture(scope="module")
def documents(world):
    return sample_documents(world, count=400, length=1000, seed=0)


def test_the_delimiter_is_said_as_often_as_one_of_ten_properties_occurs(documents):
    assert (documents.tokens == 0).mean() == pytest.approx(0.1, abs=0.003)
    np.testing.assert_array_equal(documents.tokens == 0, documents.property == 0)


def test_entities_stay_as_often_as_the_self_transition_and_the_mixture_say(world, documents):
    stays = documents.entity[:, 1:] == documents.entity[:, :-1]
    assert stays.mean() == pytest.approx(world.entity_transition.diagonal().mean(), abs=0.005)
    assert world.entity_transition.diagonal().min() >= 0.9


def test_the_mixture_leaves_a_tenth_of_a_tenth_to_an_entity_on_average():
    diagonal = [make_ginc(seed=seed).entity_transition.diagonal().mean() for seed in range(200)]
    assert np.mean(diagonal) == pytest.approx(0.9 + 0.1 / 10, abs=0.002)


def test_documents_say_every_token_of_the_memory_and_no_other(world, documents):
    assert world.vocabulary == 50
    np.testing.assert_array_equal(np.unique(documents.tokens), np.unique(world.memory))


@pytest.mark.parametrize("vocabulary", [50, 100, 150])
def test_a_larger_vocabulary_leaves_the_rate_of_delimiters_as_it_is(vocabulary):
    world = make_ginc(vocabulary=vocabulary, seed=0)
    tokens = sample_documents(world, count=400, length=300, seed=0).tokens
    assert tokens.max() < vocabulary
    assert (tokens == 0).mean() == pytest.approx(0.1, abs=0.005)


def test_concepts_and_first_states_are_nearly_alike(world, documents):
    assert np.bincount(documents.concept) / 400 == pytest.approx(0.2, abs=0.08)
    assert world.start * 100 == pytest.approx(1, abs=0.06)


def test_property_transitions_are_those_of_the_documents_concept(world, documents):
    for concept in range(world.concepts):
        chosen = documents.property[documents.concept == concept]
        seen = np.zeros((10, 10))
        np.add.at(seen, (chosen[:, :-1].ravel(), chosen[:, 1:].ravel()), 1)
        seen /= seen.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(seen, world.property_transition[concept], atol=0.04)


@given(st.integers(1, 4), st.integers(1, 6), st.integers(2, 6), st.integers(2, 40), st.integers(0, 99))
def test_worlds_of_any_size_visit_all_states_alike_in_the_long_run(concepts, entities, properties, vocabulary, seed):
    world = make_ginc(
        concepts=concepts, entities=entities, properties=properties, vocabulary=vocabulary, permutations=3, seed=seed
    )
    for matrix in (world.entity_transition, *world.property_transition):
        np.testing.assert_allclose(matrix.sum(axis=0), 1)
        np.testing.assert_allclose(matrix.sum(axis=1), 1)
    assert (world.memory[:, 0] == 0).all()
    assert world.memory[:, 1:].min() >= 1


def test_the_same_seed_gives_the_same_world_and_documents(world, documents):
    again = sample_documents(make_ginc(seed=3), count=400, length=1000, seed=0)
    np.testing.assert_array_equal(again.tokens, documents.tokens)
    assert (sample_documents(world, count=400, length=1000, seed=1).tokens != documents.tokens).any()


def test_the_concepts_of_documents_can_be_chosen(world):
    chosen = np.array([4, 0, 2])
    np.testing.assert_array_equal(sample_documents(world, count=3, length=2, seed=0, concept=chosen).concept, chosen)


def test_there_can_be_no_documents_or_empty_ones(world):
    assert sample_documents(world, count=0, length=5, seed=0).tokens.shape == (0, 5)
    assert sample_documents(world, count=2, length=0, seed=0).tokens.shape == (2, 0)


@given(st.floats(0, 1), st.integers(0, 99))
def test_a_faulty_memory_is_wrong_in_the_share_asked_for_and_never_about_the_delimiter(share, seed):
    world = make_ginc(entities=4, properties=6, vocabulary=7, seed=0)
    believed = faulty_memory(world, share, seed=seed)
    assert (believed != world.memory).sum() == round(20 * share)
    assert (believed[:, 0] == 0).all()
    assert believed[:, 1:].min() >= 1
    assert believed.max() < 7


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"concepts": 0}, "concepts must be at least 1"),
        ({"vocabulary": 1}, "vocabulary must be at least 2"),
        ({"properties": 1}, "properties must be at least 2"),
        ({"entities": 0}, "entities must be at least 1"),
        ({"permutations": 0}, "permutations must be at least 1"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"self_transition": 1.5}, "self_transition must be between 0 and 1"),
    ],
)
def test_a_world_that_cannot_be_is_refused_with_the_reason(wrong, reason):
    with pytest.raises(ConfigError, match=reason):
        make_ginc(**wrong)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("prior", np.array([0.5, 0.6, 0, 0, 0]), "not a probability distribution"),
        ("prior", np.array([1.5, -0.5, 0, 0, 0]), "not a probability distribution"),
        ("prior", np.ones(1), "wrong shape"),
        ("vocabulary", 20, "not in the vocabulary"),
    ],
)
def test_a_world_that_contradicts_itself_is_refused(world, field, value, reason):
    with pytest.raises(ConfigError, match=reason):
        dataclasses.replace(world, **{field: value})


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_of_wrong_memory_out_of_range_is_refused(world, share):
    with pytest.raises(ConfigError, match="share must be between 0 and 1"):
        faulty_memory(world, share, seed=0)


def test_a_memory_of_one_token_cannot_be_wrong():
    with pytest.raises(ConfigError, match="needs a second token"):
        faulty_memory(make_ginc(vocabulary=2), 0.5, seed=0)


@pytest.mark.parametrize(
    "wrong", [{"count": -1}, {"length": -1}, {"concept": np.array([5, 0])}, {"concept": np.array([0])}]
)
def test_documents_that_cannot_be_are_refused(world, wrong):
    with pytest.raises(ConfigError):
        sample_documents(world, **{"count": 2, "length": 3, "seed": 0, **wrong})
