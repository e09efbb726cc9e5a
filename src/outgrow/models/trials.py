"""How fast a model is here: some of its work is done and timed."""

from __future__ import annotations

import math
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from outgrow.models.arithmetic import ModelShape, padded, spread

if TYPE_CHECKING:
    from outgrow.models.local import LocalLanguageModel

TRIAL_SECONDS = 2.0
"""Length of a measurement."""
_STEPS = 8
"""Decoding steps that are measured."""


class Writing(NamedTuple):
    """Speed of a model that writes."""

    reading: float
    """FLOP/s of prompts."""
    step: float
    """Seconds of a decoding step, however many texts."""
    text: float
    """Seconds more for each text."""


class Trial(NamedTuple):
    """Speed of the work of a stage."""

    before: float
    """Seconds before its first unit."""
    units: float
    """Seconds of all units."""
    doubt: float
    """Share by which the second may be wrong: two standard errors of what was measured."""


class Enough(BaseException):
    """Ends work that was begun to be measured; no `Exception`, because nothing on the way may catch it."""


class Stopwatch:
    """A step of progress that ends the work after some seconds, and knows when each unit was done."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.times = total, [0], [time.perf_counter()]

    def advance(self, amount: int = 1) -> None:
        """Add what is done. The first unit warms up; of the others at least two are waited for.

        Raises:
            Enough: The time is over, and the work is not.
        """
        self.done.append(self.done[-1] + amount)
        self.times.append(time.perf_counter())
        if len(self.times) > 3 and self.times[-1] - self.times[1] > TRIAL_SECONDS and self.done[-1] < self.total:
            raise Enough


def begin(make: Callable[[Path], object], watch: Callable[[], Stopwatch | None], apart: Callable[[], float]) -> Trial:
    """Begin the work of a stage in a folder of its own, and return how fast it is.

    Args:
        make: The work; its progress goes to a `Stopwatch`.
        watch: Returns that, if the work came so far.
        apart: Returns the seconds spent so far on what does not belong to it.
    """
    folder, start, others = Path(tempfile.mkdtemp(prefix="outgrow-")), time.perf_counter(), apart()
    try:
        make(folder)
        return Trial(time.perf_counter() - start - (apart() - others), 0.0, 0.0)
    except Enough:
        found = watch()
        assert found is not None
        pace = [late - early for early, late in zip(found.times[1:], found.times[2:], strict=False)]
        units = [late - early for early, late in zip(found.done[1:], found.done[2:], strict=False)]
        mean = sum(pace) / sum(units)
        each = [seconds / count for seconds, count in zip(pace, units, strict=True)]
        before = found.times[1] - start - mean * found.done[1] - (apart() - others)
        doubt = 2 * statistics.stdev(each) / math.sqrt(len(each)) / mean
        return Trial(max(before, 0.0), mean * found.total, doubt)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def reading_speed(read: Callable[[Sequence[str]], object], texts: Sequence[str], batch: int) -> tuple[float, list[str]]:
    """Return the seconds of reading some texts of middling length, two batches of them, and these texts."""
    by_size = sorted(texts, key=len)
    some = by_size[max(0, len(by_size) // 2 - batch) :][: 2 * batch]
    read(some[:batch])  # warms up
    rounds, start = 0, time.perf_counter()
    while not rounds or time.perf_counter() - start < TRIAL_SECONDS:
        read(some)
        rounds += 1
    return (time.perf_counter() - start) / rounds, some


def writing_speed(
    model: LocalLanguageModel, shape: ModelShape, prompts: Sequence[Sequence[int]], *, stop: bool
) -> Writing:
    """Return how fast a language model reads and continues prompts; with `stop`, it looks for stop strings."""
    from outgrow.models.causal import CausalNetwork
    from outgrow.models.decoding import Draft, decode

    network, size = CausalNetwork(model.model, model.name), model.batch_size

    def stops(tokens: Sequence[int]) -> bool:
        return stop and "\0\0" in model.tokenizer.decode(list(tokens[-16:]), skip_special_tokens=True)

    def seconds(texts: Sequence[Sequence[int]], budget: int) -> float:
        start = time.perf_counter()
        with network.inference():
            drafts = [Draft(list(tokens), budget) for tokens in texts]
            decode(network, drafts, ends=set(), stops=stops, temperature=0.0)
        return time.perf_counter() - start

    by_size = sorted(spread(prompts, 256), key=len)
    seconds(by_size[:1], 2)  # warms up
    # Equal prompts are read once.
    alone, together = (
        (seconds(by_size[:1] * count, _STEPS + 1) - seconds(by_size[:1] * count, 1)) / _STEPS for count in (1, size)
    )
    text = max(together - alone, 0.0) / max(size - 1, 1)

    def middle(count: int) -> list[Sequence[int]]:
        return by_size[max(0, (len(by_size) - count) // 2) :][:count]

    some = middle(min(4, size))
    reading = seconds(some, 1)
    if reading * size / len(some) < TRIAL_SECONDS:
        some = middle(size)
        reading = seconds(some, 1)
    different = [len(one) for one in {tuple(one) for one in some}]
    flops = shape.flops(padded(different, len(different)), context=max(different) / 2)
    return Writing(flops / reading, max(alone - text, 0.0), text)
