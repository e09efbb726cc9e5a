"""Our decoding loops against transformers' `generate`: speed, equality, batch independence and shared prefixes.

    python benchmarks/generation.py

A Llama with random weights. Both sides return texts with the log-probability of every token, in batches of the same
size. `generate` gets the log-probabilities from `compute_transition_scores`; for sampling it runs once as it is and
once with a logits processor that draws our per-prompt noise. Every round runs all candidates, one after the other; the
table gives the median over the rounds of each one's processor time divided by ours.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, LogitsProcessor, PreTrainedTokenizerFast

from outgrow.models.decoding import choose, noise_for
from outgrow.models.local import LocalLanguageModel
from outgrow.models.protocols import GenerateOptions

PROMPTS, LENGTH, BATCH, SHOWN = 32, 24, 16, 160

Texts = list[list[tuple[str, tuple[float, ...]]]]
"""Per prompt the texts and their tokens' log-probabilities."""


def model_of(width: int, tokens: int, *, layers: int = 4, ends: Sequence[int] = ()) -> LocalLanguageModel:
    """A model with random weights, whose words are numbers; without `ends` all texts have the same length."""
    vocabulary = {"<end>": 0, **{str(number): number for number in range(1, tokens)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<end>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.Fuse()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokens,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=list(ends) or None,
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    return LocalLanguageModel(LlamaForCausalLM(config).eval(), fast, name="random", batch_size=BATCH)


class PromptNoise(LogitsProcessor):  # type: ignore[misc]
    """Leaves each row one token, drawn from the row's own noise, and records its log-probability."""

    def __init__(self, prompts: Sequence[str], options: GenerateOptions) -> None:
        self.options = options
        self.noise = [noise_for(options.seed, sample, one) for one in prompts for sample in range(options.n)]
        self.logprobs: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Log-probability 0 for the token taken, −∞ for all others."""
        logprobs = scores.float().log_softmax(-1)
        taken = choose(logprobs, self.noise, self.options.temperature)[:, None]
        self.logprobs.append(logprobs.gather(1, taken))
        return torch.full_like(scores, -torch.inf).scatter_(1, taken, 0.0)


def transformers_texts(
    model: LocalLanguageModel, prompts: Sequence[str], options: GenerateOptions, *, shared: int = 0, noise: bool = False
) -> Texts:
    """Texts and log-probabilities by `generate`, in batches of prompts of like length.

    Args:
        model: The model.
        prompts: Texts to continue.
        options: How.
        shared: Tokens at the beginning that all prompts share; `generate` gets their keys and values.
        noise: Whether samples are drawn from our per-prompt noise; otherwise from torch's global generator.
    """
    encoded = [model.renderer.prompt(prompt) for prompt in prompts]
    order = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
    found: dict[int, list[tuple[str, tuple[float, ...]]]] = {}
    size = max(1, model.batch_size // max(options.beams, options.n))
    torch.manual_seed(options.seed)
    prefix = None
    if shared:
        with torch.inference_mode():
            prefix = model.model(torch.tensor([encoded[0][:shared]]), past_key_values=DynamicCache()).past_key_values
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        longest = max(len(encoded[row]) for row in rows)
        # Padding behind the shared tokens, so that they stand first in every row.
        pads = [longest - len(encoded[row]) for row in rows]
        ids = torch.tensor(
            [encoded[row][:shared] + [0] * pad + encoded[row][shared:] for row, pad in zip(rows, pads, strict=True)]
        )
        mask = torch.ones_like(ids)
        for own, pad in zip(mask, pads, strict=True):
            own[shared : shared + pad] = 0
        extra: dict[str, Any] = {}
        if prefix is not None:
            extra["past_key_values"] = copy.deepcopy(prefix)
            extra["past_key_values"].batch_repeat_interleave(len(rows) * max(options.n, options.beams))
        chooser = PromptNoise([prompts[row] for row in rows], options) if noise else None
        output = model.model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=options.max_new_tokens,
            pad_token_id=0,
            do_sample=bool(options.temperature),
            num_beams=options.beams,
            num_return_sequences=options.n,
            return_dict_in_generate=True,
            output_scores=options.beams > 1,
            output_logits=options.beams == 1 and not noise,
            logits_processor=[chooser] if chooser else None,
            **({"temperature": 1.0 if noise else options.temperature, "top_k": 0} if options.temperature else {}),
            **extra,
        )
        sequences = output.sequences[:, longest:]
        if chooser:
            values = torch.cat(chooser.logprobs, dim=1)
        elif options.beams > 1:
            values = model.model.compute_transition_scores(output.sequences, output.scores, output.beam_indices)
        else:
            values = model.model.compute_transition_scores(output.sequences, output.logits, normalize_logits=True)
        ends = model._ends
        for place, row in enumerate(itertools.chain.from_iterable([row] * options.n for row in rows)):
            tokens = sequences[place].tolist()
            length = next((at + 1 for at, token in enumerate(tokens) if token in ends), len(tokens))
            text = model.tokenizer.decode(tokens[: length - (tokens[length - 1] in ends)])
            found.setdefault(row, []).append((text, tuple(values[place, :length].tolist())))
    return [found[row] for row in range(len(prompts))]


def our_texts(model: LocalLanguageModel, prompts: Sequence[str], options: GenerateOptions) -> Texts:
    """The same by our loops, which also return character spans."""
    return [[(one.text, one.logprobs) for one in own] for own in model.generate(prompts, options)]


def sized(model: LocalLanguageModel, batch: int) -> LocalLanguageModel:
    """The model with another batch size."""
    return LocalLanguageModel(model.model, model.tokenizer, name="random", batch_size=batch)


def compare(one: Texts, other: Texts) -> str:
    """The share of equal texts, and the largest difference between their log-probabilities."""
    pairs = [pair for own, their in zip(one, other, strict=True) for pair in zip(own, their, strict=True)]
    equal = [(mine[1], yours[1]) for mine, yours in pairs if mine[0].split() == yours[0].split()]
    apart = max((abs(a - b) for mine, yours in equal for a, b in zip(mine, yours, strict=True)), default=0.0)
    return f"{len(equal) / len(pairs):4.0%} equal, {apart:.0e}"


def main(width: int, layers: int, tokens: int, threads: int, rounds: int) -> None:
    """Prints the table."""
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    random = torch.Generator().manual_seed(0)

    def words(count: int, highest: int) -> str:
        return " ".join(map(str, torch.randint(3, highest, (count,), generator=random).tolist()))

    def prompts(highest: int, before: str = "") -> list[str]:
        return [f"{before} {words(8 + index % 17, highest)}".strip() for index in range(PROMPTS)]

    model = model_of(width, tokens, layers=layers)
    ending = model_of(width, 40, layers=layers, ends=[0, 1, 2])
    greedy, samples, beams = (
        GenerateOptions(LENGTH),
        GenerateOptions(LENGTH, temperature=1.0, n=4),
        GenerateOptions(LENGTH, beams=4, n=4),
    )
    plain, short, shared = prompts(tokens), prompts(40), prompts(tokens, words(SHOWN, tokens))
    cases: list[tuple[str, LocalLanguageModel, list[str], GenerateOptions, int]] = [
        ("greedy", model, plain, greedy, 0),
        ("greedy, 160 shared tokens", model, shared, greedy, SHOWN),
        ("4 samples", model, plain, samples, 0),
        ("4 samples, texts that end", ending, short, samples, 0),
        ("4 beams", model, plain, beams, 0),
        ("4 beams, texts that end", ending, short, beams, 0),
        ("4 beams, 160 shared tokens", model, shared, beams, SHOWN),
    ]
    print(f"{'':<28}{'time':>8}  texts and log-probabilities against ours   against batches of 5")
    for name, own, asked, options, prefix in cases:
        candidates: dict[str, Callable[[LocalLanguageModel], Texts]] = {
            "ours": lambda which, asked=asked, options=options: our_texts(which, asked, options),  # type: ignore[misc]
            "generate": lambda which, asked=asked, options=options: transformers_texts(which, asked, options),  # type: ignore[misc]
        }
        if prefix:
            candidates["generate, prefix given"] = lambda which, asked=asked, options=options, prefix=prefix: (
                transformers_texts(  # type: ignore[misc]
                    which, asked, options, shared=prefix
                )
            )
        if options.temperature:
            candidates["generate, our noise"] = lambda which, asked=asked, options=options: transformers_texts(  # type: ignore[misc]
                which, asked, options, noise=True
            )
        texts = {who: run(own) for who, run in candidates.items()}
        times: dict[str, list[float]] = {who: [] for who in candidates}
        for _ in range(rounds):
            for who, run in candidates.items():
                start = time.process_time()
                run(own)
                times[who].append(time.process_time() - start)
        print(name)
        for who, run in candidates.items():
            ratio = statistics.median(one / other for one, other in zip(times[who], times["ours"], strict=True))
            again = compare(texts[who], run(sized(own, 5)))
            print(f"  {who:<26}{ratio:>7.2f}×  {compare(texts['ours'], texts[who]):<42} {again}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=8000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    main(**vars(parser.parse_args()))
