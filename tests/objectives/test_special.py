from __future__ import annotations

import mpmath
import pytest
import torch
from dirichlet_oracle import exact_divergence

from outgrow.objectives.special import (
    excess,
    expected_divergence,
    expected_divergence_of_many,
    opinion_gain,
    tail_probability,
    total_part,
    trigamma_tail,
    unit_divergence,
)

EVIDENCE = [0.0, 1e-9, 1e-4, 0.01, 0.3, 0.5, 0.999, 1.0, 1.001, 2.0, 3.7, 30.0, 1e4, 1e13, 1e34]


@pytest.mark.parametrize("e", EVIDENCE)
def test_trigamma_from_its_tail_agrees_with_mpmath(e: float) -> None:
    t = torch.tensor(1 / (1 + e), dtype=torch.float64)
    found = (t + t * t * trigamma_tail(t)).item()
    assert found == pytest.approx(float(mpmath.psi(1, 1 / mpmath.mpf(t.item()))), rel=1e-8)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-7)])
@pytest.mark.parametrize("e", EVIDENCE[1:])
def test_excess_keeps_relative_accuracy_for_little_and_much_evidence(
    e: float, dtype: torch.dtype, tolerance: float
) -> None:
    evidence = torch.tensor(e, dtype=dtype)
    t = 1 / (1 + evidence)
    s = evidence * t
    exact = mpmath.mpf(evidence.item())
    wanted = exact * mpmath.psi(0, 1 + exact) - mpmath.loggamma(1 + exact) - exact * exact / (1 + exact)
    assert excess(t, s).item() == pytest.approx(float(wanted), rel=tolerance)


@pytest.mark.parametrize("choices", [2, 3, 10, 1000, 32_000])
@pytest.mark.parametrize("e", EVIDENCE[1:])
def test_parts_add_up_to_the_divergence(e: float, choices: int) -> None:
    evidence = torch.tensor(e, dtype=torch.float64)
    t = 1 / (1 + evidence)
    s = evidence * t
    sums = (choices * each for each in (evidence, evidence * s, s))
    found = total_part(next(sums), choices, *sums) + choices * excess(t, s)
    exact = mpmath.mpf(evidence.item())
    one = exact * mpmath.psi(0, 1 + exact) - mpmath.loggamma(1 + exact)
    total = exact * choices
    rest = mpmath.loggamma(choices + total) - mpmath.loggamma(choices) - total * mpmath.psi(0, choices + total)
    assert found.item() == pytest.approx(float(rest + choices * one), rel=3e-7)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-7), (torch.float32, 1e-6)])
@pytest.mark.parametrize(("spread", "level"), [(1, -8), (1, -3), (3, 0), (1, 4), (8, 10)])
@pytest.mark.parametrize("choices", [65, 300, 4000])
def test_sums_taken_once_per_row_give_the_mean_over_every_class_in_turn(
    choices: int, spread: float, level: float, dtype: torch.dtype, tolerance: float
) -> None:
    noise = torch.randn(2, 4, choices, dtype=dtype, generator=torch.Generator().manual_seed(choices))
    e, shares = (spread * noise[0] + level).exp(), (5 * noise[1]).softmax(1)
    top = e.argmax(1)
    at = top[:, None]
    value, slopes = expected_divergence(e.double(), top, shares.double())
    rest, others = e.scatter(1, at, 0.0), shares.scatter(1, at, 0.0)
    own = (each.gather(1, at)[:, 0].double() for each in (e, shares))
    found, found_slopes, at_top = expected_divergence_of_many(rest, rest.double().sum(1), next(own), others, next(own))
    torch.testing.assert_close(found, value, rtol=tolerance, atol=0)
    # Gradients in the logits, each row in units of its largest.
    found_slopes = found_slopes.double().scatter(1, at, at_top[:, None])
    scale = (slopes * e).abs().amax(1, keepdim=True)
    torch.testing.assert_close(found_slopes * e / scale, slopes * e / scale, rtol=0, atol=tolerance)


@pytest.mark.parametrize("total", EVIDENCE[1:])
def test_tail_probabilities_are_both_accurate(total: float) -> None:
    below, above = tail_probability(torch.tensor(total, dtype=torch.float64), 5)
    exact = mpmath.mpf(total) * mpmath.psi(1, 5 + mpmath.mpf(total))
    assert below.item() == pytest.approx(float(exact), rel=1e-8)
    assert above.item() == pytest.approx(float(1 - exact), rel=1e-8)


@pytest.mark.parametrize(("choices", "nats"), [(2, 0.12509), (32_000, 3709.71)])
def test_the_unit_divergence_has_its_published_values(choices: int, nats: float) -> None:
    assert unit_divergence(choices) == pytest.approx(nats, abs=0.005 if choices > 2 else 5e-6)


def test_the_unit_divergence_is_the_divergence_at_evidence_one() -> None:
    assert unit_divergence(7) == pytest.approx(float(exact_divergence([mpmath.mpf(1)] * 7)), rel=1e-7)


@pytest.mark.parametrize("alpha", [1.0, 1.5, 7.9, 8.0, 40.0, 1e5, 1e13])
@pytest.mark.parametrize("count", [0.0, 0.3, 1.0, 2.0, 7.5, 50.0, 1000.0])
def test_opinion_gain_and_its_slope_agree_with_mpmath(alpha: float, count: float) -> None:
    value, slope = opinion_gain(*(torch.tensor([each], dtype=torch.float64) for each in (alpha, count)))
    a, n = mpmath.mpf(alpha), mpmath.mpf(count)
    wanted = mpmath.loggamma(a + n) - mpmath.loggamma(a) - n * mpmath.log(a)
    wanted_slope = mpmath.psi(0, a + n) - mpmath.psi(0, a) - n / a
    # With a single opinion the gain is exactly 0, which a sum of terms of size n/α reaches to rounding.
    assert value.item() == pytest.approx(float(wanted), rel=1e-7, abs=1e-8 * count / alpha)
    assert slope.item() == pytest.approx(float(wanted_slope), rel=1e-7, abs=1e-8 * count / alpha**2)
