"""A training step with each token objective next to one with torch's cross entropy: time, and peak memory.

    python benchmarks/token_objectives.py

A Llama student (4 layers of 256, 32,000 tokens), 16 prompts of 48 tokens with an answer of 16, AdamW. Every round runs
all objectives; the table gives the median over the rounds of each one's processor time divided by cross entropy's in
the same round, and the peak resident memory of a step beyond what is held between steps, divided by cross entropy's.
The paper's presets split words of three tokens by the student's own doubt, with two weak models' opinions on each.
Then: three texts per prompt in one batch against one text per step.
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from outgrow.objectives import StepContext, TokenBayesian, TokenCrossEntropy, TokenEvidential
from outgrow.train.answers import BridgedOpinion, collate
from outgrow.train.text import TokenLosses

ROUNDS, PROMPTS, ASKED, SAID, TEXTS = 5, 16, 48, 16, 3


class Plain:
    """torch's cross entropy, as it comes."""

    confidences = False

    def __call__(self, logits: Tensor, labels: Tensor, log_confidences: Tensor, context: StepContext) -> Tensor:
        """Loss of each position."""
        return torch.nn.functional.cross_entropy(logits, labels, reduction="none")


def student(tokens: int) -> Any:
    """A student with random weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokens,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=8,
        max_position_embeddings=256,
    )
    return LlamaForCausalLM(config)


def lines_of(tokens: int, prompts: int, texts: int, *, opinions: int = 0) -> list[dict[str, Any]]:
    """Rows to learn, with random tokens; with opinions, words are three tokens long, and the student splits them."""
    words = np.arange(SAID) // 3 * 3
    segments = np.concatenate([np.arange(ASKED - 1), words + ASKED - 1])
    random = torch.Generator().manual_seed(1)
    lines = []
    for _ in range(prompts):
        asked = torch.randint(tokens, (ASKED,), generator=random).tolist()
        said = torch.randint(tokens, (texts, SAID), generator=random).tolist()
        log_s = (-2 * torch.rand(texts, SAID, generator=random)).tolist()
        lines.append(
            {
                "input_ids": [asked + own for own in said],
                "weights": [[0.0] * (ASKED - 1) + [1.0 / texts] * SAID] * texts,
                "log_confidences": [[0.0] * (ASKED - 1) + own for own in log_s],
            }
        )
        if opinions:
            bridged = [
                [BridgedOpinion(1 / opinions, np.array(own), segments)] * opinions
                for own in lines[-1]["log_confidences"]
            ]
            lines[-1]["opinions"] = bridged
    return lines


def stepper(tokens: int, objective: Any) -> Callable[[dict[str, Tensor]], None]:
    """One optimiser step on a batch."""
    network = student(tokens)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5)
    losses = TokenLosses(objective)

    def step(batch: dict[str, Tensor]) -> None:
        loss = (losses(network, batch, 1.0) * batch["weights"]).sum() / batch["weights"].sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def seconds(run: Callable[[], object]) -> float:
    """Processor time of all threads, which other work on the machine moves least."""
    start = time.process_time()
    run()
    return time.process_time() - start


def extra_memory(run: Callable[[], object]) -> int:
    """Peak resident memory beyond what is held before, in bytes; Linux only."""
    ctypes.CDLL(None).malloc_trim(0)  # what earlier steps freed must not hide what this one takes
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    run()
    return _resident("VmHWM") - before


def _resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def objectives(tokens: int) -> None:
    """Prints the table of objectives."""
    batch, judged = (collate(lines_of(tokens, PROMPTS, 1, opinions=count)) for count in (0, 2))
    candidates = {
        "torch cross_entropy": Plain(),
        "cross_entropy": TokenCrossEntropy(),
        "cross_entropy, confidences": TokenCrossEntropy(confidences=True),
        "evidential": TokenEvidential(),
        "evidential, paper": TokenEvidential(preset="paper"),
        "bayesian": TokenBayesian(),
        "bayesian, paper": TokenBayesian(preset="paper"),
    }
    steps = {
        name: functools.partial(stepper(tokens, objective), judged if name.endswith("paper") else batch)
        for name, objective in candidates.items()
    }
    for step in steps.values():
        step()  # AdamW makes its state in the first step
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            times[name].append(seconds(step))
    memory = {name: statistics.median(extra_memory(step) for _ in range(3)) for name, step in steps.items()}
    reference = next(iter(times.values()))
    most = next(iter(memory.values()))
    print(f"{'':<28} {'fastest':>10} {'time':>6} {'memory':>7}")
    for name, own in times.items():
        ratio = statistics.median(one / other for one, other in zip(own, reference, strict=True))
        print(f"{name:<28} {1e3 * min(own):7.0f} ms {ratio:6.2f} {memory[name] / most:7.2f}")


def labels(tokens: int) -> None:
    """Prints what several texts per prompt cost."""
    step = stepper(tokens, TokenBayesian())
    together = collate(lines_of(tokens, PROMPTS, TEXTS))
    alone = [collate([line]) for line in lines_of(tokens, PROMPTS * TEXTS, 1)]
    batches = [collate(lines_of(tokens, PROMPTS, 1)) for _ in range(TEXTS)]
    runs: dict[str, Callable[[], object]] = {
        f"{PROMPTS} prompts × {TEXTS} texts, one step": lambda: step(together),
        f"{TEXTS} steps of {PROMPTS} texts": lambda: [step(batch) for batch in batches],
        f"{TEXTS * PROMPTS} steps of one text": lambda: [step(batch) for batch in alone],
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(2):
        for name, run in runs.items():
            times[name].append(seconds(run))
    reference = next(iter(times.values()))
    for name, own in times.items():
        ratio = statistics.median(one / other for one, other in zip(own, reference, strict=True))
        print(f"{name:<32} {min(own):7.2f} s {ratio:6.2f}×")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=32_000)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    objectives(arguments.tokens)
    labels(arguments.tokens)
