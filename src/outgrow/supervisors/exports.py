"""Votes in the JSON exports of Label Studio and Argilla, as a long table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from outgrow.errors import DataError, did_you_mean
from outgrow.tasks.tables import read_records

_LABEL_STUDIO, _ARGILLA = {"data", "annotations"}, {"fields", "responses"}
"""Keys of every record."""


class _Answer(NamedTuple):
    question: str
    worker: str
    value: Any
    """A text or a number; None if nothing was chosen."""


def read_votes(path: str, label: str) -> pa.Table:
    """Read a table of votes, or an export of Label Studio (`JSON`) or Argilla (`records.to_json`) as one.

    Of an export the table has a line for each answer: `task` (the record's id), `worker`, the answer in the column
    `label`, and the record's own data or fields in columns of their names. Label Studio's workers are those who
    annotated (e-mail, or number) and the versions of models whose predictions it holds; Argilla's are users and agents
    of suggestions. Cancelled annotations are left out; an empty one is an abstention.

    Args:
        path: See `read_records`.
        label: The question, as Label Studio's `from_name` or Argilla's name of it; need not fit if there is only one.

    Raises:
        DataError: As `read_records`; or the export has several questions and none is `label`, has no answers, or an
            answer is not a single choice.
    """
    records = _records(Path(path))
    if records is None:
        return read_records(path, mixed=True)
    answers = _label_studio if records[0].keys() >= _LABEL_STUDIO else _argilla
    try:
        found = [(record, answer) for record in records for answer in answers(record)]
        for record in records:
            (record.get("data") or record.get("fields") or {}).items()
        json.dumps(records, ensure_ascii=False).encode()
    except (AttributeError, TypeError, ValueError) as error:
        wanted = "an export of Label Studio (`JSON`) or Argilla (`records.to_json`) as it was written"
        raise DataError(f"{path} cannot be read: {type(error).__name__}: {error}.", wanted=wanted) from error
    questions = dict.fromkeys(answer.question for _, answer in found if answer.question)
    if len(questions) > 1 and label not in questions:
        fix = f"Set label of the votes; {did_you_mean(label, questions)}"
        raise DataError(f"{path} has answers to several questions.", found=", ".join(questions), fix=fix)
    if not questions:
        raise DataError(
            f"{path} has no answers.", found=f"{len(records)} records", wanted="choices by people or models"
        )
    question = label if label in questions else next(iter(questions))
    lines = []
    for record, answer in found:
        if answer.question in (question, ""):
            own = {name: _text(value) for name, value in (record.get("data") or record.get("fields") or {}).items()}
            value = _single(answer.value, path, record, question)
            lines.append({**own, "task": str(record.get("id")), "worker": answer.worker, label: value})
    names = dict.fromkeys(name for line in lines for name in line)
    return pa.table({name: pa.array([line.get(name) for line in lines], pa.string()) for name in names})


def _records(file: Path) -> list[dict[str, Any]] | None:
    """The records of an export, or None if the file is none."""
    if file.suffix != ".json" or not file.is_file():
        return None
    try:
        records = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        return None  # `read_records` says what is wrong
    if not isinstance(records, list) or not records or not all(isinstance(record, dict) for record in records):
        return None
    kinds = [kind for kind in (_LABEL_STUDIO, _ARGILLA) if all(kind <= record.keys() for record in records)]
    return records if kinds else None


def _label_studio(record: Mapping[str, Any]) -> Iterator[_Answer]:
    for annotation in record["annotations"] or ():
        if not annotation.get("was_cancelled"):
            person = annotation.get("completed_by")
            if isinstance(person, Mapping):
                person = person.get("email") or person.get("id")
            yield from _choices(annotation.get("result") or (), str(person))
    for prediction in record.get("predictions") or ():
        if isinstance(prediction, Mapping):  # a number stands for one that was not exported
            yield from _choices(prediction.get("result") or (), str(prediction.get("model_version") or "prediction"))


def _choices(result: Sequence[Mapping[str, Any]], worker: str) -> Iterator[_Answer]:
    own = [
        _Answer(str(one.get("from_name")), worker, (one.get("value") or {}).get("choices"))
        for one in result
        if one.get("type") == "choices"
    ]
    yield from own or [_Answer("", worker, None)]


def _argilla(record: Mapping[str, Any]) -> Iterator[_Answer]:
    for question, responses in (record["responses"] or {}).items():
        for response in responses:
            yield _Answer(question, str(response.get("user_id")), response.get("value"))
    for question, suggestion in (record.get("suggestions") or {}).items():
        yield _Answer(question, str(suggestion.get("agent") or "suggestion"), suggestion.get("value"))


def _single(value: Any, path: str, record: Mapping[str, Any], question: str) -> str | None:
    if isinstance(value, list) and len(value) < 2:
        value = value[0] if value else None
    if value is None or isinstance(value, str | int | float):
        return _text(value)
    raise DataError(
        f"An answer to {question!r} in {path} is not a single choice.",
        found=f"record {record.get('id')}: {value}"[:120],
        wanted="one choice for each record",
    )


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
