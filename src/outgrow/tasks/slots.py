"""Slot filling as a text task: an utterance in, JSON of its slots out, scored by SLU-F1."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from outgrow.config import Split, TaskConfig
from outgrow.errors import ConfigError, DataError
from outgrow.evaluate.slot_json import Problem, read_slots, write_slots
from outgrow.evaluate.slu import Slot, f1_of_counts, slu_counts
from outgrow.labels import Part, Rows, Weighted
from outgrow.tasks.split import check_parts, deal, normalise
from outgrow.tasks.tables import read_records

TEMPLATE = "Slots: {slots}\nUtterance: {utterance}"
"""How an utterance is asked about, with the names of all slots; small models may do better with `{utterance}` alone."""


@dataclass(frozen=True)
class Utterance:
    """What was said, and what slots it fills."""

    text: str
    """Lower-cased words, one space between two."""
    slots: tuple[Slot, ...]
    """In the order of the utterance."""


@dataclass(frozen=True)
class SlotTask(ABC):
    """What the slot-filling tasks share; each knows its slots, its files and the form of its rows."""

    schema: ClassVar[tuple[str, ...]]
    """Names of all slots."""
    files: ClassVar[tuple[str, ...]]
    """Names of the files in a folder, without `.jsonl` or `.jsonl.gz`."""

    @abstractmethod
    def utterance(self, row: Mapping[str, Any]) -> Utterance:
        """One row of a file.

        Raises:
            KeyError, IndexError, TypeError, ValueError, AttributeError: It has another form.
        """

    def read(self, config: TaskConfig) -> Rows:
        """All rows, each with its part; gold is JSON such as `{"time": ["five am"]}`."""
        files = _read_files(config, self.files)
        utterances = {name: [self._checked(row, name) for row in rows] for name, rows in files.items()}
        return slot_rows(utterances, config, schema=self.schema)

    def score(self, config: TaskConfig, rows: Rows, answers: Sequence[str]) -> Mapping[str, Weighted]:
        """SLU-F1 and exact span F1."""
        return slot_scores(rows, answers, self.schema)

    def remarks(self, config: TaskConfig, rows: Rows, answers: Sequence[str]) -> list[str]:
        """How many answers are empty, cannot be read, or name slots that do not exist."""
        return slot_remarks(answers, self.schema)

    def usable(self, config: TaskConfig, answers: Sequence[str]) -> list[bool]:
        """Whether each answer is JSON of slots, whatever their names."""
        problems = (read_slots(answer, self.schema).problem for answer in answers)
        return [problem not in ("empty", "unparsable") for problem in problems]

    def _checked(self, row: Mapping[str, Any], where: str) -> Utterance:
        try:
            utterance = self.utterance(row)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"A row of {where} is not one of {type(self).__name__}'s.",
                found=f"{str(row)[:120]} ({error!r})",
                wanted=f"rows as in the description of outgrow.tasks.{type(self).__name__.lower()}",
            ) from error
        unknown = next((slot["type"] for slot in utterance.slots if slot["type"] not in self.schema), None)
        if unknown is not None:
            raise DataError(f"A row of {where} has a slot that {type(self).__name__} does not have.", found=unknown)
        return utterance


def slot_rows(files: Mapping[str, Sequence[Utterance]], config: TaskConfig, *, schema: Sequence[str]) -> Rows:
    """Utterances as rows of a text task.

    Where there is a file `test`, it is the test part (`split.test` of it, if that is set), and the others are dealt to
    the gold and unlabelled parts by their shares; an utterance that occurs in it too is left out of these. Otherwise
    all are dealt to the three parts.

    Args:
        files: Utterances by the name of their file.
        config: Of its settings `path`, `template`, `split` (but not by groups or votes) and `limit` are used.
        schema: Names of all slots, for the prompt.

    Raises:
        ConfigError: A setting that has no meaning here.
        DataError: See `deal` and `check_parts`.
    """
    _check_settings(config)
    template = TEMPLATE if config.template is None else config.template
    asked = {"slots": ", ".join(schema)}
    all_of = [(f"{name}-{place}", name, one) for name, own in files.items() for place, one in enumerate(own)]
    if config.limit is not None and config.limit < len(all_of):
        chosen = np.sort(np.random.default_rng(config.split.seed).permutation(len(all_of))[: config.limit])
        all_of = [all_of[row] for row in chosen]
    parts = _parts(all_of, config.split)
    kept = [(*row, part) for row, part in zip(all_of, parts, strict=True) if part is not None]
    rows = Rows(
        ids=tuple(row for row, *_ in kept),
        prompts=tuple(_prompt(template, {**asked, "utterance": one.text}) for _, _, one, _ in kept),
        parts=tuple(part for *_, part in kept),
        gold=tuple(write_slots(one.slots) for _, _, one, _ in kept),
    )
    check_parts(rows, where=config.path)
    return rows


def slot_scores(rows: Rows, answers: Sequence[str], schema: Sequence[str]) -> dict[str, Weighted]:
    """SLU-F1 and exact span F1; the means over the rows are the scores of the corpus.

    F1 = 2 TP / (2 TP + FP + FN) of a corpus is the mean of the rows' F1 weighted by their denominators.
    """
    gold = [read_slots(str(text), schema).slots for text in rows.gold]
    counts = slu_counts(gold, [read_slots(answer, schema).slots for answer in answers])
    return {"slu_f1": _weighted(counts.slu), "span_f1": _weighted(counts.span)}


def slot_remarks(answers: Sequence[str], schema: Sequence[str]) -> list[str]:
    """How many answers are empty, cannot be read, or name slots that do not exist; nothing where none does.

    Example:
        >>> slot_remarks(["{}", "", "no"], ["date"])
        ['Of 3 answers, 1 empty, 1 no JSON of slots.']
    """
    problems = Counter(read_slots(answer, schema).problem for answer in answers)
    words: dict[Problem, str] = {
        "empty": "empty",
        "unparsable": "no JSON of slots",
        "unknown slots": "with slots that do not exist",
    }
    found = [f"{problems[problem]} {said}" for problem, said in words.items() if problems[problem]]
    return [f"Of {len(answers)} answers, {', '.join(found)}."] if found else []


def _weighted(counts: NDArray[np.float64]) -> Weighted:
    return Weighted(
        np.array([f1_of_counts(row) for row in counts], dtype=np.float64), counts @ np.array([2.0, 1.0, 1.0])
    )


def _check_settings(config: TaskConfig) -> None:
    if config.choices is not None:
        raise ConfigError(f"The task {config.name!r} is a text task.", found="task.choices", fix="Leave it out.")
    if config.split.group is not None or config.split.voted is not None:
        raise ConfigError(
            f"The task {config.name!r} deals its rows by themselves.",
            found="task.split.group or task.split.voted",
            fix="Leave them out.",
        )


def _prompt(template: str, values: Mapping[str, str]) -> str:
    try:
        return template.format_map(values)
    except (ValueError, KeyError, IndexError) as error:
        raise ConfigError(
            "task.template is not a template.", found=repr(template), wanted="text with {utterance} and perhaps {slots}"
        ) from error


def _parts(rows: Sequence[tuple[str, str, Utterance]], split: Split) -> list[Part | None]:
    prompts = [one.text for *_, one in rows]
    gold = [one.slots for *_, one in rows]
    held = [place for place, (_, name, _) in enumerate(rows) if name == "test"]
    if not held:
        return deal(prompts, gold, split)
    parts: list[Part | None] = [None] * len(rows)
    for place in _sample(held, split):
        parts[place] = "test"
    tested = {normalise(prompts[place]) for place in held}
    rest = [place for place, prompt in enumerate(prompts) if normalise(prompt) not in tested]
    sizes = split.model_copy(update={"test": 0})
    dealt = deal([prompts[place] for place in rest], [gold[place] for place in rest], sizes)
    for place, part in zip(rest, dealt, strict=True):
        parts[place] = part
    return parts


def _sample(held: Sequence[int], split: Split) -> list[int]:
    """The rows of the test file that are used: all, unless the split says how many."""
    if "test" not in split.model_fields_set:
        return list(held)
    count = round(split.test * len(held)) if split.test < 1 else int(split.test)
    if count > len(held):
        raise DataError("The test file has too few rows.", found=len(held), wanted=count, fix="Lower task.split.test.")
    chosen = np.random.default_rng(split.seed).permutation(len(held))[:count]
    return [held[place] for place in np.sort(chosen)]


def _read_files(config: TaskConfig, names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The records of one file, or of the files of these names in a folder (`<name>.jsonl` or `<name>.jsonl.gz`).

    Raises:
        DataError: There are none, or one cannot be read.
    """
    folder = Path(config.path)
    if not folder.is_dir():
        return {"rows": read_records(config.path).to_pylist()}
    candidates = [(name, folder / f"{name}{ending}") for name in names for ending in (".jsonl", ".jsonl.gz")]
    found = {name: read_records(str(path)).to_pylist() for name, path in candidates if path.is_file()}
    if not found:
        raise DataError(f"There is no data in {folder}.", wanted=" or ".join(f"{name}.jsonl.gz" for name in names))
    return found
