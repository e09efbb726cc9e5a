"""A part of `bench.py`: refinement behind shared demonstrations, with and without reading them once.

A Llama of 4 layers and random weights; blocks of 32 questions behind the same 8 demonstrations, 8 new tokens each,
and two choices each. The limit is what the model itself needs for the tokens that have to be processed: a forward
pass over the demonstrations, one over 32 questions behind them, and the steps of decoding, with nothing around
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch

from generation import model_of
from harness import Case
from outgrow.models import local
from outgrow.models.causal import Batch, batches
from outgrow.models.local import LocalLanguageModel
from outgrow.models.protocols import GenerateOptions

BLOCKS, SHARE, DEMONSTRATIONS, SHOWN, ASKED, LENGTH = 2, 32, 8, 24, 12, 8


def unshared(sequences: Any, size: int, *, last: Any = None) -> Any:
    """The same batches, each text read whole."""
    return (Batch(batch.members, 0) for batch in batches(sequences, size, last=last))


def limit(model: Any, block: torch.Tensor, asked: torch.Tensor, steps: int) -> None:
    """Only the forward passes, on token ids, greedily."""
    with torch.inference_mode():
        cache = model(block, use_cache=True, logits_to_keep=1).past_key_values
        cache.batch_repeat_interleave(len(asked))
        ids = asked
        for _ in range(steps):
            output = model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache, ids = output.past_key_values, output.logits[:, -1].argmax(-1, keepdim=True)


def cases(smoke: bool) -> Iterator[Case]:
    """Generation and scoring behind a shared prefix, against each prompt read whole and against the limit."""
    width, tokens, share = (64, 200, 4) if smoke else (256, 8000, SHARE)
    model = model_of(width, tokens)
    random = torch.Generator().manual_seed(0)

    def words(count: int) -> str:
        return " ".join(map(str, torch.randint(1, tokens, (count,), generator=random).tolist()))

    blocks = [words(DEMONSTRATIONS * SHOWN) for _ in range(BLOCKS)]
    prompts = [f"{block} {words(ASKED)}" for block in blocks for _ in range(share)]
    pairs = [(prompt, text) for prompt in prompts for text in (" 7", " 8 9")]
    encoded = torch.tensor([model.tokenizer(prompt)["input_ids"] for prompt in prompts])
    shown, asked = encoded[:, : DEMONSTRATIONS * SHOWN], encoded[:, DEMONSTRATIONS * SHOWN :]
    options = GenerateOptions(LENGTH)

    def whole(work: Callable[[], object]) -> Callable[[], object]:
        def run() -> object:
            with mock.patch.object(local, "batches", unshared):
                return work()

        return run

    def bare() -> None:
        for start in range(0, len(prompts), share):
            limit(model.model, shown[start : start + 1], asked[start : start + share], LENGTH)

    def generate() -> object:
        return model.generate(prompts, options)

    def score() -> object:
        return model.logprobs(pairs)

    def check() -> None:
        _check(model, prompts, pairs, options)

    yield Case("generate, demonstrations read once", generate, "each prompt read whole", whole(generate), check=check)
    yield Case("generate, demonstrations read once", generate, "forward passes alone", bare)
    yield Case("score choices, demonstrations read once", score, "each prompt read whole", whole(score))


def _check(model: LocalLanguageModel, prompts: Any, pairs: Any, options: GenerateOptions) -> None:
    """The same texts and, to 1e-4, the same log-probabilities."""
    shared, scored = model.generate(prompts, options), model.logprobs(pairs)
    with mock.patch.object(local, "batches", unshared):
        alone, alone_scored = model.generate(prompts, options), model.logprobs(pairs)
    assert [one.text for [one] in shared] == [one.text for [one] in alone]
    mine = [value for one in [*(own for [own] in shared), *scored] for value in one.logprobs]
    theirs = [value for one in [*(own for [own] in alone), *alone_scored] for value in one.logprobs]
    assert max(abs(a - b) for a, b in zip(mine, theirs, strict=True)) < 1e-4
