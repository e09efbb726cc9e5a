"""A language model that writes its answers to disk in shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from outgrow.files import read_table, write_table
from outgrow.labels import Completion, TextLabels
from outgrow.models.protocols import (
    GenerateOptions,
    LanguageModel,
    Messages,
    TooLong,
    embed,
    fits,
    logprobs,
    shown,
)
from outgrow.progress import Reporter
from outgrow.scale.executor import Apply, Piece, R
from outgrow.scale.local import map_shards
from outgrow.store import Artefact, content_hash

_Said = tuple[pa.Table, dict[str | Messages, str]]
"""Answers of a model, and the prompts that it declined."""

_CALL = "call-"
SHARD_ROWS = 256
"""Prompts per shard: the most that a killed run generates again."""


def said(
    model: LanguageModel, prompts: Sequence[str | Messages], answers: Sequence[Sequence[Completion]]
) -> TextLabels:
    """Return answers as labels whose ids are the prompts, word for word as the model reads them."""
    asked = tuple(shown(model, prompt) for prompt in prompts)
    return TextLabels(asked, (model.name,), tuple((tuple(row),) for row in answers))


def keep_said(folder: Path, labels: TextLabels) -> None:
    """Keep what a server was asked and answered in the folder of an artefact, where `conversations` finds it."""
    call = folder / f"{_CALL}server"
    call.mkdir(exist_ok=True)
    write_table(call / "part-00000.parquet", labels.to_arrow())


def conversations(artefacts: Iterable[Artefact]) -> pa.Table:
    """Return what language models were asked and answered for artefacts, word for word.

    Returns:
        A line for each prompt: `artefact` (kind and key), `model`, `asked` (what it read) and `answers`.
    """
    columns: dict[str, list[Any]] = {"artefact": [], "model": [], "asked": [], "answers": []}
    for one in artefacts:
        for path in sorted(one.path.glob(f"{_CALL}*/part-*.parquet")):
            labels = TextLabels.from_arrow(read_table(path))
            columns["artefact"] += [f"{one.kind}/{one.key}"] * len(labels.ids)
            columns["model"] += labels.supervisors * len(labels.ids)
            columns["asked"] += labels.ids
            columns["answers"] += [[each.text for each in row[0]] for row in labels.texts]
    text = pa.string()
    return pa.table(
        columns, pa.schema([("artefact", text), ("model", text), ("asked", text), ("answers", pa.list_(text))])
    )


@dataclass(frozen=True)
class ShardedLanguageModel:
    """A language model that keeps every finished shard of its answers in a folder, wherever it runs.

    Every call has a subfolder, named by the hash of prompts and options; the folder must belong to one model.
    """

    name: str
    """The name of the model that answers."""
    chats: bool
    """Whether it takes messages."""
    apply: Apply
    """Applies functions of the loaded model; see `Executor.open`."""
    folder: Path
    """Folder of the shards."""
    reporter: Reporter
    """Receives every finished prompt."""
    step: str
    """Name of the step in progress reports."""
    refusals: dict[str | Messages, str] = field(default_factory=dict)
    """Prompts that the model declined, and why."""

    def generate(self, prompts: Sequence[str | Messages], options: GenerateOptions) -> list[list[Completion]]:
        """Continue every prompt, shard by shard."""
        return self._kept(partial(_generated, options), prompts, options.to_json())

    def logprobs(
        self, pairs: Sequence[tuple[str | Messages, str]], *, end: bool = False, too_long: TooLong = "error"
    ) -> list[Completion]:
        """Score `(prompt, continuation)` pairs, shard by shard."""
        asked = {"end": end, "too_long": too_long}
        return [one for [one] in self._kept(partial(_scored, asked), pairs, asked)]

    def fits(self, prompts: Sequence[str | Messages], new_tokens: int) -> list[bool]:
        """Return whether the context has room for each prompt and `new_tokens`; not kept."""
        return [one for piece in self._pieces(partial(_fitting, new_tokens), prompts) for one in piece]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Embed texts; not kept."""
        return np.concatenate(self._pieces(embed, texts))

    def _pieces(self, work: Callable[[Any, Sequence[Any]], R], items: Sequence[Any]) -> list[R]:
        pieces = ((start, items[start : start + SHARD_ROWS]) for start in range(0, max(len(items), 1), SHARD_ROWS))
        return [result for _, result in sorted(self.apply(work, pieces), key=itemgetter(0))]

    def _kept(
        self, work: Callable[[Any, Sequence[Any]], _Said], items: Sequence[Any], asked: Mapping[str, Any]
    ) -> list[list[Completion]]:
        if not items:
            return []
        call = content_hash([list(items), dict(asked)])
        folder = self.folder / f"{_CALL}{call[:16]}"
        folder.mkdir(parents=True, exist_ok=True)

        def made(pieces: Iterable[Piece]) -> Iterator[tuple[int, pa.Table]]:
            for index, (table, declined) in self.apply(work, pieces):
                self.refusals.update(declined)
                yield index, table

        shards = map_shards(made, items, folder, shard_size=SHARD_ROWS, reporter=self.reporter, name=self.step)
        table = pa.concat_tables([*shards])
        return [list(row[0]) for row in TextLabels.from_arrow(table).texts]


# What workers call: functions of a module, since a worker may be another process.


def _generated(options: GenerateOptions, model: LanguageModel, prompts: Sequence[str | Messages]) -> _Said:
    return _said(model, prompts, model.generate(prompts, options))


def _scored(options: Mapping[str, Any], model: LanguageModel, pairs: Sequence[tuple[str | Messages, str]]) -> _Said:
    scored = logprobs(model, pairs, **options)
    return _said(model, [prompt for prompt, _ in pairs], [[one] for one in scored])


def _said(model: LanguageModel, prompts: Sequence[str | Messages], answers: Sequence[Sequence[Completion]]) -> _Said:
    reasons: Mapping[str | Messages, str] = getattr(model, "refusals", {})
    return said(model, prompts, answers).to_arrow(), {one: reasons[one] for one in prompts if one in reasons}


def _fitting(new_tokens: int, model: LanguageModel, prompts: Sequence[str | Messages]) -> list[bool]:
    return fits(model, prompts, new_tokens)
