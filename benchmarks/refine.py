"""Refinement behind shared demonstrations: questions a second with and without reading them once.

    python benchmarks/refine.py

A Llama of 4 layers and random weights; blocks of 32 questions behind the same 8 demonstrations, 8 new tokens each, and
two choices each. Every round runs all candidates, one after the other; the table gives medians over the rounds of
processor time. The limit is what the model itself needs for the tokens that have to be processed: a forward pass over
the demonstrations, one over 32 questions behind them, and the steps of decoding, with nothing around them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch

from generation import model_of
from outgrow.models import local
from outgrow.models.causal import Batch, batches
from outgrow.models.local import LocalLanguageModel
from outgrow.models.protocols import GenerateOptions

ROUNDS, BLOCKS, SHARE, DEMONSTRATIONS, SHOWN, ASKED, LENGTH = 5, 2, 32, 8, 24, 12, 8


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


def main(width: int, tokens: int, threads: int) -> None:
    """Prints the table."""
    torch.set_num_threads(threads)
    model = model_of(width, tokens)
    random = torch.Generator().manual_seed(0)

    def words(count: int) -> str:
        return " ".join(map(str, torch.randint(1, tokens, (count,), generator=random).tolist()))

    blocks = [words(DEMONSTRATIONS * SHOWN) for _ in range(BLOCKS)]
    prompts = [f"{block} {words(ASKED)}" for block in blocks for _ in range(SHARE)]
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
        for start in range(0, len(prompts), SHARE):
            limit(model.model, shown[start : start + 1], asked[start : start + SHARE], LENGTH)

    def generate() -> object:
        return model.generate(prompts, options)

    def score() -> object:
        return model.logprobs(pairs)

    candidates = {
        "generate, shared": generate,
        "generate, each read whole": whole(generate),
        "generate, limit": bare,
        "score choices, shared": score,
        "score choices, each read whole": whole(score),
    }
    _check(model, prompts, pairs, options)
    spent: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(ROUNDS):
        for name, work in candidates.items():
            start = time.process_time()
            work()
            spent[name].append(time.process_time() - start)
    print(f"width {width}, vocabulary {tokens}, {threads} thread(s), {len(prompts)} prompts")
    for name, times in spent.items():
        print(f"{name:<34}{statistics.median(times):>8.3f} s {len(prompts) / statistics.median(times):>9.1f} prompts/s")
    for what in ("generate", "score choices"):
        pairs_of_times = zip(spent[f"{what}, each read whole"], spent[f"{what}, shared"], strict=True)
        print(f"{what}: {statistics.median(slow / fast for slow, fast in pairs_of_times):.2f} times as fast")
    over = zip(spent["generate, shared"], spent["generate, limit"], strict=True)
    print(f"generate: {statistics.median(ours / least for ours, least in over):.2f} times the limit")


def _check(model: LocalLanguageModel, prompts: Any, pairs: Any, options: GenerateOptions) -> None:
    """The same texts and, to 1e-5, the same log-probabilities."""
    shared, scored = model.generate(prompts, options), model.logprobs(pairs)
    with mock.patch.object(local, "batches", unshared):
        alone, alone_scored = model.generate(prompts, options), model.logprobs(pairs)
    assert [one.text for [one] in shared] == [one.text for [one] in alone]
    mine = [value for one in [*(own for [own] in shared), *scored] for value in one.logprobs]
    theirs = [value for one in [*(own for [own] in alone), *alone_scored] for value in one.logprobs]
    print(f"largest difference of log-probabilities: {max(abs(a - b) for a, b in zip(mine, theirs, strict=True)):.1e}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=8000)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    main(arguments.width, arguments.tokens, arguments.threads)
