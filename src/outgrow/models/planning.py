"""The plan of a run: what every stage would read, write and train, and how long that takes.

Work is arithmetic (`outgrow.models.arithmetic`). Its speed is measured here (`outgrow.models.trials`), or stated
(`Speed`), and then no model is loaded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from outgrow.config import HERE, Local
from outgrow.errors import OutgrowError
from outgrow.models.arithmetic import ModelShape, Trains, context_of, lengths_of, padded, shape_of, spread
from outgrow.models.loading import device_of, dtype_of, short_name
from outgrow.models.specs import LocalModel
from outgrow.models.trials import Stopwatch, Trial, Writing, begin, reading_speed
from outgrow.store import content_hash

SAMPLE = 256
"""Texts of a stage whose tokens are counted; a shard of `outgrow.scale.generation`."""
DOUBT = {True: 0.1, False: 0.5}
"""Share by which a measured, and a stated, speed may be wrong, whatever its spread."""
_DATA = ("seed", "rows", "gold", "targets", "pairs", "prompts", "texts", "labels", "student")
"""Keys of a recipe that change what is computed, and not how fast."""


@dataclass(frozen=True)
class Speed:
    """A stated speed of the device, in place of a measured one."""

    flops: float
    """FLOP/s that reading and training reach: some .4 of the device's peak."""
    bandwidth: float
    """Bytes a second from memory: the limit of writing, token by token."""

    def writing(self, shape: ModelShape, *, bits: int = 16) -> Writing:
        """Return how fast a model writes: a step reads all weights once, and computes a token of each text."""
        return Writing(self.flops, shape.weight_bytes(bits=bits) / self.bandwidth, shape.flops(1) / self.flops)


@dataclass(frozen=True)
class Work:
    """What a model reads, or is trained on, in one stage."""

    model: str
    """A folder or hub id."""
    texts: Sequence[str]
    """Texts that are read, once in each epoch."""
    batch: int
    """Texts at once."""
    local: Local = HERE
    """Device and precision."""
    epochs: float = 1.0
    """Passes over the texts."""
    trains: Trains = "nothing"
    """What of the model trains."""
    head: bool = True
    """Whether it is a language model; otherwise a network without head."""
    answers: Sequence[str] = ()
    """What the trained model learns to write."""
    limit: int | None = None
    """Most tokens of a text; by default the model's context."""


class Seconds(NamedTuple):
    """A range of seconds."""

    low: float
    likely: float
    high: float


@dataclass(frozen=True)
class PlannedStage:
    """One call of a model, or one artefact, of a run."""

    kind: str
    """Kind of the artefact."""
    model: str = ""
    """Name of the model that works."""
    rows: int = 0
    """Texts that are read, or prompts."""
    tokens: float = 0.0
    """Tokens that are read, written and trained on, in all epochs."""
    flops: float = 0.0
    """FLOPs of all tokens."""
    memory: float = 0.0
    """Bytes of weights, keys and values, activations and optimizer."""
    seconds: Seconds | None = None
    """None if unknown: no model works, and nothing was measured."""
    device: str = "cpu"
    """Kind of device."""
    devices: int = 1
    """How many work at once."""


class _Ignored:
    def advance(self, amount: int = 1) -> None:
        pass


