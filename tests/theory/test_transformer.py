import dataclasses

import numpy as np
import pytest

from outgrow.errors import ConfigError, DataError
from outgrow.progress import SilentReporter
from outgrow.registry import create
from outgrow.theory.topics.transformer import TransformerTopic
from outgrow.theory.training import Schedule, Shape
from outgrow.theory.transformer import (
    decoder_predictions,
    exact_predictions,
    pretrain_decoder,
    pretraining_world,
)
from outgrow.theory.world import orthonormal_world, posterior

POINTS = 8
SMALL = Shape(width=32, layers=2, heads=2), Schedule(steps=500, batch=64, learning_rate=4e-3)
TINY = Shape(width=8, layers=1, heads=1), Schedule(steps=2, batch=4, learning_rate=1e-3)


@pytest.fixture(scope="module")
def world():
    return orthonormal_world(dimension=3, concepts=2, sigma=0.25, kappa=0.7, rotated=False)


@pytest.fixture(scope="module")
def decoder(world):
    return pretrain_decoder(world, *SMALL, points=POINTS, seed=0, reporter=SilentReporter())


def prompts(world, count=2000):
    x, y = world.sample(np.random.default_rng(1), count, 1, POINTS)
    return x[:, 0], y[:, 0]


def squared(values):
    return (values**2).mean(axis=0)


def test_the_exact_predictor_is_the_posterior_of_the_demonstrations_before(world):
    x, y = prompts(world, 20)
    for point in range(POINTS):
        weight = posterior(x[:, :point], y[:, :point], world.components, world.sigma, world.prior)
        expected = ((weight @ world.components) * x[:, point]).sum(axis=1)
        np.testing.assert_allclose(exact_predictions(world, x, y)[:, point], expected, atol=1e-12)


def test_the_decoder_comes_close_to_the_exact_predictor_on_prompts_like_those_it_was_trained_on(world, decoder):
    x, y = prompts(pretraining_world(world))
    exact = exact_predictions(world, x, y)
    gap = squared(decoder_predictions(decoder, x, y) - exact)
    untouched = squared(exact - x @ world.source)
    assert gap[-1] < untouched[-1] / 5


def test_the_decoder_refines_weak_demonstrations_that_it_was_never_trained_on(world, decoder):
    x, y = prompts(world)
    risk = squared(decoder_predictions(decoder, x, y) - x @ world.truth)
    naive = float(world.excess(world.weak_mean))
    assert risk[-1] < naive / 2
    assert risk[-1] < risk[0] / 2


def test_an_answer_depends_on_nothing_that_comes_after_its_question(world, decoder):
    x, y = prompts(world, 5)
    changed_x, changed_y = x.copy(), y.copy()
    changed_x[:, 5:], changed_y[:, 4:] = 9.0, 9.0
    before, after = (decoder_predictions(decoder, *pair)[:, :5] for pair in ((x, y), (changed_x, changed_y)))
    np.testing.assert_allclose(before, after, atol=1e-6)
    assert not np.allclose(decoder_predictions(decoder, x, y)[:, 5], decoder_predictions(decoder, x, changed_y)[:, 5])


def test_the_same_seed_trains_the_same_decoder_and_leaves_torchs_generator_alone(world):
    import torch

    x, y = prompts(world, 5)
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first, second, other = (
        decoder_predictions(pretrain_decoder(world, *TINY, points=POINTS, seed=seed, reporter=SilentReporter()), x, y)
        for seed in (0, 0, 1)
    )
    assert torch.rand(1) == expected
    np.testing.assert_array_equal(first, second)
    assert not np.allclose(first, other)


def test_a_batch_is_its_prompts_one_by_one(world, decoder):
    x, y = prompts(world, 7)
    np.testing.assert_allclose(
        decoder_predictions(decoder, x, y), decoder_predictions(decoder, x, y, batch=3), atol=1e-6
    )
    assert decoder_predictions(decoder, x[:0], y[:0]).shape == (0, POINTS)


def test_prompts_longer_than_the_decoders_context_are_refused(world, decoder):
    x, y = np.zeros((1, POINTS + 1, 3)), np.zeros((1, POINTS + 1))
    with pytest.raises(DataError, match="longer than the model's context"):
        decoder_predictions(decoder, x, y)


def test_a_world_that_turns_its_basis_has_nothing_to_be_learnt_by_heart(world):
    turning = dataclasses.replace(world, rotated=True)
    with pytest.raises(ConfigError, match="draws one per repetition"):
        pretrain_decoder(turning, *TINY, points=4, seed=0, reporter=SilentReporter())


def test_a_prompt_without_examples_cannot_be_trained_on(world):
    with pytest.raises(ConfigError, match="points must be at least 1"):
        pretrain_decoder(world, *TINY, points=0, seed=0, reporter=SilentReporter())


@pytest.mark.parametrize("wrong", [{"width": 0}, {"layers": 0}, {"heads": 3}])
def test_shapes_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError):
        dataclasses.replace(TINY[0], **wrong)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch": 0}, {"learning_rate": 0.0}, {"warm_up": 1.1}])
def test_schedules_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError):
        dataclasses.replace(TINY[1], **wrong)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"dimension": 5}, "dimension must be at least 6"),
        ({"bias": -0.1}, "bias must not be negative"),
        ({"kappa": float("nan")}, "kappa finite"),
        ({"concepts": 0}, "concepts must be at least 1"),
        ({"prompts": 1}, "prompts must be at least 2"),
        ({"sigma": 0.0}, "sigma must be above 0"),
        ({"points": 0}, "points must be at least 1"),
    ],
)
def test_settings_of_the_topic_that_cannot_be_are_refused(wrong, reason):
    with pytest.raises(ConfigError, match=reason):
        create("topic", "transformer", {"steps": 1, **wrong})(SilentReporter())


def test_the_weak_supervisor_of_the_topic_costs_what_its_bias_says():
    world = TransformerTopic(bias=0.15).world()
    assert world.excess(world.weak_mean) == pytest.approx(0.15)
    np.testing.assert_allclose(world.components @ world.weak.T, np.eye(5), atol=1e-12)
