from __future__ import annotations

import torch

from outgrow.objectives import class_offsets
from outgrow.train.window import PredictionWindow

HALF = torch.tensor([0.5, 0.5])


def step(seed: int, rows: int = 8) -> torch.Tensor:
    return torch.log_softmax(torch.randn(rows, 2, generator=torch.Generator().manual_seed(seed)) + 1, dim=-1)


def test_before_the_first_finished_step_there_are_no_offsets() -> None:
    assert PredictionWindow(16, HALF).offsets() is None


def test_offsets_are_those_of_the_recent_steps_together() -> None:
    window = PredictionWindow(16, HALF)
    for seed in range(2):
        window.add(step(seed))
    assert torch.equal(window.offsets(), class_offsets(torch.cat([step(0), step(1)]), HALF))


def test_old_steps_leave_as_soon_as_enough_remain() -> None:
    window = PredictionWindow(16, HALF)
    for seed in range(5):
        window.add(step(seed))
    assert torch.equal(window.offsets(), class_offsets(torch.cat([step(3), step(4)]), HALF))


def test_a_step_larger_than_the_window_is_kept_whole() -> None:
    window = PredictionWindow(4, HALF)
    window.add(step(0))
    assert torch.equal(window.offsets(), class_offsets(step(0), HALF))


def test_half_of_the_window_falls_on_each_class() -> None:
    window = PredictionWindow(64, HALF)
    for seed in range(8):
        window.add(step(seed))
    together = torch.cat([step(seed) for seed in range(8)])
    assert (together.argmax(1) == 0).sum() != 32
    assert ((together + window.offsets()).argmax(1) == 0).sum() == 32


def test_the_contents_survive_being_written_exactly() -> None:
    import json

    window, other = PredictionWindow(16, HALF), PredictionWindow(16, HALF)
    window.add(step(0))
    window.add(step(1))
    other.restore(json.loads(json.dumps(window.state())))
    assert torch.equal(other.offsets(), window.offsets())
    window.add(step(2))
    other.add(step(2))
    assert torch.equal(other.offsets(), window.offsets())