@dataclass
class Plan:
    """Collects the stages of a dry run with what they would take. It is also the reporter of that run."""

    speed: Speed | None = None
    """A stated speed; None measures it here."""
    devices: int = 1
    """Models of the executor, which share the rows of a stage that only reads or writes."""
    stages: list[PlannedStage] = field(default_factory=list)
    """What would be made, in order."""
    spent: float = 0.0
    """Seconds of measuring and counting, which a run does not take."""
    _trained: dict[str, Work] = field(default_factory=dict)
    _known: dict[Any, Any] = field(default_factory=dict)
    _opened: tuple[Any, Any, float] | None = None
    _watch: Stopwatch | None = None
    _trying: bool = False

    @contextmanager
    def step(self, name: str, total: int) -> Iterator[Any]:
        """See `Reporter`: ends what is being measured when that is known well enough."""
        self._watch = Stopwatch(total) if self._trying else None
        yield self._watch or _Ignored()

    def note(self, message: str) -> None:
        """See `Reporter`."""

    def stage(
        self, kind: str, recipe: Mapping[str, Any], make: Callable[[Path], object], blank: Callable[[Path], Any],
        work: Callable[[], Work] | None,
    ) -> Callable[[Path], Any]:  # fmt: skip
        """Return what stands for `make` in a dry run: it plans the stage, and calls `blank`."""

        def planned(folder: Path) -> Any:
            with self.apart():
                own = None if work is None else work()
                if make is not blank:  # else it is made
                    alike = (kind, content_hash({key: recipe[key] for key in recipe if key not in _DATA}))
                    self.stages.append(self._loaded(kind, alike, make, own) if own else self._other(kind, alike, make))
                if own is not None and own.trains != "nothing":
                    self._trained[str(folder)] = own
            return blank(folder)

        return planned

    def shares(self, rows: int) -> int:
        """Return how many models share the rows of a stage; each takes pieces of `SAMPLE` rows."""
        return max(1, min(self.devices, -(-rows // SAMPLE)))

    def base(self, model: str) -> str:
        """Return the model whose weights are there: that from which one is trained, if it would be trained."""
        work = self.training(model)
        return model if work is None else self.base(work.model)

    def training(self, model: str) -> Work | None:
        """Return the training that would make a model; None for one that is there."""
        return next((self._trained[str(one)] for one in Path(model).parents if str(one) in self._trained), None)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Count the seconds of the context as spent on measuring, once where one measurement needs another."""
        before, start = self.spent, time.perf_counter()
        yield
        self.spent = before + time.perf_counter() - start

    def once(self, key: Any, measure: Callable[[], Any]) -> Any:
        """Return what was measured for a key; None where speeds are stated."""
        if self.speed is None and key not in self._known:
            self._known[key] = measure()
        return self._known.get(key)

    def open(self, spec: LocalModel) -> tuple[Any, float]:
        """Return the loaded base of a language model, and the seconds that loading took; one is kept in memory."""
        key = (self.base(spec.model), spec.local, spec.batch_size)
        if self._opened is None or self._opened[0] != key:
            from outgrow.models.local import LocalLanguageModel

            self._opened, start = None, time.perf_counter()
            opened = LocalLanguageModel.load(key[0], batch_size=spec.batch_size, local=spec.local)
            self._opened = key, opened, time.perf_counter() - start
        return self._opened[1:]

    def _other(self, kind: str, alike: Any, make: Callable[[Path], object]) -> PlannedStage:
        trial = self.once(alike, lambda: self._try(make))
        return PlannedStage(kind, seconds=trial and _around(trial.before + trial.units, trial.doubt))

    def _loaded(self, kind: str, alike: Any, make: Callable[[Path], object], work: Work) -> PlannedStage:
        """A stage whose model `make` loads itself."""
        model = self.base(work.model)
        shape, texts = shape_of(model, work.head), spread(work.texts, SAMPLE)
        lengths, reads = lengths_of(model, texts, work.limit), work.trains == "nothing"
        all_ = work.epochs * len(work.texts) / max(len(texts), 1)
        # Texts of similar length are read together; training takes them as they come.
        tokens = all_ * padded(sorted(lengths) if reads else lengths, work.batch)
        flops = shape.flops(tokens, context=mean_context(lengths, whole=not work.head), trains=work.trains)
        seconds: Seconds | None
        devices = self.shares(len(work.texts)) if reads else 1
        if self.speed is not None:
            seconds = _around(flops / self.speed.flops / devices, 0.0, measured=False)
        elif reads:
            loading, rate = self.once((model, work.local, work.batch), lambda: self._reading(work, shape))
            seconds = _around(loading + flops / rate / devices, 0.0)
        else:
            # A training like it, or one of another model where it starts from what is not there.
            known = [one for key, one in self._known.items() if key[0] == "training" and one]
            tried = self.once(("training", *alike), lambda: (self._try(make), flops) if model == work.model else None)
            trial, its = tried or (known[0] if known else (None, 1.0))
            seconds = trial and _around(trial.before + trial.units * flops / its, trial.doubt)
        bits, at_once = bits_of(work.local), min(work.batch, len(work.texts)) * max(lengths, default=0)
        memory = shape.weight_bytes(bits=bits) + shape.cache_bytes(at_once, bits=bits)
        memory = memory if reads else shape.training_bytes(at_once, trains=work.trains, bits=bits)
        device = device_of(work.local).type
        return PlannedStage(
            kind, short_name(model), len(work.texts), all_ * sum(lengths), flops, memory, seconds, device, devices
        )

    def _try(self, make: Callable[[Path], object]) -> Trial | None:
        """Begin the work of a stage; None if it cannot begin, since what it needs is made up."""
        self._opened = None  # its memory is needed
        self._trying, self._watch = True, None
        try:
            return begin(make, lambda: self._watch, lambda: self.spent)
        except OutgrowError:
            return None
        finally:
            self._trying = False

    def _reading(self, work: Work, shape: ModelShape) -> tuple[float, float]:
        """Seconds of loading, and FLOP/s of a network without head."""
        from outgrow.models.classifier import Encoder, by_length, default_pooling, embed
        from outgrow.models.loading import load_encoder

        self._opened, start, model = None, time.perf_counter(), self.base(work.model)
        network = load_encoder(model, work.local)
        encoder, pooling = (
            Encoder.load(model, network, max_length=work.limit or context_of(model)),
            default_pooling(network),
        )
        loading = time.perf_counter() - start

        def states(**batch: Any) -> Any:
            return embed(network, batch, pooling)

        def read(texts: Sequence[str]) -> object:
            return by_length(states, network, encoder, texts, batch_size=work.batch)

        seconds, texts = reading_speed(read, spread(work.texts, SAMPLE), work.batch)
        lengths = sorted(lengths_of(model, texts, work.limit))
        flops = shape.flops(padded(lengths, work.batch), context=mean_context(lengths, whole=True))
        return loading, flops / seconds


def mean_context(lengths: Sequence[int], *, whole: bool) -> float:
    """Return the mean number of tokens that a token attends to: of its `whole` text, or of those before it."""
    mean = sum(own * own for own in lengths) / max(sum(lengths), 1)
    return mean if whole else mean / 2


def _around(seconds: float, doubt: float, *, measured: bool = True) -> Seconds:
    doubt += DOUBT[measured]
    return Seconds(seconds * max(0.0, 1 - doubt), seconds, seconds * (1 + doubt))


def bits_of(local: Local) -> int:
    """Return the bits of a weight."""
    return {"8bit": 8, "4bit": 4}.get(local.quantization or "", 8 * dtype_of(local).itemsize)
