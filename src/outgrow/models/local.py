"""Local language models: any causal language model of transformers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from outgrow.config import HERE, Local
from outgrow.errors import ConfigError, ModelError
from outgrow.labels import Completion
from outgrow.models.causal import Batch, CausalNetwork, Continuation, batches, check_number, left_pad
from outgrow.models.decoding import Draft, Hypothesis, Search, Stops, beam_search, decode, noise_for
from outgrow.models.loading import load_causal_lm, load_tokenizer
from outgrow.models.protocols import GenerateOptions, Messages, TooLong, check_options
from outgrow.models.rendering import ChatRenderer, Renderer, renderer
from outgrow.models.tokens import cut_at, decode_after, generated_spans

Pair = tuple[list[int], list[int]]
"""Tokens of a prompt and of what follows it."""
LEAST_PROMPT = 16
"""Tokens of a prompt from which computing it once for several continuations pays."""


class LocalLanguageModel:
    r"""A causal language model of transformers that continues, scores and embeds texts.

    It stays on its device and in its precision. `batch_size`, the sequences per forward pass, changes speed and memory,
    never the result; it is halved where the memory is too small. Prompts are texts, or for a model that chats messages.

    Example:
        ```python
        model = LocalLanguageModel.load("Qwen/Qwen3-0.6B")
        [[answer]] = model.generate(["Question: What is 2 + 2?\nAnswer:"], GenerateOptions(stop=("\n",)))
        ```
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str, batch_size: int = 32, local: Local = HERE) -> None:
        if batch_size < 1:
            raise ConfigError("The batch size must be at least 1.", found=batch_size)
        self.model, self.tokenizer, self.name, self.batch_size = model, tokenizer, name, batch_size
        self.notes: list[str] = []
        """What the user should know, such as a smaller batch size."""
        self.renderer = renderer(tokenizer, local.chat, local.system)
        self._network = CausalNetwork(model, name)

    @classmethod
    def load(
        cls, path: str | Path, *, name: str | None = None, batch_size: int = 32, local: Local = HERE
    ) -> LocalLanguageModel:
        """Load a model folder or hub id; `name` is by default the last part of the path."""
        model, tokenizer = load_causal_lm(str(path), local), load_tokenizer(str(path))
        return cls(model, tokenizer, name=name or Path(path).name, batch_size=batch_size, local=local)

    @property
    def chats(self) -> bool:
        """Whether prompts go through the model's chat template."""
        return isinstance(self.renderer, ChatRenderer)

    def shown(self, prompt: str | Messages) -> str:
        """Return the text that the model reads for a prompt."""
        return self.renderer.text(prompt)

    @property
    def context(self) -> int | None:
        """Context length in tokens, or None if the configuration sets no limit."""
        return self._network.context

    def generate(self, prompts: Sequence[str | Messages], options: GenerateOptions) -> list[list[Completion]]:
        """Continue every prompt; a completion also ends where the context is full.

        Log-probabilities are those of the model itself, whatever the temperature and stop strings. A token that reaches
        into a stop string keeps its log-probability, with a span clipped to the text. A prompt's samples depend on the
        seed and its own text only, not on the batch (but for ties within floating-point error).

        Returns:
            One list per prompt, in order: `options.n` samples, or the best distinct texts of a beam search by mean
            token log-probability, best first, `options.n` at most.
        """
        check_options(options)
        encoded = [(index, prompt, self._encode_prompt(prompt, index)) for index, prompt in enumerate(prompts)]
        fitting = [one for one in encoded if self._fits(len(one[2]) + 1, one[0], "prompt", options.too_long)]
        with self._network.inference():
            if options.beams > 1:
                texts = self._search([tokens for _, _, tokens in fitting], options)
            else:
                texts = self._draw([(prompt, tokens) for _, prompt, tokens in fitting], options)
        answers = {index: own for (index, *_), own in zip(fitting, texts, strict=True)}
        return [answers.get(index, []) for index in range(len(prompts))]

    def logprobs(
        self, pairs: Sequence[tuple[str | Messages, str]], *, end: bool = False, too_long: TooLong = "error"
    ) -> list[Completion]:
        """Score continuations, all tokens of one in one forward pass; a prompt that has several is computed once.

        Prompt and continuation are tokenized separately, so that the boundary between them is exact. The scores of a
        generated text equal those of its generation if the tokenizer gives the tokens that were generated. Arguments as
        in `outgrow.models.protocols.logprobs`; a result is `finished` if an end-of-sequence token was scored.
        """
        closing = self.renderer.end if end else None
        encoded = [self._encode_pair(prompt, text, index, closing) for index, (prompt, text) in enumerate(pairs)]
        lengths = [len(before) + len(tokens) for before, tokens, _ in encoded]
        what = "prompt with its continuation"
        fitting = [index for index, own in enumerate(lengths) if self._fits(own, index, what, too_long)]
        with self._network.inference():
            scored = dict(self._scores({index: encoded[index][:2] for index in fitting}))
        return [
            Completion(text, scored[index], tuple(encoded[index][2]), finished=closing is not None)
            if index in scored
            else Completion(text, (), (), finished=False)
            for index, (_, text) in enumerate(pairs)
        ]

    def fits(self, prompts: Sequence[str | Messages], new_tokens: int) -> list[bool]:
        """Return whether the context has room for each prompt and `new_tokens`."""
        if self.context is None:
            return [True] * len(prompts)
        return [len(self._encode_prompt(one, index)) + new_tokens <= self.context for index, one in enumerate(prompts)]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the mean over tokens of the last hidden states, shape (len(texts), D)."""
        plain = Renderer(self.tokenizer)
        encoded = [self._encode_prompt(text, index, plain) for index, text in enumerate(texts)]
        for index, tokens in enumerate(encoded):
            self._fits(len(tokens), index, "text", "error")
        points: dict[int, NDArray[np.float64]] = {}

        def work(batch: Batch) -> None:
            own = [encoded[index] for index in batch.members]
            points.update(zip(batch.members, self._network.mean_states(own), strict=True))

        with self._network.inference():
            self._in_batches(encoded, work)
        return np.stack([points[index] for index in range(len(texts))])

    def _draw(self, prompts: Sequence[tuple[Any, list[int]]], options: GenerateOptions) -> list[list[Completion]]:
        ends, stops, heat = self._ends, self._stops(options.stop), options.temperature
        asked = [(prompt, tokens, sample) for prompt, tokens in prompts for sample in range(options.n)]
        drafts: dict[int, Draft] = {}

        def work(batch: Batch) -> None:
            own: dict[int, Draft] = {}
            for index in batch.members:
                prompt, tokens, sample = asked[index]
                noise = noise_for(options.seed, sample, str(prompt)) if heat else None
                own[index] = Draft(tokens, self._budget(tokens, options), noise)
            decode(self._network, list(own.values()), ends=ends, stops=stops, temperature=heat, shared=batch.shared)
            drafts.update(own)

        self._in_batches([tokens for _, tokens, _ in asked], work)
        texts = [self._completion(drafts[index].prompt, drafts[index], options.stop) for index in range(len(asked))]
        return [texts[start : start + options.n] for start in range(0, len(texts), options.n)]

    def _search(self, prompts: Sequence[list[int]], options: GenerateOptions) -> list[list[Completion]]:
        ends, stops = self._ends, self._stops(options.stop)
        found: dict[int, Search] = {}

        def work(batch: Batch) -> None:
            own = {index: Search(prompts[index], self._budget(prompts[index], options)) for index in batch.members}
            searches = list(own.values())
            beam_search(self._network, searches, beams=options.beams, ends=ends, stops=stops, shared=batch.shared)
            found.update(own)

        self._in_batches(prompts, work, each=options.beams)
        answers = []
        for index in range(len(prompts)):
            distinct: dict[str, Completion] = {}
            for one in found[index].ended:
                text = self._completion(prompts[index], one, options.stop)
                distinct.setdefault(text.text, text)
            answers.append(list(distinct.values())[: options.n])
        return answers

    def _in_batches(
        self,
        sequences: Sequence[Sequence[int]],
        work: Callable[[Batch], None],
        *,
        last: Sequence[int] | None = None,
        each: int = 1,
    ) -> None:
        """Work on batches of sequences that take the memory of `each`; halves them where the memory is too small."""
        waiting = list(range(len(sequences)))
        while waiting:
            own = [sequences[index] for index in waiting]
            limits = None if last is None else [last[index] for index in waiting]
            done: set[int] = set()
            try:
                for batch in batches(own, max(1, self.batch_size // each), last=limits):
                    work(Batch(tuple(waiting[member] for member in batch.members), batch.shared))
                    done |= set(batch.members)
            except torch.OutOfMemoryError as error:
                self._halve(error)
            waiting = [index for place, index in enumerate(waiting) if place not in done]

    def _halve(self, error: Exception) -> None:
        if self.batch_size == 1:
            raise ModelError(
                f"The memory of the device is too small for one sequence of {self.name}.",
                found=str(error).splitlines()[0],
                fix="Set `device: spread`, `dtype: bfloat16` or `quantization: 4bit`, or shorten the texts.",
            ) from error
        self.batch_size //= 2
        self.notes = [f"{self.name} runs in batches of {self.batch_size}: the memory is too small for more."]
        self._network.forget()
        torch.cuda.empty_cache()

    @property
    def _ends(self) -> set[int]:
        ends = self._network.ends(self.tokenizer)
        return ends if self.renderer.end is None else ends | {self.renderer.end}

    def _scores(self, pairs: Mapping[int, Pair]) -> Iterator[tuple[int, tuple[float, ...]]]:
        """Log-probabilities of continuations; a prompt with several is computed once."""
        by_prompt: dict[tuple[int, ...], list[int]] = {}
        for index, (before, tokens) in pairs.items():
            if tokens:
                by_prompt.setdefault(tuple(before), []).append(index)
        several = {before: own for before, own in by_prompt.items() if len(own) > 1 and len(before) >= LEAST_PROMPT}
        alone = {*pairs} - {index for own in several.values() for index in own}
        found: dict[int, list[float]] = {}

        def answers(batch: Batch) -> None:
            own = [index for member in batch.members for index in list(several.values())[member]]
            for start in range(0, len(own), self.batch_size):
                piece = own[start : start + self.batch_size]
                found.update(
                    zip(piece, self._after_prompts([pairs[index] for index in piece], batch.shared), strict=True)
                )

        def whole(batch: Batch) -> None:
            own = [order[member] for member in batch.members]
            found.update(zip(own, self._whole([pairs[index] for index in own], batch.shared), strict=True))

        self._in_batches(list(several), answers, each=max(map(len, several.values()), default=1))
        order = [index for index in pairs if index in alone]
        # The logits of a continuation's first token are at the last token of its prompt.
        last = [len(pairs[index][0]) - 1 for index in order]
        self._in_batches([[*before, *tokens] for before, tokens in map(pairs.__getitem__, order)], whole, last=last)
        for index, scores in found.items():
            for value in scores:
                check_number(value, self.name)
            yield index, tuple(scores)

    def _after_prompts(self, pairs: Sequence[Pair], shared: int) -> list[list[float]]:
        # Prompts are computed first, each once, and then all continuations behind them.
        prompts = list(dict.fromkeys(tuple(before) for before, _ in pairs))
        rows = [prompts.index(tuple(before)) for before, _ in pairs]
        scores = Continuation(self._network, prompts, shared).score(rows, [tokens for _, tokens in pairs])
        return self._whole(pairs, shared) if scores is None else scores

    def _whole(self, pairs: Sequence[Pair], shared: int) -> list[list[float]]:
        # Padding is on the left, so every continuation is within the last `longest` positions; a token's logits are one
        # position before it.
        longest = max(len(tokens) for _, tokens in pairs)
        whole = [before + tokens for before, tokens in pairs]
        logprobs = self._network.logprobs(whole, keep=longest + 1, shared=shared)
        targets, _, _ = left_pad([tokens for _, tokens in pairs], logprobs.device)
        values = logprobs[:, :-1].gather(2, targets[..., None])[..., 0].tolist()
        return [row[longest - len(tokens) :] for row, (_, tokens) in zip(values, pairs, strict=True)]

    def _encode_prompt(self, prompt: str | Messages, index: int, how: Renderer | None = None) -> list[int]:
        tokens = (how or self.renderer).prompt(prompt)
        if tokens:
            return tokens
        ids = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        start = [token for token in ids if token is not None][:1]
        if not start:
            raise ModelError(
                f"Prompt {index} for {self.name} is empty.",
                found="no tokens, and a tokenizer without a beginning-of-sequence token",
                fix="Give a prompt that is not empty.",
            )
        return start

    def _encode_pair(
        self, prompt: str | Messages, text: str, index: int, end: int | None
    ) -> tuple[list[int], list[int], list[tuple[int, int]]]:
        # Tokens of the prompt, and tokens and spans of the continuation, followed by `end`.
        tokens, spans = self.renderer.answer(text)
        closing = [] if end is None else [end]
        return self._encode_prompt(prompt, index), tokens + closing, spans + [(len(text), len(text))] * len(closing)

    def _fits(self, length: int, index: int, what: str, too_long: TooLong) -> bool:
        if self.context is None or length <= self.context:
            return True
        if too_long == "empty":
            return False
        reserve = int(what == "prompt")
        raise ModelError(
            f"The {what} at index {index} is too long for {self.name}.",
            found=f"{length - reserve} tokens",
            wanted=f"at most {self.context - reserve}",
            fix="Shorten it, show fewer demonstrations, or use a model with a longer context.",
        )

    def _budget(self, prompt: Sequence[int], options: GenerateOptions) -> int:
        return min(options.max_new_tokens, (self.context or sys.maxsize) - len(prompt))

    def _stops(self, stop: tuple[str, ...]) -> Stops:
        # Search this many last tokens: each adds at least one byte. The margin covers a character that begins earlier.
        window = max((len(one.encode()) for one in stop), default=0) + 8

        def stops(tokens: Sequence[int]) -> bool:
            if not stop:
                return False
            tail = list(tokens[-window:])
            text = self.tokenizer.decode(tail, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            return any(one in text for one in stop)

        return stops

    def _completion(self, prompt: Sequence[int], one: Draft | Hypothesis, stop: tuple[str, ...]) -> Completion:
        text = decode_after(self.tokenizer, prompt, one.tokens)
        spans = generated_spans(self.tokenizer, prompt, one.tokens, text)
        if one.finished:
            spans.append((len(text), len(text)))
        return cut_at(Completion(text, tuple(one.logprobs), tuple(spans), one.finished), stop)
