"""The script of examples/hh_harmless on a few pairs of the real data."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from example_scripts import load_script
from outgrow.models.loading import load_tokenizer
from outgrow.run import Run
from outgrow.store import Store
from outgrow.tasks.preferences import read_preferences
from outgrow.tasks.split import normalise
from tiny_models import make_decoder

PATH = Path(__file__).parents[1] / "examples/hh_harmless/harmless.py"


harmless = load_script("hh_harmless/harmless.py")


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_decoder(tmp_path_factory.mktemp("models") / "decoder", context=512))


@pytest.fixture(scope="module")
def halves(real_data: Path, student: str) -> Any:
    return harmless.read_halves(real_data / "hh_harmless", student=student, context=256, pairs=12)


def test_no_prompt_is_in_two_parts_and_what_was_left_out_is_said(halves: Any, student: str) -> None:
    gold, weak, test = (
        {normalise(prompt) for prompt in part.prompts} for part in (halves.gold, halves.weak, halves.test)
    )
    assert not gold & weak
    assert not gold & test
    assert not weak & test
    assert any("weak_half: " in one and "prompts are in another part too" in one for one in halves.remarks)
    tokenizer = load_tokenizer(student)
    longest = max(
        len(tokenizer(p + a)["input_ids"]) for p, a in zip(halves.weak.prompts, halves.weak.chosen, strict=True)
    )
    assert longest <= 256


def test_weak_judges_teach_a_student_that_is_scored_on_every_test_pair(
    halves: Any, student: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harmless, "OBJECTIVES", {name: harmless.OBJECTIVES[name] for name in ("dpo", "cdpo, ensemble")})
    few = dataclasses.replace(halves, gold=halves.gold.take(range(80)))
    trainer = {"num_train_epochs": 1, "learning_rate": 1e-3}
    scores = harmless.compare(
        few, student, Run(Store(tmp_path)), encoder=None, seeds=[0], reading=trainer, trainer=trainer
    )
    assert [*scores][-4:] == ["all judges together", "dpo", "cdpo, ensemble", "ceiling: dpo on gold pairs"]
    assert all(own.shape == (1, 12) and set(np.unique(own)) <= {0.0, 0.5, 1.0} for own in scores.values())
    judged, _ = read_preferences(tmp_path / "weak_pairs.jsonl")
    assert set(judged.prompts) <= set(halves.weak.prompts)
    assert all(0.5 < sure < 1 for sure in judged.p_chosen)
    assert harmless.table(scores).count("\n") == 1 + len(scores)
