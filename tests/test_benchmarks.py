"""The cases of `make bench` agree and run, with small sizes and without a clock."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")


@pytest.mark.parametrize("part", ["objectives", "bridge", "refine"])
def test_both_sides_of_every_case_of_a_part_run_and_agree(part: str) -> None:
    cases = list(import_module(part).cases(smoke=True))
    for case in cases:
        if case.check is not None:
            case.check()
        case.run()
        case.other()
    assert len({(case.what, case.against) for case in cases}) == len(cases)


def test_without_a_gpu_its_benchmark_says_what_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit, match="no CUDA device here"):
        import_module("gpu").main(smoke=False)
