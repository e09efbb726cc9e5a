"""The code of the documentation runs, with tiny random models in place of the ones it names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tiny_models import letter_decoder, make_encoder

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.filterwarnings("ignore:.*pin_memory")  # the Trainer's default, on a machine without an accelerator
def test_the_code_of_the_page_about_own_loops_runs_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    stand_ins = {
        "answerdotai/ModernBERT-base": str(make_encoder(tmp_path / "encoder")),
        "Qwen/Qwen3-0.6B": str(letter_decoder(tmp_path / "decoder")),
    }
    namespace: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", (DOCS / "own_loop.md").read_text(encoding="utf-8"), re.S | re.M):
        for name, folder in stand_ins.items():
            block = block.replace(name, folder)
        exec(compile(block, "own_loop.md", "exec"), namespace)
    assert (namespace["predicted"].numpy() == namespace["truth"]).mean() > 0.8
    assert namespace["trainer"].state.global_step == 6
    assert all(torch.isfinite(parameter.grad).all() for parameter in namespace["student"].parameters())
