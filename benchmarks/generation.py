"""A part of `bench.py`: our decoding loops against transformers' `generate`.

A Llama with random weights. Both sides return texts with the log-probability of every token, in batches of the same
size; `generate` gets them from `compute_transition_scores`, and samples by a logits processor that draws our per-
prompt noise, so that texts are the same.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, LogitsProcessor, PreTrainedTokenizerFast

from harness import Case
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


def cases(smoke: bool) -> Iterator[Case]:
    """Our loops against transformers' `generate`; texts and log-probabilities must be the same."""
    torch.set_grad_enabled(False)
    width, layers, tokens = (64, 2, 200) if smoke else (512, 8, 8000)
    random = torch.Generator().manual_seed(0)

    def words(count: int, highest: int) -> str:
        return " ".join(map(str, torch.randint(3, highest, (count,), generator=random).tolist()))

    def prompts(highest: int, before: str = "") -> list[str]:
        return [f"{before} {words(8 + index % 17, highest)}".strip() for index in range(4 if smoke else PROMPTS)]

    model, ending = model_of(width, tokens, layers=layers), model_of(width, 40, layers=layers, ends=[0, 1, 2])
    length, first = (4, 20) if smoke else (LENGTH, SHOWN)
    greedy, samples, beams = (
        GenerateOptions(length),
        GenerateOptions(length, temperature=1.0, n=4),
        GenerateOptions(length, beams=4, n=4),
    )
    plain, short, shared = prompts(tokens), prompts(40), prompts(tokens, words(first, tokens))
    found: list[tuple[str, LocalLanguageModel, list[str], GenerateOptions, int]] = [
        ("greedy", model, plain, greedy, 0),
        ("greedy, 160 shared tokens", model, shared, greedy, first),
        ("4 samples", model, plain, samples, 0),
        ("4 samples, texts that end", ending, short, samples, 0),
        ("4 beams", model, plain, beams, 0),
        ("4 beams, texts that end", ending, short, beams, 0),
        ("4 beams, 160 shared tokens", model, shared, beams, first),
    ]
    for name, own, asked, options, prefix in found:
        ours = partial(our_texts, own, asked, options)
        noise = bool(options.temperature)
        ways = {"generate": partial(transformers_texts, own, asked, options, noise=noise)}
        if prefix:
            ways["generate, prefix given"] = partial(transformers_texts, own, asked, options, shared=prefix)
        for against, theirs in ways.items():
            yield Case(name, ours, against, theirs, check=partial(agree, ours, theirs))
    for count in (16, 48, 160):
        pairs = [(prompt, f" {words(6, tokens)}") for prompt in [words(count, tokens) for _ in plain] for _ in range(4)]
        once, apart = partial(scores, model, [pairs]), partial(scores, model, [pairs[each::4] for each in range(4)])
        alike = np.reshape(apart(), (4, -1, 6)).swapaxes(0, 1).reshape(-1, 6)
        check = partial(np.testing.assert_allclose, once(), alike, atol=1e-3)
        yield Case(f"4 texts behind {count} tokens scored", once, "the prompt read with each", apart, check=check)
    torch.set_grad_enabled(True)


def scores(model: LocalLanguageModel, groups: Sequence[Sequence[tuple[str, str]]]) -> list[tuple[float, ...]]:
    """Log-probabilities of the tokens of every continuation, a group after the other."""
    return [one.logprobs for pairs in groups for one in model.logprobs(pairs)]


def agree(ours: Callable[[], Texts], theirs: Callable[[], Texts]) -> None:
    """Nine texts in ten are equal (ties may break otherwise), with the same log-probabilities."""
    pairs = [pair for own, their in zip(ours(), theirs(), strict=True) for pair in zip(own, their, strict=True)]
    equal = [(mine[1], yours[1]) for mine, yours in pairs if mine[0].split() == yours[0].split()]
    assert len(equal) >= 0.9 * len(pairs), f"{len(equal)} of {len(pairs)} texts are equal"
    assert max((abs(a - b) for mine, yours in equal for a, b in zip(mine, yours, strict=True)), default=0.0) < 1e-3
