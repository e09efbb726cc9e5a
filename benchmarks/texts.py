"""Weak texts: prompts a second in batches against one by one, and against transformers' bare `generate`.

    python benchmarks/texts.py

A Llama of 4 layers and random weights, 64 prompts of 10 to 40 tokens, 32 new tokens each. Every round runs all
candidates, one after the other; the table gives the median over the rounds of each one's processor time divided by that
of ours in batches of 32.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from outgrow.models.local import LocalLanguageModel
from outgrow.models.protocols import GenerateOptions

ROUNDS, PROMPTS, LENGTH, BATCH = 2, 64, 32, 32


def model_of(width: int, tokens: int) -> LocalLanguageModel:
    """A model with random weights, whose words are numbers."""
    vocabulary = {"<end>": 0, **{str(number): number for number in range(1, tokens)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<end>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.Fuse()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokens,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=4,
        num_attention_heads=width // 32,
        max_position_embeddings=256,
        bos_token_id=None,
        eos_token_id=None,  # all texts have the same length, whoever writes them
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    return LocalLanguageModel(LlamaForCausalLM(config).eval(), fast, name="random", batch_size=BATCH)


def bare(model: LocalLanguageModel, prompts: Sequence[str], **options: Any) -> None:
    """Transformers' own generation in batches of 32 of like length: tokens only, no log-probabilities, no texts."""
    encoded = sorted((model.tokenizer(prompt)["input_ids"] for prompt in prompts), key=len)
    size = BATCH // options.get("num_beams", 1)
    for start in range(0, len(encoded), size):
        batch = encoded[start : start + size]
        longest = max(map(len, batch))
        ids = torch.tensor([[0] * (longest - len(tokens)) + tokens for tokens in batch])
        mask = torch.tensor([[0] * (longest - len(tokens)) + [1] * len(tokens) for tokens in batch])
        model.model.generate(
            ids, attention_mask=mask, max_new_tokens=LENGTH, pad_token_id=0, do_sample=False, **options
        )


def main(width: int, tokens: int, threads: int) -> None:
    """Prints the table."""
    torch.set_num_threads(threads)
    model = model_of(width, tokens)
    single = LocalLanguageModel(model.model, model.tokenizer, name="random", batch_size=1)
    random = torch.Generator().manual_seed(0)
    prompts = [
        " ".join(map(str, torch.randint(1, tokens, (10 + index % 31,), generator=random).tolist()))
        for index in range(PROMPTS)
    ]
    greedy, beams = GenerateOptions(LENGTH), GenerateOptions(LENGTH, beams=4, n=4)
    candidates: dict[str, Callable[[], object]] = {
        "ours, batch 32": lambda: model.generate(prompts, greedy),
        "ours, one by one": lambda: single.generate(prompts, greedy),
        "bare generate, batch 32": lambda: bare(model, prompts),
        "ours, 5 samples": lambda: model.generate(prompts, GenerateOptions(LENGTH, temperature=1.0, n=5)),
        "ours, 4 beams": lambda: model.generate(prompts, beams),
        "bare generate, 4 beams": lambda: bare(model, prompts, num_beams=4, num_return_sequences=4),
    }
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(ROUNDS):
        for name, run in candidates.items():
            start = time.process_time()
            run()
            times[name].append(time.process_time() - start)
    reference = times["ours, batch 32"]
    for name, own in times.items():
        ratio = statistics.median(one / other for one, other in zip(own, reference, strict=True))
        print(f"{name:<26} {min(own):7.2f} s  {PROMPTS / min(own):7.1f} prompts/s {ratio:7.2f}×")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=8000)
    parser.add_argument("--threads", type=int, default=1)
    main(**vars(parser.parse_args()))
