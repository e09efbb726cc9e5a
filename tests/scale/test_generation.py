"""Answers and scores that are kept while they come."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from outgrow.labels import Completion
from outgrow.models.protocols import GenerateOptions
from outgrow.models.scripted import ScriptedLanguageModel
from outgrow.progress import SilentReporter
from outgrow.scale.generation import SHARD_ROWS, ShardedLanguageModel
from outgrow.scale.local import LocalExecutor

PROMPTS = [f"question {index}" for index in range(2 * SHARD_ROWS + 5)]
PAIRS = [(prompt, f" answer to {prompt}") for prompt in PROMPTS]


class Breaking(ScriptedLanguageModel):
    """Dies after so many calls."""

    calls_left = 1

    def __init__(self) -> None:
        super().__init__(lambda prompt: f" answer to {prompt}")

    def _count(self) -> None:
        if Breaking.calls_left == 0:
            raise KeyboardInterrupt
        Breaking.calls_left -= 1

    def generate(self, prompts: Sequence[str], options: GenerateOptions) -> list[list[Completion]]:
        self._count()
        return super().generate(prompts, options)

    def logprobs(self, pairs: Sequence[tuple[str, str]], **options: Any) -> list[Completion]:
        self._count()
        return super().logprobs(pairs, **options)


def sharded(model: Any, folder: Path) -> ShardedLanguageModel:
    with LocalExecutor().open(lambda: model, seen=int, say=print) as apply:
        return ShardedLanguageModel("scripted", False, apply, folder, SilentReporter(), "step")


@pytest.mark.parametrize("what", ["generate", "logprobs"])
def test_an_interrupted_call_goes_on_after_its_last_whole_shard(what: str, tmp_path: Path) -> None:
    def ask(model: Any) -> Any:
        return model.generate(PROMPTS, GenerateOptions()) if what == "generate" else model.logprobs(PAIRS, end=True)

    kept = sharded(Breaking(), tmp_path)
    Breaking.calls_left = 1
    with pytest.raises(KeyboardInterrupt):
        ask(kept)
    Breaking.calls_left = 2
    assert ask(kept) == ask(ScriptedLanguageModel(lambda prompt: f" answer to {prompt}"))
    assert Breaking.calls_left == 0
    assert ask(kept) == ask(kept)  # everything is there: nobody is asked


def test_nothing_asked_is_nothing_kept(tmp_path: Path) -> None:
    kept = sharded(Breaking(), tmp_path)
    assert kept.logprobs([]) == []
    assert list(tmp_path.iterdir()) == []
