"""Language models that run here: any transformers causal language model behind the `LanguageModel` seam.

Generation is a decoding loop of its own: it records the model's log-probability of every token it takes, and draws each
sample from noise that belongs to its prompt, so that neither batch size nor neighbours change a text.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from outgrow.errors import ConfigError, ModelError
from outgrow.labels import Completion
from outgrow.models.loading import context_length, load_causal_lm, load_tokenizer
from outgrow.models.protocols import GenerateOptions
from outgrow.models.tokens import contiguous_spans, cut, decode_after, spans_by_decoding


@dataclass
class _Draft:
    """One completion in the making."""

    order: int
    """Its place in the list that is given back."""
    prompt: list[int]
    """Tokens of the prompt."""
    budget: int
    """How many more tokens it may have."""
    noise: torch.Generator | None
    """Where its sampling noise comes from; None decodes greedily."""
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finished: bool = False
    done: bool = False


class LocalLanguageModel:
    r"""A transformers causal language model that continues and scores text.

    Works with any tokenizer, whether or not it has a padding token: prompts are padded on the left with an arbitrary
    token, and attention mask and positions say what is padding.

    Args:
        model: A transformers causal language model; it stays on its device and in its precision.
        tokenizer: Its tokenizer.
        name: A short name for tables and records.
        batch_size: Sequences in one forward pass. Changes speed and memory, never the result.

    Example:
        ```python
        model = LocalLanguageModel.load("Qwen/Qwen3-0.6B")
        [[answer]] = model.generate(["Question: What is 2 + 2?\nAnswer:"], GenerateOptions(stop=("\n",)))
        ```
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str, batch_size: int = 32) -> None:
        if batch_size < 1:
            raise ConfigError("The batch size must be at least 1.", found=batch_size)
        self.model = model
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self._name = name
        parameters = inspect.signature(model.forward).parameters
        takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
        self._selects_logits = "logits_to_keep" in parameters or takes_any

    @classmethod
    def load(cls, path: str | Path, *, name: str | None = None, batch_size: int = 32) -> LocalLanguageModel:
        """Loads a model folder or hub id, weights in fp32.

        Args:
            path: A folder or a hub id.
            name: A short name; by default the last part of the path.
            batch_size: Sequences in one forward pass.

        Raises:
            ModelError: The model or its tokenizer cannot be loaded.
        """
        model, tokenizer = load_causal_lm(str(path)), load_tokenizer(str(path))
        return cls(model, tokenizer, name=name or Path(path).name, batch_size=batch_size)

    @property
    def name(self) -> str:
        """A short name for tables and records."""
        return self._name

    @property
    def context(self) -> int | None:
        """Longest sequence in tokens that the model takes, or None if its configuration sets no limit."""
        return context_length(self.model)

    def generate(self, prompts: Sequence[str], options: GenerateOptions) -> list[list[Completion]]:
        """Continues every prompt.

        Log-probabilities are those of the model itself: neither temperature nor stop strings change them. A token that
        reaches into a stop string keeps its log-probability, and a span clipped to the text. A prompt's samples depend
        on the seed and on its own text only: among other prompts it is answered the same (but for ties within
        floating-point error), and given twice it gets the same answers twice.

        Args:
            prompts: Texts to continue; special tokens that the tokenizer begins texts with are added.
            options: How to continue. A completion also ends where the model's context is full.

        Returns:
            One list of `options.n` completions per prompt, in order.

        Raises:
            ConfigError: The options contradict each other.
            ModelError: A prompt leaves no room for a new token, or the model gives no numbers.
        """
        _check_options(options)
        drafts = self._drafts(prompts, options)
        by_length = sorted(drafts, key=lambda draft: len(draft.prompt))
        with _inference(self.model):
            for batch in _batches(by_length, self.batch_size):
                self._decode(batch, options)
        completions = [self._completion(draft, options.stop) for draft in drafts]
        return [completions[start : start + options.n] for start in range(0, len(completions), options.n)]

    def logprobs(self, pairs: Sequence[tuple[str, str]]) -> list[Completion]:
        """Scores each given continuation of a prompt, all its tokens in one forward pass.

        Prompt and continuation are tokenised separately, so that the boundary between them is exact. A completion's own
        log-probabilities come back wherever its text is tokenised into the tokens that were generated.

        Args:
            pairs: `(prompt, continuation)`.

        Returns:
            The continuations in order, each with the log-probabilities and spans of its tokens; `finished` is False, as
            no end-of-sequence token is scored.

        Raises:
            ModelError: A pair is longer than the model's context, or the model gives no numbers.
        """
        encoded = []
        for index, (prompt, continuation) in enumerate(pairs):
            tokens, spans = self._encode_continuation(continuation)
            before = self._encode_prompt(prompt, index)
            self._check_length(len(before) + len(tokens), index, "prompt with its continuation", reserve=0)
            encoded.append((before, tokens, spans))
        order = sorted(range(len(pairs)), key=lambda index: len(encoded[index][0]) + len(encoded[index][1]))
        scored: dict[int, tuple[float, ...]] = {}
        with _inference(self.model):
            for batch in _batches(order, self.batch_size):
                scores = self._score([encoded[index][:2] for index in batch])
                scored |= dict(zip(batch, scores, strict=True))
        return [
            Completion(continuation, scored[index], tuple(encoded[index][2]), finished=False)
            for index, (_, continuation) in enumerate(pairs)
        ]

    def _drafts(self, prompts: Sequence[str], options: GenerateOptions) -> list[_Draft]:
        drafts: list[_Draft] = []
        for index, prompt in enumerate(prompts):
            tokens = self._encode_prompt(prompt, index)
            self._check_length(len(tokens), index, "prompt", reserve=1)
            room = options.max_new_tokens if self.context is None else self.context - len(tokens)
            budget = min(options.max_new_tokens, room)
            for sample in range(options.n):
                noise = _generator(options.seed, sample, prompt) if options.temperature else None
                drafts.append(_Draft(len(drafts), tokens, budget, noise))
        return drafts

    def _decode(self, batch: list[_Draft], options: GenerateOptions) -> None:
        """Extends all drafts of a batch, token by token, until each is done."""
        device = self.model.device
        ids, mask, positions = _left_pad([draft.prompt for draft in batch], device)
        cache, ends, window = None, self._end_tokens(), _stop_window(options.stop)
        last_position = (self.context or sys.maxsize) - 1
        while True:
            output = self._forward(ids, mask, positions, keep=1, past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            logprobs = output.logits[:, -1].float().log_softmax(-1)
            taken = _choose(logprobs, [draft.noise for draft in batch], options.temperature)
            values = logprobs.gather(1, taken[:, None])[:, 0].tolist()
            for draft, token, value in zip(batch, taken.tolist(), values, strict=True):
                if draft.done:
                    continue
                _check_number(value, self.name)
                draft.logprobs.append(value)
                draft.finished = token in ends
                if not draft.finished:
                    draft.tokens.append(token)
                full = len(draft.tokens) == draft.budget
                draft.done = draft.finished or full or self._stopped(draft.tokens[-window:], options.stop)
            if all(draft.done for draft in batch):
                return
            # Drafts that are done run along with the others, but not out of the model's table of positions.
            ids, positions = taken[:, None], (positions[:, -1:] + 1).clamp_max(last_position)
            mask = torch.cat([mask, mask.new_ones(len(batch), 1)], dim=1)

    def _score(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[tuple[float, ...]]:
        """Log-probabilities of the second token list of each pair after the first."""
        ids, mask, positions = _left_pad([before + tokens for before, tokens in pairs], self.model.device)
        # Padding is on the left, so every continuation lies within the last `longest` positions; the logits of a token
        # stand one position before it.
        longest = max(len(tokens) for _, tokens in pairs)
        output = self._forward(ids, mask, positions, keep=longest + 1, use_cache=False)
        logprobs = output.logits[:, -longest - 1 : -1].float().log_softmax(-1)
        targets = ids[:, ids.shape[1] - longest :]
        values = logprobs.gather(2, targets[..., None])[..., 0].tolist()
        scores = [tuple(row[longest - len(tokens) :]) for row, (_, tokens) in zip(values, pairs, strict=True)]
        for value in (value for row in scores for value in row):
            _check_number(value, self.name)
        return scores

    def _forward(self, ids: Tensor, mask: Tensor, positions: Tensor, *, keep: int, **options: Any) -> Any:
        if self._selects_logits:  # a prompt's logits at vocabulary size can be larger than the model
            options["logits_to_keep"] = keep
        return self.model(input_ids=ids, attention_mask=mask, position_ids=positions, **options)

    def _encode_prompt(self, prompt: str, index: int) -> list[int]:
        tokens: list[int] = self.tokenizer(prompt)["input_ids"]
        if tokens:
            return tokens
        start = self.tokenizer.bos_token_id
        start = self.tokenizer.eos_token_id if start is None else start
        if start is None:
            raise ModelError(
                f"Prompt {index} for {self.name} is empty.",
                found="no tokens, and a tokenizer without a token to begin a text with",
                fix="Give a prompt that is not empty.",
            )
        return [start]

    def _encode_continuation(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        if not self.tokenizer.is_fast:
            tokens: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
            return tokens, spans_by_decoding(self.tokenizer, [], tokens, text)
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return encoded["input_ids"], contiguous_spans(encoded["offset_mapping"], len(text))

    def _check_length(self, length: int, index: int, what: str, *, reserve: int) -> None:
        if self.context is not None and length + reserve > self.context:
            raise ModelError(
                f"The {what} at index {index} is too long for {self.name}.",
                found=f"{length} tokens",
                wanted=f"at most {self.context - reserve}",
                fix="Shorten it, show fewer demonstrations, or use a model with a longer context.",
            )

    def _end_tokens(self) -> set[int]:
        configured = getattr(self.model, "generation_config", None)
        ends = getattr(configured, "eos_token_id", None)
        several = ends if isinstance(ends, list) else [ends]
        return {token for token in (*several, self.tokenizer.eos_token_id) if token is not None}

    def _stopped(self, tail: list[int], stop: tuple[str, ...]) -> bool:
        if not stop:
            return False
        text = self.tokenizer.decode(tail, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return any(one in text for one in stop)

    def _completion(self, draft: _Draft, stop: tuple[str, ...]) -> Completion:
        text = decode_after(self.tokenizer, draft.prompt, draft.tokens)
        spans = spans_by_decoding(self.tokenizer, draft.prompt, draft.tokens, text)
        if draft.finished:
            spans.append((len(text), len(text)))
        whole = Completion(text, tuple(draft.logprobs), tuple(spans), draft.finished)
        found = [place for place in (text.find(one) for one in stop) if place >= 0]
        return cut(whole, min(found)) if found else whole


def _check_options(options: GenerateOptions) -> None:
    if options.max_new_tokens < 1 or options.n < 1 or options.temperature < 0:
        raise ConfigError(
            "Generation cannot run with these options.",
            found=f"max_new_tokens={options.max_new_tokens}, n={options.n}, temperature={options.temperature}",
            wanted="max_new_tokens and n of at least 1, temperature of at least 0",
        )
    if options.n > 1 and not options.temperature:
        raise ConfigError(
            f"Greedy decoding gives one text per prompt, not {options.n}.", fix="Set a temperature above 0, or n to 1."
        )
    if "" in options.stop:
        raise ConfigError("A stop string is empty.", found=options.stop, fix="Leave it out.")


def _choose(logprobs: Tensor, noise: Sequence[torch.Generator | None], temperature: float) -> Tensor:
    """The most probable token of each row, or one drawn at this temperature by adding Gumbel noise."""
    if not temperature:
        return logprobs.argmax(-1)
    # Drawn on the CPU in double precision: the same on every device, and the logarithms stay finite.
    uniform = torch.stack(
        [torch.rand(logprobs.shape[-1], generator=generator, dtype=torch.float64) for generator in noise]
    )
    gumbel = -(-uniform.clamp_min(torch.finfo(torch.float64).tiny).log()).log()
    return (logprobs.double() / temperature + gumbel.to(logprobs.device)).argmax(-1)


def _generator(seed: int, sample: int, prompt: str) -> torch.Generator:
    digest = hashlib.blake2b(f"{seed} {sample} {prompt}".encode(errors="surrogatepass"), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big", signed=True))


def _left_pad(sequences: Sequence[list[int]], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids, attention mask and positions, each of shape (len(sequences), longest)."""
    longest = max(len(tokens) for tokens in sequences)
    ids = torch.tensor([[0] * (longest - len(tokens)) + tokens for tokens in sequences], device=device)
    mask = torch.tensor([[0] * (longest - len(tokens)) + [1] * len(tokens) for tokens in sequences], device=device)
    return ids, mask, (mask.cumsum(1) - 1).clamp_min(0)


def _stop_window(stop: tuple[str, ...]) -> int:
    """How many last tokens to look for a stop string in: each token adds at least one byte.

    The margin covers a character that began before the window.
    """
    return max((len(one.encode()) for one in stop), default=0) + 8


def _check_number(value: float, name: str) -> None:
    if value != value:
        raise ModelError(
            f"{name} gives NaN instead of log-probabilities.",
            fix="Its weights are damaged or its training diverged: load or train it again.",
        )


def _batches(items: Sequence[Any], size: int) -> Iterator[Any]:
    return (items[start : start + size] for start in range(0, len(items), size))


@contextmanager
def _inference(model: Any) -> Iterator[None]:
    """No gradients and no dropout; the model's mode is restored, as it may be in the middle of its training."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)
