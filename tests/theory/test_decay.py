from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import dblquad

from outgrow.errors import ConfigError
from outgrow.theory.decay import GROUPS, DecayCurve, decay_curve, mean_rate, typical_rate
from outgrow.theory.estimators import Refined
from outgrow.theory.regression import simulate
from outgrow.theory.world import orthonormal_world


def test_matched_noise_gives_the_rate_of_bhattacharyya() -> None:
    """For κ = 1 and labels as noisy as believed θ is ½, and the mean over the noise exp(−(x_* − x_k)² / 8σ²)."""
    mean, _ = dblquad(lambda a, b: np.exp(-((a - b) ** 2) / (8 * 0.5**2)) / 4, -1, 1, -1, 1)
    assert mean_rate(1.0, 0.5) == pytest.approx(-np.log(mean), rel=1e-6)


def test_nothing_decays_where_the_evidence_points_elsewhere() -> None:
    assert mean_rate(0.0, 0.5) == pytest.approx(0.0, abs=1e-6)
    assert mean_rate(-0.5, 0.5) == 0.0


def test_noise_and_bias_slow_the_decay() -> None:
    assert mean_rate(1.0, 0.5) > mean_rate(0.8, 0.5) > mean_rate(0.5, 0.5)
    assert mean_rate(1.0, 0.5) > mean_rate(1.0, 0.5, noise=2.0) > mean_rate(1.0, 0.5, noise=4.0)


@pytest.mark.parametrize(("kappa", "first", "last"), [(1.0, 8, 20), (0.8, 16, 40)])
def test_with_two_concepts_slopes_are_as_predicted(kappa: float, first: int, last: int) -> None:
    curve = decay_curve(kappa, last, concepts=2, sigma=0.5, repetitions=60_000, seed=2)
    assert curve.typical(first, last).rate == pytest.approx(typical_rate(kappa, 0.5), rel=0.02)
    fitted, predicted = curve.mean(first, last), mean_rate(kappa, 0.5)
    assert fitted.standard_error < 0.07 * predicted
    assert fitted.rate == pytest.approx(predicted, rel=0.1)


def test_with_many_concepts_the_typical_risk_lags_behind_its_rate_and_catches_up() -> None:
    curve = decay_curve(1.0, 400, concepts=10, sigma=0.5, repetitions=200, seed=0)
    early, late = (curve.typical(*stretch).rate / typical_rate(1.0, 0.5) for stretch in ((8, 22), (200, 400)))
    assert early < 0.8
    assert late > 0.9


def test_the_curve_starts_at_the_risks_of_the_regression_world() -> None:
    curve = decay_curve(0.5, 4, concepts=5, sigma=0.5, repetitions=4000, seed=0)
    error = curve.means.std(axis=0, ddof=1) / GROUPS**0.5
    world = orthonormal_world(kappa=0.5, dimension=6, concepts=5, rotated=False)
    for n in (1, 2, 4):
        risk = simulate(world, Refined(), n=n, repetitions=4000, seed=0)
        assert abs(curve.means.mean(axis=0)[n - 1] - risk.mean) < 4 * np.hypot(error[n - 1], risk.standard_error)


def test_a_planted_rate_is_fitted_without_error() -> None:
    n = np.arange(1, 31)
    means = np.tile(np.exp(-0.3 * n) / np.sqrt(n), (GROUPS, 1))
    curve = DecayCurve(means, np.tile(-0.7 * n, (GROUPS, 1)))
    assert curve.mean(5, 30).rate == pytest.approx(0.3)
    assert curve.typical(5, 30).rate == pytest.approx(0.7)
    assert curve.mean(5, 30).standard_error == pytest.approx(0.0, abs=1e-12)


def test_the_error_of_a_slope_is_that_of_repeated_measurement() -> None:
    slopes = [
        decay_curve(1.0, 10, concepts=2, sigma=0.5, repetitions=2000, seed=seed).mean(4, 10) for seed in range(30)
    ]
    claimed = np.mean([slope.standard_error for slope in slopes])
    assert np.std([slope.rate for slope in slopes]) == pytest.approx(claimed, rel=0.45)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="kappa beyond"):
        mean_rate(1.5, 0.5)
    with pytest.raises(ConfigError, match="sigma must be above 0"):
        typical_rate(1.0, 0.0)
    with pytest.raises(ConfigError, match="concepts must be at least 2"):
        decay_curve(1.0, 4, concepts=1, sigma=0.5, repetitions=20, seed=0)
    with pytest.raises(ConfigError, match="outside the curve"):
        decay_curve(1.0, 4, concepts=2, sigma=0.5, repetitions=20, seed=0).mean(2, 9)
