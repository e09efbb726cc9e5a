"""What a training step costs next to a bare loop: optimizer, padding, the Trainer, the confidence loss, a checkpoint.

    python benchmarks/training.py            # a small pretrained encoder ($MINILM), else a random one of the same shape
    python benchmarks/training.py --smoke    # a tiny random encoder, two steps each

Texts of random words, 4 to 80 of them (median 24), steps of 16. One thread; CPU time, so that other work on the machine
moves the ratios less. Every round runs all variants one after the other on the same rows; the table gives medians over
the rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from outgrow.labels import ChoiceTargets
from outgrow.models.classifier import ChoiceNetwork, Encoder, load_choice_network
from outgrow.progress import SilentReporter
from outgrow.registry import create
from outgrow.train.arguments import training_arguments
from outgrow.train.choice import train_choice

BATCH = 16
WORDS = ["the", "film", "was", "good", "bad", "very", "not", "a", "plot", "with", "heart", "no"]


class Clock(SilentReporter):
    """CPU time from the end of the first step to the end of the last."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    @contextmanager
    def step(self, name: str, total: int) -> Iterator[Any]:
        """Count this step's advances."""
        yield self

    def advance(self, amount: int = 1) -> None:
        """Take the time."""
        self.ends.append(time.process_time())

    def seconds(self) -> float:
        """CPU seconds per step."""
        return (self.ends[-1] - self.ends[0]) / (len(self.ends) - 1)


def random_encoder(folder: Path, size: dict[str, int]) -> str:
    """A random BERT with a tokenizer of a dozen words."""
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    BertModel(BertConfig(**size)).save_pretrained(folder)
    return str(folder)


def bare_loop(network: ChoiceNetwork, encoder: Encoder, texts: Sequence[str], goals: torch.Tensor, **how: Any) -> float:
    """CPU seconds per step of forward, backward, clipping and AdamW."""
    tokens = encoder.tokenise(texts)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-5, fused=how.get("fused", False))
    order = np.arange(len(texts))
    if how.get("grouped"):
        order = np.argsort([len(row["input_ids"]) for row in tokens], kind="stable")
        order = np.random.default_rng(0).permutation(order.reshape(-1, BATCH)).ravel()
    clock = Clock()
    network.train()
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        logits = network(**encoder.batch([tokens[row] for row in rows]))
        (-(goals[rows] * logits.log_softmax(-1)).sum() / BATCH).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        clock.advance()
    return clock.seconds()


def ours(
    network: ChoiceNetwork, encoder: Encoder, texts: Sequence[str], goals: torch.Tensor, objective: str, **trainer: Any
) -> float:
    """CPU seconds per step of `fit`."""
    targets = ChoiceTargets(tuple(map(str, range(len(texts)))), goals.double().numpy(), np.ones(len(texts)))
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        settings = {"num_train_epochs": 1, "per_device_train_batch_size": BATCH, **trainer}
        arguments = training_arguments(Path(folder), settings, seed=0)
        train_choice(network, encoder, texts, targets, create("objective", objective, {}), arguments, reporter=clock)
    return clock.seconds()


def variants() -> dict[str, Callable[..., float]]:
    """What is compared; the first is what the others are measured by."""

    def fitted(objective: str = "cross_entropy", **trainer: Any) -> Callable[..., float]:
        return lambda *given: ours(*given, objective, **trainer)

    pieces = {"per_device_train_batch_size": BATCH // 4, "gradient_accumulation_steps": 4}
    return {
        "bare loop, plain AdamW": bare_loop,
        "bare loop, fused AdamW": lambda *given: bare_loop(*given, fused=True),
        "bare loop, fused AdamW, rows grouped by length": lambda *given: bare_loop(*given, fused=True, grouped=True),
        "ours": fitted(),
        "ours, train_sampling_strategy: group_by_length": fitted(train_sampling_strategy="group_by_length"),
        "ours, confidence": fitted("confidence"),
        "ours, 4 × 4 rows": fitted(**pieces),
        "ours, 4 × 4 rows, confidence (a pass more)": fitted("confidence", **pieces),
        "ours, activation checkpointing": fitted(activation_checkpointing=True),
        "ours, a checkpoint every step": fitted(save_seconds=1e-9),
    }


def main(*, smoke: bool = False, rounds: int = 3, steps: int = 10) -> None:
    """Prints the table."""
    torch.set_num_threads(1)
    size = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    if smoke:
        rounds, steps = 1, 3
        size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    with tempfile.TemporaryDirectory() as folder:
        named = "" if smoke else os.environ.get("MINILM", "")
        model = named or random_encoder(Path(folder) / "encoder", size)
        rng = np.random.default_rng(0)
        lengths = np.clip(rng.lognormal(3.2, 0.5, steps * BATCH), 4, 80).astype(int)
        texts = [" ".join(rng.choice(WORDS, size=length)) for length in lengths]
        goals = torch.softmax(torch.randn(len(texts), 2), -1)
        times: dict[str, list[float]] = {name: [] for name in variants()}
        for _ in range(rounds):
            for name, run in variants().items():
                network = load_choice_network(model, 2, seed=0)
                times[name].append(run(network, Encoder.load(model, network.backbone, max_length=None), texts, goals))
        reference = times[next(iter(times))]
        print(f"{'a step of 16 texts':<50} {'ms':>7} {'ratio':>6}")
        for name, own in times.items():
            ratio = statistics.median(one / other for one, other in zip(own, reference, strict=True))
            print(f"{name:<50} {1e3 * statistics.median(own):7.0f} {ratio:6.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    main(**vars(parser.parse_args()))
