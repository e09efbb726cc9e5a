"""A part of `bench.py`: training through the library against a bare loop over the same batches."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from harness import Case
from outgrow.objectives import TokenCrossEntropy
from outgrow.train import collate, fit
from outgrow.train.arguments import training_arguments
from outgrow.train.text import TokenLosses
from token_objectives import lines_of, student


def cases(smoke: bool) -> Iterator[Case]:
    """`fit` on a text student against AdamW on the same model, data and number of steps."""
    tokens, rows, size = (200, 4, 2) if smoke else (8_000, 128, 16)
    lines = lines_of(tokens, rows, 1)
    settings: dict[str, Any] = {"num_train_epochs": 1, "per_device_train_batch_size": size, "save_strategy": "no"}

    def ours() -> None:
        with tempfile.TemporaryDirectory() as folder:
            arguments = training_arguments(Path(folder), settings, seed=0)
            fit(student(tokens), lines, collate, TokenLosses(TokenCrossEntropy()), arguments)

    def bare() -> None:
        network = student(tokens).train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=5e-5)
        for start in range(0, rows, size):
            batch = collate(lines[start : start + size])
            ids, weights = batch["input_ids"][:, 0], batch["weights"][:, 0]
            logits = network(input_ids=ids).logits[:, :-1]
            losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
            ((losses * weights).sum() / weights.sum()).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

    yield Case("fit, a text student", ours, "bare loop", bare)
