"""Texts that exist already: demonstrations by people, answers of another system, released weak labels."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import Any, ClassVar, Literal

from outgrow.config import Frozen
from outgrow.errors import DataError
from outgrow.labels import Completion, Rows, TextLabels
from outgrow.run import Run
from outgrow.supervisors.gold import judged_rows
from outgrow.supervisors.protocol import Asking, Part
from outgrow.supervisors.texts import best_first
from outgrow.supervisors.votes import check_known, keys_of
from outgrow.tasks.tables import column, read_records


class TextsSupervisor(Frozen):
    """Texts that exist already: `{texts: answers.jsonl}`, one supervisor. It cannot score other texts.

    Several lines about one row are an n-best list, in the order of the file; the same text several times comes before
    others, and with log-probabilities the text with the highest mean comes first. Equal texts are kept once.
    """

    uses_gold: ClassVar[bool] = False

    texts: str
    """A jsonl, csv, tsv or parquet file."""
    task: str = "task"
    """The column that says which row a text is about."""
    key: Literal["id", "prompt"] = "id"
    """What that column holds: row ids or prompts."""
    text: str = "text"
    """The column of the texts. An empty one is no text."""
    logprobs: str | None = None
    """A column with a list of token log-probabilities for each text, or nothing; null where there is none."""
    offsets: str = "offsets"
    """With `logprobs`: the column with the tokens' character spans in the text, a list of `[start, end]`. The
    end-of-sequence token, if it is there, has the empty span at the end."""
    name: str | None = None
    """A name for tables; by default that of the file."""

    @property
    def title(self) -> str:
        """Its name in tables."""
        return self.name or Path(self.texts).name.partition(".")[0]

    def check(self, task: Literal["choice", "text"], asking: Asking) -> None:
        """Refuse a file that cannot be read or has malformed lines; see `Supervisor.check`."""
        self.read()

    def write(self, rows: Rows, part: Part, asking: Asking, run: Run, *, seed: int) -> TextLabels:
        """Return the file's texts; a row without one has none. See `Supervisor.write`.

        Raises:
            DataError: As `read`, or none of the rows occurs in the file.
        """
        written, own, name = self.read(), rows.part(part), self.title
        check_known(keys_of(judged_rows(rows), self.key), written, self.texts, task=self.task, key=self.key, of="texts")
        texts, errors = [], {}
        for row, key in zip(own.ids, keys_of(own, self.key), strict=True):
            texts.append((best_first(written.get(key, ())),))
            if not written.get(key):
                errors[row, name] = f"{'empty' if key in written else 'not'} in {Path(self.texts).name}"
        return TextLabels(tuple(own.ids), (name,), tuple(texts), errors)

    def read(self) -> dict[str, list[Completion]]:
        """Return the texts by row id or prompt, in the order of the file; nothing for a row with empty texts only.

        Raises:
            DataError: A column is missing, a text is none, or log-probabilities do not fit their text.
        """
        table, where = read_records(self.texts, mixed=True), self.texts
        names = {"task": self.task, "text": self.text}
        if self.logprobs is not None:
            names |= {"logprobs": self.logprobs, "offsets": self.offsets}
        values = [
            column(table, name, where=where, setting=f"{setting} of the texts") for setting, name in names.items()
        ]
        found: dict[str, list[Completion]] = defaultdict(list)
        for task, text, *scored in zip(*values, strict=True):
            own = found[str(task)]
            if isinstance(text, list):
                raise self._malformed(task, "is a list", text, "one text a line; several lines make an n-best list")
            if text is not None and str(text).strip():
                own.append(self._completion(task, str(text), *scored))
        return dict(found)

    def _completion(self, task: object, text: str, logprobs: Any = None, offsets: Any = None) -> Completion:
        logprobs, offsets = logprobs or [], offsets or []
        if not _all_numbers(logprobs) or not all(-math.inf < one <= 0 for one in logprobs):
            raise self._malformed(
                task, "has malformed log-probabilities", logprobs, "a list of finite numbers of at most 0"
            )
        if not _are_spans(offsets, len(text)) or len(offsets) != len(logprobs):
            raise self._malformed(
                task,
                "has log-probabilities that do not fit its offsets",
                f"{len(logprobs)} log-probabilities, offsets {str(offsets)[:80]}",
                f"as many [start, end] in order, within its {len(text)} characters",
            )
        return Completion(text, tuple(map(float, logprobs)), tuple((one[0], one[1]) for one in offsets), finished=True)

    def _malformed(self, task: object, what: str, found: object, wanted: str) -> DataError:
        return DataError(
            f"A text in {self.texts}, {self.task} {str(task)[:60]!r}, {what}.", found=str(found)[:160], wanted=wanted
        )


def _all_numbers(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(one, int | float) for one in values)


def _are_spans(spans: object, length: int) -> bool:
    if not isinstance(spans, list) or not all(
        isinstance(one, list) and len(one) == 2 and all(isinstance(end, int) for end in one) for one in spans
    ):
        return False
    starts, ends = ([0, *(one[side] for one in spans)] for side in (0, 1))
    return (
        starts == sorted(starts)
        and ends == sorted(ends)
        and all(start <= end <= length for start, end in zip(starts, ends, strict=True))
    )
