from __future__ import annotations

import json

import torch

from outgrow.objectives import class_offsets
from outgrow.train.step_context import PredictionWindow

HALF = torch.tensor([0.5, 0.5])


def step(seed: int, rows: int = 8, level: float = 1.0) -> torch.Tensor:
    noise = torch.randn(rows, 2, generator=torch.Generator().manual_seed(seed))
    return torch.log_softmax(noise + torch.tensor([0.0, level]), dim=-1)


def test_offsets_are_those_of_this_step_and_the_recent_ones_together() -> None:
    window = PredictionWindow(16, HALF)
    assert torch.equal(window.offsets(step(0)), class_offsets(step(0), HALF))
    assert torch.equal(window.offsets(step(1)), class_offsets(torch.cat([step(0), step(1)]), HALF))


def test_old_steps_leave_as_soon_as_enough_remain() -> None:
    window = PredictionWindow(16, HALF)
    last = [window.offsets(step(seed)) for seed in range(5)][-1]
    assert torch.equal(last, class_offsets(torch.cat([step(3), step(4)]), HALF))


def test_a_step_of_enough_rows_stands_for_itself() -> None:
    window = PredictionWindow(8, HALF)
    window.offsets(step(0))
    assert torch.equal(window.offsets(step(1)), class_offsets(step(1), HALF))


def test_a_student_whose_predictions_all_drift_one_way_is_still_hardened_half_and_half() -> None:
    """With earlier steps alone all rows would be hardened to the class that the student drifts to, and push it on."""
    window = PredictionWindow(8, HALF)
    for number in range(6):
        drifted = step(number, level=3.0 * number)
        hardened = (drifted + window.offsets(drifted)).argmax(dim=1)
        assert hardened.sum() == 4


def test_the_contents_survive_being_written_exactly() -> None:
    window, other = PredictionWindow(16, HALF), PredictionWindow(16, HALF)
    window.offsets(step(0))
    window.offsets(step(1))
    other.restore(json.loads(json.dumps(window.state())))
    assert torch.equal(other.offsets(step(2)), window.offsets(step(2)))
