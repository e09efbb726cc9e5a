"""Killed before any change of a file and started again, a run leaves the same artefacts, results and costs."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest

from hard.small_runs import changes_of, contents, crowd, in_a_child, killed_at, left_over, run, same, settings
from http_server import serving


def crash(encoder: Path, folder: Path, kills: int, per_run: int, seed: int) -> dict[str, int]:
    """Kills runs before changes drawn at random, `per_run` times before each is let to its end; counts what came."""
    chance, killed, runs = random.Random(seed), 0, 0
    with serving(crowd) as server:
        calm = settings(encoder, server.url, folder / "calm")
        changes = changes_of(calm, folder)
        wanted = contents(calm)
        while killed < kills:
            config = settings(encoder, server.url, folder / f"run-{runs}")
            for _ in range(per_run):
                if chance.random() < 0.75:
                    killed += killed_at(config, chance.randrange(changes))
                else:
                    killed += _killed_after(config, chance.uniform(0.0, 2.0))
            run(config)
            assert same(contents(config), wanted)
            assert not left_over(config)
            runs += 1
    return {"kills": killed, "runs": runs, "changes": changes}


def _killed_after(config: dict[str, object], seconds: float) -> bool:
    def work() -> None:
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
        run(config)

    return in_a_child(work) != 0


def test_a_few_kills_before_changes_of_files(encoder_folder: Path, tmp_path: Path) -> None:
    assert crash(encoder_folder, tmp_path, kills=2, per_run=2, seed=1)["kills"] >= 2


@pytest.mark.slow
def test_two_hundred_kills(encoder_folder: Path, tmp_path: Path) -> None:
    print(crash(encoder_folder, tmp_path, kills=200, per_run=4, seed=0))
