"""A language model that writes its answers to disk in shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

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
    chats,
    embed,
    fits,
    logprobs,
    shown,
)
from outgrow.progress import Reporter
from outgrow.scale.local import map_shards
from outgrow.store import Artefact, content_hash

Item = TypeVar("Item")

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
    """A language model that keeps every finished shard of its answers in a folder.

    Every call has a subfolder, named by the hash of prompts and options; the folder must belong to one model.
    """

    model: LanguageModel
    """The model that answers."""
    folder: Path
    """Folder of the shards."""
    reporter: Reporter
    """Receives every finished prompt."""
    step: str
    """Name of the step in progress reports."""

    @property
    def name(self) -> str:
        """The name of the model that answers."""
        return self.model.name

    @property
    def refusals(self) -> Mapping[str | Messages, str]:
        """Prompts that the model declined, and why."""
        found: Mapping[str | Messages, str] = getattr(self.model, "refusals", {})
        return found

    @property
    def chats(self) -> bool:
        """Whether the model takes messages."""
        return chats(self.model)

    def generate(self, prompts: Sequence[str | Messages], options: GenerateOptions) -> list[list[Completion]]:
        """Continue every prompt, shard by shard."""

        def work(piece: Sequence[str | Messages]) -> pa.Table:
            return self._table(piece, self.model.generate(piece, options))

        return self._kept(work, prompts, options.to_json())

    def logprobs(
        self, pairs: Sequence[tuple[str | Messages, str]], *, end: bool = False, too_long: TooLong = "error"
    ) -> list[Completion]:
        """Score `(prompt, continuation)` pairs, shard by shard."""

        def work(piece: Sequence[tuple[str | Messages, str]]) -> pa.Table:
            scored = logprobs(self.model, piece, end=end, too_long=too_long)
            return self._table([prompt for prompt, _ in piece], [[one] for one in scored])

        return [one for [one] in self._kept(work, pairs, {"end": end, "too_long": too_long})]

    def fits(self, prompts: Sequence[str | Messages], new_tokens: int) -> list[bool]:
        """Return whether the context has room for each prompt and `new_tokens`."""
        return fits(self.model, prompts, new_tokens)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Embed texts; not kept."""
        return embed(self.model, texts)

    def _table(self, prompts: Sequence[str | Messages], answers: Sequence[Sequence[Completion]]) -> pa.Table:
        return said(self.model, prompts, answers).to_arrow()

    def _kept(
        self, work: Callable[[Sequence[Item]], pa.Table], items: Sequence[Item], asked: Mapping[str, Any]
    ) -> list[list[Completion]]:
        if not items:
            return []
        call = content_hash([list(items), dict(asked)])
        folder = self.folder / f"{_CALL}{call[:16]}"
        folder.mkdir(parents=True, exist_ok=True)
        shards = map_shards(work, items, folder, shard_size=SHARD_ROWS, reporter=self.reporter, name=self.step)
        table = pa.concat_tables([*shards])
        return [list(row[0]) for row in TextLabels.from_arrow(table).texts]
