"""A part of `bench.py`: training steps with each token objective, next to those with torch's cross entropy.

A Llama student (4 layers of 256, 32,000 tokens), 16 prompts of 48 tokens with an answer of 16, AdamW. The paper's
presets split words of three tokens by the student's own doubt, with two weak models' opinions on each. Then three
texts per prompt in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from harness import Case
from outgrow.objectives import StepContext, TokenBayesian, TokenCrossEntropy, TokenEvidential
from outgrow.train.answers import BridgedOpinion, collate
from outgrow.train.text import TokenLosses

PROMPTS, ASKED, SAID, TEXTS = 16, 48, 16, 3


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


def cases(smoke: bool) -> Iterator[Case]:
    """Each objective against cross entropy, and several texts per prompt against one text per step."""
    tokens, prompts = (200, 2) if smoke else (32_000, PROMPTS)
    batch, judged = (collate(lines_of(tokens, prompts, 1, opinions=count)) for count in (0, 2))
    candidates = {
        "cross_entropy": TokenCrossEntropy(),
        "cross_entropy, confidences": TokenCrossEntropy(confidences=True),
        "evidential": TokenEvidential(),
        "evidential, paper": TokenEvidential(preset="paper"),
        "bayesian": TokenBayesian(),
        "bayesian, paper": TokenBayesian(preset="paper"),
    }

    def on(step: Callable[[dict[str, Tensor]], None], *batches: dict[str, Tensor]) -> Callable[[], object]:
        step(batches[0])  # AdamW makes its state in the first step
        return lambda: [step(each) for each in batches]

    plain = on(stepper(tokens, Plain()), batch)
    for name, objective in candidates.items():
        own = on(stepper(tokens, objective), judged if name.endswith("paper") else batch)
        yield Case(f"step with {name}", own, "torch's cross entropy", plain, memory=True)
    step = stepper(tokens, TokenBayesian())
    together = on(step, collate(lines_of(tokens, prompts, TEXTS)))
    alone = on(step, *(collate([line]) for line in lines_of(tokens, prompts * TEXTS, 1)))
    batches = on(step, *(collate(lines_of(tokens, prompts, 1)) for _ in range(TEXTS)))
    yield Case(f"{TEXTS} texts a prompt in one step", together, f"{TEXTS} steps of one text a prompt", batches)
    yield Case(f"{TEXTS} texts a prompt in one step", together, "a step for each text", alone)
