"""Finished runs, and what their stores hold for them."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from outgrow.errors import StoreError
from outgrow.evaluate.wording import number_text
from outgrow.files import read_json, translate_os_errors
from outgrow.labels.notes import OTHER_VALUES
from outgrow.models.server import ResponseCache
from outgrow.report.table import columns_text
from outgrow.store import ASIDE, IN_USE, RUNS, Artefact, Store


@dataclass(frozen=True)
class FinishedRun:
    """What the results of a run say of it."""

    folder: str
    name: str
    started: str
    task: str
    methods: tuple[str, ...]
    best: str
    """The best student and its score on the first metric."""
    store: str | None
    """The store that it used; None where its outgrow was older."""
    artefacts: frozenset[str]
    """What it used there, as kind/key."""


@dataclass(frozen=True)
class Holding:
    """The artefacts of one kind in a store."""

    store: str
    kind: str
    count: int
    size: int
    """Bytes."""
    runs: tuple[str, ...]
    """Names of the folders of the runs that used some of them."""
    unneeded: tuple[Artefact, ...]
    """Those that no known run used."""


def finished_runs(folders: Sequence[str | Path]) -> list[FinishedRun]:
    """Return the runs anywhere under some folders, the latest first.

    Raises:
        StoreError: There is no such folder, or the results of a run are damaged.
    """
    for folder in folders:
        if not Path(folder).is_dir():
            raise StoreError(f"There is no folder {folder}.", fix="Name the folder of your runs.")
    files = {file for folder in folders for file in Path(folder).rglob("results.json")}
    # Further test parts have results in `tests/<name>` of their run.
    own = sorted(file for file in files if file.parents[2] / file.name not in files or file.parents[1].name != "tests")
    return sorted(map(_finished, own), key=lambda run: run.started, reverse=True)


def holdings(runs: Sequence[FinishedRun]) -> list[Holding]:
    """Return what is in the stores of some runs and in the store of this environment, by kind.

    Other runs that a store knows count too, while their results are where they were.

    Raises:
        StoreError: The results of such a run are damaged.
    """
    roots = {Path(run.store).resolve() for run in runs if run.store} | {Store.default().root.resolve()}
    found = []
    for root in sorted(roots):
        everyone = {Path(run.folder).resolve(): run for run in (*map(_finished, _known(root)), *runs)}.values()
        by_kind: dict[str, list[Artefact]] = defaultdict(list)
        for artefact in complete(root):
            by_kind[artefact.kind].append(artefact)
        for kind, artefacts in by_kind.items():
            names = {f"{each.kind}/{each.key}" for each in artefacts}
            users = [run for run in everyone if run.artefacts & names]
            needed = frozenset().union(*(run.artefacts for run in users))
            unneeded = tuple(each for each in artefacts if f"{each.kind}/{each.key}" not in needed)
            own = tuple(Path(run.folder).name for run in users)
            found.append(Holding(str(root), kind, len(artefacts), size_of(artefacts), own, unneeded))
    return found


def prune(kept: Sequence[Holding]) -> int:
    """Delete what no known run used, but for what a process works on; return the bytes that were freed.

    Answers of servers (`responses.sqlite`) and unfinished work stay.

    Raises:
        StoreError: A run uses one of the stores now, or something cannot be deleted.
    """
    for root in dict.fromkeys(each.store for each in kept):
        if users := users_of(Path(root)):
            raise StoreError(
                f"A run uses the store {root} now.",
                found=f"process {', '.join(map(str, users))}",
                fix="Wait for its end.",
            )
    freed = 0
    for each in kept:
        for artefact in each.unneeded:
            size = size_of([artefact])
            freed += size if _remove(artefact) else 0
    return freed


def _known(root: Path) -> Iterator[Path]:
    """The results of the runs that a store knows."""
    for note in sorted((root / RUNS).glob("*.txt")):
        results = Path(note.read_text(encoding="utf-8")) / "results.json"
        if results.is_file():
            yield results


def complete(root: Path) -> Iterator[Artefact]:
    """Yield all artefacts of a store that have a manifest, by kind and key; their time is not read."""
    for manifest in sorted(root.glob("*/*/manifest.json")):
        yield Artefact(manifest.parents[1].name, manifest.parent.name, manifest.parent, 0.0)


def damage(root: Path) -> Iterator[str]:
    """Yield what is damaged in a store, a line for each; every file is read. Runs make damaged artefacts again.

    Raises:
        StoreError: There is no such folder.
    """
    if not root.is_dir():
        raise StoreError(f"There is no store {root}.", fix="Name its folder, or set OUTGROW_STORE.")
    store = Store(root)
    for each in complete(root):
        try:
            if each.path.suffix != ASIDE:
                store.named(f"{each.kind}/{each.key}")
        except StoreError as error:
            yield error.what
    answers = root / "responses.sqlite"
    if answers.is_file():
        with ResponseCache(answers) as cache:
            yield from cache.damage()


def users_of(root: Path) -> list[int]:
    """Return the ids of the processes whose runs use a store now (`Store.in_use`)."""
    return [int(lock.stem.partition("-")[0]) for lock in (root / IN_USE).glob("*.lock") if not _free(lock)]


def _free(lock: Path) -> bool:
    """Whether no process holds a lock; what a killed one left is deleted."""
    try:
        with FileLock(lock, timeout=0):
            lock.unlink(missing_ok=True)
    except Timeout:
        return False
    return True


def _remove(artefact: Artefact) -> bool:
    """Delete an artefact, its manifest first; False where a process works on it now."""
    with translate_os_errors(artefact.path):
        try:
            with FileLock(artefact.path.with_suffix(".lock"), timeout=0):
                (artefact.path / "manifest.json").unlink(missing_ok=True)
                shutil.rmtree(artefact.path)
        except Timeout:
            return False
    return True


def size_of(artefacts: Iterable[Artefact]) -> int:
    """Return the bytes of artefacts."""
    return sum(file.stat().st_size for each in artefacts for file in each.path.rglob("*") if file.is_file())


def runs_text(runs: Sequence[FinishedRun]) -> str:
    """Return a line for each run."""
    rows = [[run.name, run.started, run.task, ", ".join(run.methods), run.best, run.folder] for run in runs]
    return columns_text(["run", "started", "task", "methods", "best student", "folder"], rows)


def holdings_text(kept: Sequence[Holding]) -> str:
    """Return a table for each store: a line for each kind."""
    blocks = []
    for root in dict.fromkeys(each.store for each in kept):
        own = [each for each in kept if each.store == root]
        rows = [
            [each.kind, f"{each.count:,}", size_text(each.size), f"{len(each.unneeded):,}", ", ".join(each.runs)]
            for each in own
        ]
        total = size_text(sum(each.size for each in own))
        blocks.append(f"{root}: {total}\n{columns_text(['kind', 'count', 'size', 'for no run', 'for'], rows)}")
    return "\n\n".join(blocks)


def size_text(size: int) -> str:
    """Return a number of bytes for people.

    Example:
        >>> size_text(900), size_text(2_500_000)
        ('900 B', '2.5 MB')
    """
    value, units = float(size), ["B", "kB", "MB", "GB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.{0 if units[0] == 'B' else 1}f} {units[0]}"


def _finished(file: Path) -> FinishedRun:
    about = read_json(file)
    try:
        known: Mapping[str, Any] = about["provenance"]
        config: Mapping[str, Any] = known.get("config") or {}
        task = config.get("task") or {}
        if not isinstance(known.get("store") or "", str):
            raise TypeError("the store is no path")
        return FinishedRun(
            folder=str(file.parent),
            name=about["name"],
            started=str(known.get("started", "")).partition("+")[0].replace("T", " "),
            task=Path(task.get("path") or "").name or task.get("name", ""),
            methods=tuple(config.get("methods") or {}),
            best=_best(about["summary"]["metrics"]),
            store=known.get("store"),
            artefacts=frozenset(known.get("artefacts") or ()),
        )
    except OTHER_VALUES as error:
        raise StoreError(
            f"{file} is damaged: {error!r}", fix="Delete its folder, or run the experiment again."
        ) from error


def _best(metrics: Sequence[Mapping[str, Any]]) -> str:
    students = [line for line in metrics[0]["lines"] if line["role"] == "student"] if metrics else []
    if not students:
        return "not evaluated"
    best = max(students, key=lambda line: line["score"]["value"])
    return f"{best['name']} {number_text(best['score']['value'])}"
