"""A stand-in for a language model that runs here, in the dry run of an estimate."""

from __future__ import annotations

import math
import statistics
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outgrow.labels import Completion
from outgrow.models.arithmetic import ModelShape, shape_of, spread, tokenizer_of
from outgrow.models.loading import device_of, short_name
from outgrow.models.planning import DOUBT, SAMPLE, Plan, PlannedStage, Seconds, bits_of, mean_context
from outgrow.models.protocols import GenerateOptions, Messages, TooLong
from outgrow.models.rendering import renderer
from outgrow.models.server.dry_run import made_up
from outgrow.models.specs import LocalModel
from outgrow.models.trials import Writing, writing_speed
from outgrow.store import content_hash

_ANSWERS, _LONGEST = 4, 64
"""Answers that are sampled for their length, and the most tokens of each."""


@dataclass(frozen=True)
class PlannedModel:
    """Stands for a language model that runs here: plans what it is asked, and answers as the real one does."""

    plan: Plan
    """Where the work is entered."""
    spec: LocalModel
    """The model."""
    kind: str
    """Kind of the artefact."""

    @property
    def name(self) -> str:
        """A name for records."""
        return self.spec.name

    @property
    def chats(self) -> bool:
        """Whether it takes messages."""
        return self.spec.chats

    def generate(self, prompts: Sequence[str | Messages], options: GenerateOptions) -> list[list[Completion]]:
        """Return the real model's answers to some of the prompts for all of them; or, unless measured, made-up ones."""
        if not prompts:
            return []
        with self.plan.apart():
            encoded = [self._speech.prompt(one) for one in prompts[:SAMPLE]]
            pool, lengths = self._answers(prompts, encoded, options)
            self._enter(encoded, len(prompts), options, lengths)
        some = GenerateOptions(max(1, options.max_new_tokens // 2))

        def answer(key: str) -> Completion:  # another one for each key, so that equal labels are not the rule
            return pool[zlib.crc32(key.encode(errors="surrogatepass")) % len(pool)] if pool else made_up(key, some)

        own = f"{self.name}/{options.seed}"
        return [[answer(f"{own}/{sample}/{one}") for sample in range(options.n)] for one in prompts]

    def logprobs(
        self, pairs: Sequence[tuple[str, str]], *, end: bool = False, too_long: TooLong = "error"
    ) -> list[Completion]:
        """Return the texts as one token each, all with the same log-probability."""
        if pairs:
            with self.plan.apart():
                some = [self._speech.prompt(one) + self._speech.answer(text)[0] for one, text in pairs[:SAMPLE]]
                self._enter(some, len(pairs), GenerateOptions(), [0])
        return [Completion(text, (-1.0,), ((0, len(text)),), finished=False) for _, text in pairs]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the same direction for all texts, shape (len(texts), 1)."""
        self.logprobs([(one, "") for one in texts])
        return np.ones((len(texts), 1))

    @property
    def _speech(self) -> Any:
        return renderer(tokenizer_of(self.plan.base(self.spec.model)), self.spec.local.chat, self.spec.local.system)

    def _answers(
        self, prompts: Sequence[str | Messages], encoded: Sequence[Sequence[int]], options: GenerateOptions
    ) -> tuple[list[Completion], list[int]]:
        """Texts to answer with, and numbers of tokens of an answer."""
        most, training = options.max_new_tokens, self.plan.training(self.spec.model)
        if training is not None:
            texts = spread(training.answers, SAMPLE)
            lengths = [min(most, len(self._speech.answer(one)[0]) + 1) for one in texts]
            return [Completion(one, (), (), finished=True) for one in texts], lengths or [most]
        if self.plan.speed is not None:
            return [], [max(1, most // 2)]
        short = GenerateOptions(**{**vars(options), "max_new_tokens": min(most, _LONGEST), "seed": 0})
        size = round(3 * math.log2(1 + statistics.mean(map(len, encoded))))
        key = ("answers", self.plan.base(self.spec.model), self.spec.local, content_hash(short.to_json()), size)
        some = spread(prompts, _ANSWERS)
        pool = self.plan.once(
            key, lambda: [one for own in self.plan.open(self.spec)[0].generate(some, short) for one in own]
        )
        return pool, [min(most, len(one.logprobs) or most) for one in pool] or [most]

    def _speed(self, shape: ModelShape, encoded: Sequence[Sequence[int]], stop: bool) -> tuple[Writing, float]:
        """How fast it writes, and seconds of loading."""
        if self.plan.speed is not None:
            return self.plan.speed.writing(shape, bits=bits_of(self.spec.local)), 0.0
        key = ("writing", self.plan.base(self.spec.model), self.spec.local, self.spec.batch_size, stop)

        def measured() -> tuple[Writing, float]:
            opened, loading = self.plan.open(self.spec)
            return writing_speed(opened, shape, encoded, stop=stop), loading

        found: tuple[Writing, float] = self.plan.once(key, measured)
        return found

    def _enter(
        self, encoded: Sequence[Sequence[int]], total: int, options: GenerateOptions, lengths: Sequence[int]
    ) -> None:
        from outgrow.models.causal import batches

        spec, model, most = self.spec, self.plan.base(self.spec.model), options.max_new_tokens
        shape, texts = shape_of(model, True), len(encoded) * max(options.n, options.beams)
        speed, loading = self._speed(shape, encoded, bool(options.stop))
        sequences = [one for one in encoded for _ in range(options.n)]
        parts = list(batches(sequences, max(1, spec.batch_size // options.beams)))
        sizes, all_ = [len(one) for one in encoded], total / len(encoded)
        context, mean = mean_context(sizes, whole=True), statistics.mean(lengths)
        reading = shape.flops(_read(parts, sequences), context=context / 2)
        flops = all_ * (reading + shape.flops(texts * mean, context=context))
        devices = self.plan.shares(total)

        def seconds(mean: float, longest: float) -> float:
            steps = len(parts) * max(longest - 1, 0) * speed.step + texts * max(mean - 1, 0) * speed.text
            return loading + all_ * (reading / speed.reading + steps) / devices

        doubt = DOUBT[self.plan.speed is None]
        likely = seconds(mean, max(lengths))
        high = seconds(most, most) if max(lengths) > 0 else likely
        found = Seconds((1 - doubt) * seconds(0.8 * mean, 0.8 * max(lengths)), likely, (1 + doubt) * high)
        bits, device = bits_of(spec.local), device_of(spec.local).type
        memory = shape.weight_bytes(bits=bits) + shape.cache_bytes(spec.batch_size * (max(sizes) + most), bits=bits)
        tokens = all_ * (sum(sizes) + texts * mean)
        self.plan.stages.append(
            PlannedStage(self.kind, short_name(model), total, tokens, flops, memory, found, device, devices)
        )


def _read(parts: Sequence[Any], sequences: Sequence[Sequence[int]]) -> int:
    """Tokens that batches read: a prefix that texts share once, and of equal texts one."""
    before: Sequence[int] = ()
    found = 0
    for part in parts:
        own = {tuple(sequences[member]) for member in part.members}
        prefix = next(iter(own))[: part.shared]
        found += part.shared * (prefix != before) + len(own) * (max(map(len, own)) - part.shared)
        before = prefix
    return found
