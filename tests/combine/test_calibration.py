import numpy as np
import pytest
from voting_worlds import gaussian

from outgrow.combine import apply_temperatures, fit_temperatures
from outgrow.combine.calibration import recalibrate
from outgrow.errors import DataError


def test_the_temperature_that_was_planted_is_recovered():
    world = gaussian([1, 1, 1], exponents=[0.5, 1, 3], rows=20000)
    np.testing.assert_allclose(fit_temperatures(world.votes, world.truth), [0.5, 1, 3], rtol=0.1)


def test_calibrated_votes_are_the_votes_before_they_were_distorted():
    honest, loud = (gaussian([1], exponents=[power], rows=20000) for power in (1, 3))
    calibrated = apply_temperatures(loud.votes, fit_temperatures(loud.votes, loud.truth))
    np.testing.assert_allclose(calibrated, honest.votes, atol=0.03)


def test_a_supervisor_without_a_vote_on_gold_rows_keeps_its_scale():
    votes = gaussian([1, 1], exponents=[3, 3], rows=100).votes
    votes[:, 1] = np.nan
    assert fit_temperatures(votes, np.zeros(100))[1] == 1


def test_abstentions_stay_abstentions():
    assert np.isnan(apply_temperatures([[[np.nan, np.nan]]], [2.0])).all()


def test_temperatures_without_gold_are_refused():
    with pytest.raises(DataError, match="need gold"):
        fit_temperatures([[[0.5, 0.5]]], [-1])


def test_an_overconfident_posterior_is_brought_back_by_gold_rows():
    world = gaussian([1], exponents=[1], rows=4000)
    logits = np.log(world.votes[:, 0])
    gold = np.where(np.arange(4000) < 2000, world.truth, -1)
    found = recalibrate(3 * logits, gold)
    slope = (found[:, 1] - found[:, 0]) / (logits[:, 1] - logits[:, 0])
    assert np.median(slope) == pytest.approx(1, abs=0.15)


def test_a_handful_of_gold_rows_changes_nothing():
    logits = np.random.default_rng(0).normal(size=(20, 2))
    np.testing.assert_array_equal(recalibrate(logits, np.r_[np.zeros(5), np.full(15, -1)].astype(int)), logits)
