"""Whatever is damaged in a finished store, the next run gives the same numbers or refuses in words."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hard.small_runs import contents, crowd, run, same, settings
from http_server import serving
from outgrow.errors import OutgrowError


def flip(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def cut(path: Path, chance: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size)])


def blank(path: Path, chance: random.Random) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def lose(path: Path, chance: random.Random) -> None:
    path.unlink()


DAMAGES: list[Callable[[Path, random.Random], None]] = [flip, cut, blank, lose]


def damageable(config: dict[str, Any]) -> list[Path]:
    """All files of the store but locks and notes, and the results."""
    store, output = Path(config["store"]), Path(config["output"])
    files = [*sorted(store.glob("*/*/**/*")), store / "responses.sqlite", *sorted(output.iterdir())]
    return [path for path in files if path.is_file() and path.stat().st_size and not path.name.startswith(".")]


def damage(encoder: Path, folder: Path, trials: int, at_once: int, seed: int) -> dict[str, int]:
    """Damages files drawn at random in a finished run, runs again, and compares; counts what came."""
    chance, mended, refused = random.Random(seed), 0, 0
    with serving(crowd) as server:
        config = settings(encoder, server.url, folder / "run")
        run(config)
        wanted = contents(config)
        shutil.copytree(folder / "run", folder / "whole")
        for _ in range(trials):
            for path in chance.sample(damageable(config), at_once):
                chance.choice(DAMAGES)(path, chance)
            try:
                run(config)
                assert same(contents(config), wanted)
                mended += 1
            except OutgrowError:
                refused += 1
            shutil.rmtree(folder / "run")
            shutil.copytree(folder / "whole", folder / "run")
    return {"trials": trials, "mended": mended, "refused": refused}


def test_several_files_damaged_at_once(encoder_folder: Path, tmp_path: Path) -> None:
    damage(encoder_folder, tmp_path, trials=1, at_once=5, seed=3)


@pytest.mark.slow
def test_a_hundred_damaged_files(encoder_folder: Path, tmp_path: Path) -> None:
    print(damage(encoder_folder, tmp_path, trials=100, at_once=1, seed=0))
