"""Every reader of foreign bytes: from a file of any content to a value, or an error of ours."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from hard.proper import scores
from outgrow.annotate.items import read_items
from outgrow.config import TaskConfig, load_config
from outgrow.errors import OutgrowError
from outgrow.models.foreign import check_numbers, check_padding, read_about
from outgrow.models.protocols import GenerateOptions
from outgrow.models.server.pacing import retry_after, until_reset
from outgrow.models.server.wire import MalformedReplyError, read_reply, to_completion
from outgrow.pipeline.voting import combine_table
from outgrow.results import Results
from outgrow.runs.comparing import compare_runs
from outgrow.runs.keeping import finished_runs
from outgrow.store import Store
from outgrow.students.student import Student
from outgrow.supervisors.exports import read_votes
from outgrow.supervisors.given_texts import TextsSupervisor
from outgrow.supervisors.votes import VotesSupervisor
from outgrow.tasks.files import read_rows
from outgrow.tasks.tables import read_pieces

IDS = ("0", "1", "a")


def _placed(name: str, data: bytes, folder: Path) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def _table(name: str) -> Callable[[bytes, Path], object]:
    def read(data: bytes, folder: Path) -> None:
        path = _placed(name, data, folder)
        for piece in read_pieces(path, 100):
            piece.to_pylist()
        columns = {"prompt": "a", "gold": "b"}
        read_rows(TaskConfig.model_validate({"path": path, "columns": columns, "choices": "auto"})).to_arrow()

    return read


def _votes(data: bytes, folder: Path) -> None:
    path = _placed("votes.jsonl", data, folder)
    VotesSupervisor(votes=path, task="a", worker="b", label="c").read(IDS, IDS, ("no", "yes"))


def _export(data: bytes, folder: Path) -> None:
    read_votes(_placed("export.json", data, folder), "q").to_pylist()


def _combined(data: bytes, folder: Path) -> None:
    path = _placed("votes.csv", data, folder)
    result = combine_table(path, columns=VotesSupervisor(votes=path, task="a", worker="b", label="c"))
    result.posteriors().to_pylist()
    result.combined.diagnostics  # noqa: B018 (works them out)


def _items(data: bytes, folder: Path) -> None:
    read_items(Path(_placed("items.jsonl", data, folder)), ["task.columns.prompt=a", "task.columns.gold=b"])


def _texts(data: bytes, folder: Path) -> None:
    TextsSupervisor(texts=_placed("texts.jsonl", data, folder), task="a", text="b").read()


def _experiment(data: bytes, folder: Path) -> None:
    load_config(_placed("x.yaml", data, folder))


def _override(data: bytes, folder: Path) -> None:
    path = _placed("x.yaml", b"{task: {path: x}, supervisors: [{votes: v}], strong: {model: m}}", folder)
    load_config(path, [data.decode("utf-8", "surrogateescape")])


def _reply(data: bytes, folder: Path) -> None:
    for api in ("chat", "completions"):
        try:
            to_completion(read_reply(data.decode("utf-8", "replace"), api), GenerateOptions(stop=("a",)))
        except MalformedReplyError:
            continue


def _headers(data: bytes, folder: Path) -> None:
    text = data.decode("latin-1")
    retry_after({"retry-after": text, "retry-after-ms": text}, now=0.0)
    until_reset({"x-ratelimit-remaining-a": "0", "x-ratelimit-reset-a": text})


def _results(data: bytes, folder: Path) -> None:
    _placed("results.json", data, folder)
    scores().save(folder / "proper")
    for name in ("scores.parquet", "certainty.parquet"):
        shutil.copy(folder / "proper" / name, folder)
    finished_runs([folder])
    results = Results.load(folder)
    results.table()
    results.advice()
    compare_runs([folder, folder / "proper"])
    results.save_student("naive", folder / "saved")


def _manifest(data: bytes, folder: Path) -> None:
    _placed("store/labels/k/manifest.json", data, folder)
    Store(folder / "store").named("labels/k")


def _student(data: bytes, folder: Path) -> None:
    _placed("student.json", data, folder)
    Student.load(folder)


def _model(data: bytes, folder: Path) -> None:
    _placed("tokenizer.json", data, folder)
    _placed("config.json", data, folder)
    check_padding(folder)
    check_numbers(read_about(folder, "config.json"), folder)


READERS: dict[str, Callable[[bytes, Path], object]] = {
    **{name: _table(f"table.{name}") for name in ("jsonl", "json", "csv", "tsv", "parquet", "xlsx", "csv.gz")},
    "votes": _votes,
    "export": _export,
    "combined": _combined,
    "items": _items,
    "texts": _texts,
    "experiment": _experiment,
    "override": _override,
    "reply": _reply,
    "headers": _headers,
    "results": _results,
    "manifest": _manifest,
    "student": _student,
    "model": _model,
}


def read(name: str, data: bytes, folder: Path) -> bool:
    """Whether a reader takes some bytes; any error but ours is raised."""
    try:
        READERS[name](data, folder)
    except OutgrowError:
        return False
    return True
