"""Predictions of a saved student for the rows of a table, in pieces."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from outgrow.config import Local, TaskConfig
from outgrow.errors import DataError
from outgrow.files import check_new, for_spreadsheets, read_table, replacing, write_table
from outgrow.integrity import is_sealed, seal_file
from outgrow.models.loading import load_encoder, model_identity
from outgrow.models.protocols import GenerateOptions
from outgrow.progress import Reporter, SilentReporter
from outgrow.registry import can
from outgrow.store import content_hash
from outgrow.students.student import Student
from outgrow.tasks.files import asked, columns_of
from outgrow.tasks.tables import check_column, read_pieces
from outgrow.templates import asked_by, fill
from outgrow.train.targets import make_objective

PIECE_ROWS = 1024
"""Rows read, and kept, at once; a prediction that was killed repeats at most so many."""
_WRITERS = {".csv": pyarrow.csv.CSVWriter, ".parquet": pyarrow.parquet.ParquetWriter}

Answer = Callable[[Sequence[str], Sequence[tuple[str, ...]] | None], dict[str, Any]]
"""From n prompts and their own choices, if any, to columns."""


def predict(
    folder: str | Path,
    table: str | Path,
    output: str | Path,
    *,
    prompt: str | None = None,
    encoding: str | None = None,
    batch_size: int = 32,
    max_length: int | None = None,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> int:
    """Write a saved student's answers to the rows of a table, and return their number.

    The output has the columns `id` (or the row's number) and `answer`; for choices `confidence`, `p_<choice>` and, from
    students that predict it, `vacuity`. A prompt that is too long for a text student has no answer. `outgrow evaluate`
    reads the output. Memory does not grow with the table. Finished
    pieces wait in a folder beside the output: a prediction that was killed goes on from there.

    Args:
        folder: A folder written by `save_student`.
        table: A table with the columns of the task that the student was trained on; see `read_pieces`.
        output: A `.csv` or `.parquet` file that is not there yet.
        prompt: Column with whole prompts, if it is not the task's column or template.
        encoding: Of a file of text, such as `cp1252`; a byte order mark wins. By default that of the table that the
            student was trained on.
        batch_size: Rows per batch; no influence on the answers.
        max_length: Cut prompts of choices to so many tokens; by default as in the training.
        device: See `outgrow.config.Local`.
        reporter: Receives progress updates. Default: none.

    Raises:
        ModelError: There is no student in the folder, or it cannot be loaded.
        DataError: The table cannot be read, lacks a column, or a prompt is too long.
        ConfigError: The output is of an unknown kind.
        StoreError: The output is there already, or cannot be written.
    """
    folder, output, reporter = Path(folder), Path(output), reporter or SilentReporter()
    student = Student.load(folder)
    check_new(output, _WRITERS)
    columns = student.columns.model_copy(update={"prompt": prompt} if prompt else {})
    task = TaskConfig(path=str(table), columns=columns, template=None if prompt else student.template)
    if encoding is None and student.encoding is not None:
        reporter.note(f"{table} is read as {student.encoding}, as the rows of the experiment were.")
    encoding = encoding or student.encoding
    rows = sum(_checked(piece, task).num_rows for piece in read_pieces(str(table), 2**16, encoding))
    if not rows:
        raise DataError(f"{table} has no rows.", wanted="at least one row")
    answer = _answering(student, folder, batch_size, max_length or student.max_length, Local(device=device))
    key, parts = model_identity(str(folder)), output.with_name(f".{output.name}.parts")
    kept: list[Path] = []
    done = 0
    with reporter.step(f"predict with {student.method}", total=rows) as step:
        for piece in read_pieces(str(table), PIECE_ROWS, encoding):
            named = (
                piece[columns.id].to_pylist() if columns.id in piece.column_names else range(done, done + len(piece))
            )
            ids, given = [str(own) for own in named], asked(piece, task)
            name = content_hash([key, max_length, ids, *given])
            kept.append(parts / f"part-{len(kept):05d}-{name}.parquet")
            if not is_sealed(kept[-1]):
                write_table(kept[-1], pa.table({"id": ids, **answer(*given)}))
                seal_file(kept[-1])
            done += len(piece)
            step.advance(len(piece))
    schema = pyarrow.parquet.read_schema(kept[0])
    whole = parts / output.name  # what a kill leaves of it goes with the pieces
    with replacing(whole) as temporary, _WRITERS[output.suffix](temporary, schema) as writer:
        for path in kept:
            part = read_table(path)
            writer.write_table(for_spreadsheets(part) if output.suffix == ".csv" else part)
    whole.replace(output)
    shutil.rmtree(parts)
    return done


def _checked(piece: pa.Table, task: TaskConfig) -> pa.Table:
    for name in columns_of(task):
        check_column(piece, name, where=task.source, setting="--prompt, the column with whole prompts")
    return piece


def _answering(student: Student, folder: Path, batch_size: int, max_length: int | None, local: Local) -> Answer:
    if student.choices is None:
        return _writing(student, folder, batch_size, local)
    return _choosing(student, student.choices, folder, batch_size, max_length, local)


def _choosing(
    student: Student, choices: tuple[str, ...], folder: Path, batch_size: int, max_length: int | None, local: Local
) -> Answer:
    from safetensors.torch import load_file

    from outgrow.models.classifier import ChoiceNetwork, Encoder, by_length

    network = ChoiceNetwork(load_encoder(str(folder), local), 1 if student.by_row else len(choices))
    network.head.load_state_dict(load_file(folder / "head.safetensors"))
    network.to(network.backbone.device).eval()
    encoder = Encoder.load(str(folder), network.backbone, max_length=max_length)
    objective: Any = make_objective(student.objective)

    def answer(prompts: Sequence[str], options: Sequence[tuple[str, ...]] | None) -> dict[str, Any]:
        texts = prompts
        if options is not None:
            texts = [f"{prompt}\n{own}" for prompt, each in zip(prompts, options, strict=True) for own in each]
        logits = by_length(network, network, encoder, texts, batch_size=batch_size).reshape(len(prompts), -1)
        probs = objective.predict(logits).double().numpy()
        best = probs.argmax(1)
        named = [choices] * len(prompts) if options is None else options
        columns = {"answer": [own[index] for own, index in zip(named, best, strict=True)], "confidence": probs.max(1)}
        columns |= {f"p_{choice}": probs[:, index] for index, choice in enumerate(choices)}
        return columns | ({"vacuity": objective.vacuity(logits).double().numpy()} if can(objective, "vacuity") else {})

    return answer


def _writing(student: Student, folder: Path, batch_size: int, local: Local) -> Answer:
    from outgrow.models.local import LocalLanguageModel

    local = local.model_copy(update={"chat": student.chat, "system": student.system})
    model = LocalLanguageModel.load(folder, batch_size=batch_size, local=local)
    own = student.generate
    options = GenerateOptions(max_new_tokens=own.max_new_tokens, stop=own.stop, too_long="empty")
    template = asked_by(own.template, chats=model.chats)

    def answer(prompts: Sequence[str], _: object) -> dict[str, Any]:
        said = model.generate([fill(template, {"prompt": prompt}) for prompt in prompts], options)
        texts = [each[0].text.removeprefix(" ") if each else None for each in said]
        return {"answer": pa.array(texts, pa.string())}

    return answer
