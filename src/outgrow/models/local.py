"""Local language models: any causal language model of transformers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import ConfigError, ModelError
from outgrow.labels import Completion
from outgrow.models.causal import CausalNetwork, batches, check_number, left_pad
from outgrow.models.decoding import Draft, Hypothesis, Search, Stops, beam_search, decode, noise_for
from outgrow.models.loading import load_causal_lm, load_tokenizer
from outgrow.models.protocols import GenerateOptions, TooLong, check_options
from outgrow.models.tokens import cut_at, decode_after, encode_answer, generated_spans


class LocalLanguageModel:
    r"""A causal language model of transformers that continues, scores and embeds texts.

    It stays on its device and in its precision. `batch_size`, the sequences per forward pass, changes speed and memory,
    never the result.

    Example:
        ```python
        model = LocalLanguageModel.load("Qwen/Qwen3-0.6B")
        [[answer]] = model.generate(["Question: What is 2 + 2?\nAnswer:"], GenerateOptions(stop=("\n",)))
        ```
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str, batch_size: int = 32) -> None:
        if batch_size < 1:
            raise ConfigError("The batch size must be at least 1.", found=batch_size)
        self.model, self.tokenizer, self.name, self.batch_size = model, tokenizer, name, batch_size
        self._network = CausalNetwork(model, name)

    @classmethod
    def load(cls, path: str | Path, *, name: str | None = None, batch_size: int = 32) -> LocalLanguageModel:
        """Load a model folder or hub id, weights in fp32; `name` is by default the last part of the path."""
        model, tokenizer = load_causal_lm(str(path)), load_tokenizer(str(path))
        return cls(model, tokenizer, name=name or Path(path).name, batch_size=batch_size)

    @property
    def context(self) -> int | None:
        """Context length in tokens, or None if the configuration sets no limit."""
        return self._network.context

    def generate(self, prompts: Sequence[str], options: GenerateOptions) -> list[list[Completion]]:
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
        self, pairs: Sequence[tuple[str, str]], *, end: bool = False, too_long: TooLong = "error"
    ) -> list[Completion]:
        """Score continuations, all tokens of one in one forward pass.

        Prompt and continuation are tokenized separately, so that the boundary between them is exact. The scores of a
        generated text equal those of its generation if the tokenizer gives the tokens that were generated. Arguments as
        in `outgrow.models.protocols.logprobs`; a result is `finished` if an end-of-sequence token was scored.
        """
        closing = self.tokenizer.eos_token_id if end else None
        encoded = [self._encode_pair(prompt, text, index, closing) for index, (prompt, text) in enumerate(pairs)]
        lengths = [len(before) + len(tokens) for before, tokens, _ in encoded]
        what = "prompt with its continuation"
        fitting = [index for index, own in enumerate(lengths) if self._fits(own, index, what, too_long)]
        scored: dict[int, tuple[float, ...]] = {}
        with self._network.inference():
            whole = [[*encoded[index][0], *encoded[index][1]] for index in fitting]
            # The logits of a continuation's first token are at the last token of its prompt.
            last = [len(encoded[index][0]) - 1 for index in fitting]
            for batch in batches(whole, self.batch_size, last=last):
                own = [fitting[member] for member in batch.members]
                scores = self._score([encoded[index][:2] for index in own], batch.shared)
                scored |= dict(zip(own, scores, strict=True))
        return [
            Completion(text, scored[index], tuple(encoded[index][2]), finished=closing is not None)
            if index in scored
            else Completion(text, (), (), finished=False)
            for index, (_, text) in enumerate(pairs)
        ]

    def fits(self, prompts: Sequence[str], new_tokens: int) -> list[bool]:
        """Return whether the context has room for each prompt and `new_tokens`."""
        if self.context is None:
            return [True] * len(prompts)
        return [len(self._encode_prompt(one, index)) + new_tokens <= self.context for index, one in enumerate(prompts)]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the mean over tokens of the last hidden states, shape (len(texts), D)."""
        encoded = [self._encode_prompt(text, index) for index, text in enumerate(texts)]
        for index, tokens in enumerate(encoded):
            self._fits(len(tokens), index, "text", "error")
        points: dict[int, NDArray[np.float64]] = {}
        by_length = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
        with self._network.inference():
            for start in range(0, len(by_length), self.batch_size):
                batch = by_length[start : start + self.batch_size]
                points |= zip(batch, self._network.mean_states([encoded[index] for index in batch]), strict=True)
        return np.stack([points[index] for index in range(len(texts))])

    def _draw(self, prompts: Sequence[tuple[str, list[int]]], options: GenerateOptions) -> list[list[Completion]]:
        ends, stops, heat = self._network.ends(self.tokenizer), self._stops(options.stop), options.temperature
        drafts = [
            Draft(tokens, self._budget(tokens, options), noise_for(options.seed, sample, prompt) if heat else None)
            for prompt, tokens in prompts
            for sample in range(options.n)
        ]
        for batch in batches([draft.prompt for draft in drafts], self.batch_size):
            own = [drafts[index] for index in batch.members]
            decode(self._network, own, ends=ends, stops=stops, temperature=heat, shared=batch.shared)
        texts = [self._completion(draft.prompt, draft, options.stop) for draft in drafts]
        return [texts[start : start + options.n] for start in range(0, len(texts), options.n)]

    def _search(self, prompts: Sequence[list[int]], options: GenerateOptions) -> list[list[Completion]]:
        ends, stops = self._network.ends(self.tokenizer), self._stops(options.stop)
        searches = [Search(tokens, self._budget(tokens, options)) for tokens in prompts]
        for batch in batches([search.prompt for search in searches], max(1, self.batch_size // options.beams)):
            own = [searches[index] for index in batch.members]
            beam_search(self._network, own, beams=options.beams, ends=ends, stops=stops, shared=batch.shared)
        answers = []
        for search in searches:
            distinct: dict[str, Completion] = {}
            for one in search.ended:
                text = self._completion(search.prompt, one, options.stop)
                distinct.setdefault(text.text, text)
            answers.append(list(distinct.values())[: options.n])
        return answers

    def _score(self, pairs: Sequence[tuple[list[int], list[int]]], shared: int) -> list[tuple[float, ...]]:
        # Padding is on the left, so every continuation is within the last `longest` positions; a token's logits are one
        # position before it.
        longest = max(len(tokens) for _, tokens in pairs)
        whole = [before + tokens for before, tokens in pairs]
        logprobs = self._network.logprobs(whole, keep=longest + 1, shared=shared)
        targets, _, _ = left_pad([tokens for _, tokens in pairs], self.model.device)
        values = logprobs[:, :-1].gather(2, targets[..., None])[..., 0].tolist()
        scores = [tuple(row[longest - len(tokens) :]) for row, (_, tokens) in zip(values, pairs, strict=True)]
        for value in (value for row in scores for value in row):
            check_number(value, self.name)
        return scores

    def _encode_prompt(self, prompt: str, index: int) -> list[int]:
        tokens: list[int] = self.tokenizer(prompt)["input_ids"]
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
        self, prompt: str, text: str, index: int, end: int | None
    ) -> tuple[list[int], list[int], list[tuple[int, int]]]:
        # Tokens of the prompt, and tokens and spans of the continuation, followed by `end`.
        tokens, spans = encode_answer(self.tokenizer, text)
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
