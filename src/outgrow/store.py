"""Artefacts by content: a folder per result, found again by a hash of everything that made it.

```
<root>/<kind>/<key>/          key = hash of kind, format, parameters and the keys of what it was made from
    …                         shards and files, each written beside its place and then renamed into it
    manifest.json             written last: the artefact is complete if and only if this is there
<root>/<kind>/<key>.lock      held by the process that works on it
```
A killed run leaves a folder without a manifest; the next run finds the finished shards in it and goes on.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from outgrow import ranks
from outgrow.errors import ConfigError, StoreError

FORMAT = 1
"""Raised whenever the same parameters would give other contents; old artefacts are then simply not found."""


IN_USE = "in-use"
"""Folder of a store with a lock file for each process that uses it."""
RUNS = "runs"
"""Folder of a store with the paths of runs that used it."""


@dataclass(frozen=True)
class Artefact:
    """A complete artefact."""

    kind: str
    """Such as `labels`, `features`, `student`."""
    key: str
    """Hash of kind and recipe."""
    path: Path
    """Its folder."""
    seconds: float
    """Time of the attempt that finished it, without other artefacts made on the way."""


@dataclass
class Store:
    """A folder of artefacts, shared by any number of experiments and processes.

    Example:
        >>> import tempfile
        >>> store = Store(Path(tempfile.mkdtemp()))
        >>> made = store.get("numbers", {"upto": 3}, lambda folder: write_json(folder / "n.json", [0, 1, 2]))
        >>> read_json(made.path / "n.json")
        [0, 1, 2]
    """

    root: Path
    """Where artefacts live."""
    made: list[Artefact] = field(default_factory=list)
    """Artefacts made through this object, in order."""
    used: dict[str, Artefact] = field(default_factory=dict)
    """All artefacts used, by `kind/key`."""
    salt: str = ""
    """Part of every key; another salt finds nothing that was made before."""

    @classmethod
    def default(cls) -> Store:
        """Return the store named by OUTGROW_STORE, by default in the user's cache folder."""
        named = os.environ.get("OUTGROW_STORE")
        return cls(Path(named) if named else cache_folder() / "store")

    def get(
        self,
        kind: str,
        recipe: Mapping[str, Any],
        make: Callable[[Path], object],
        *,
        on_wait: Callable[[str], None] | None = None,
        together: bool = False,
    ) -> Artefact:
        """Return the artefact of a recipe: found, or made by `make(folder)`.

        Of several processes of a run, the first decides and makes it, and the others wait; see `outgrow.ranks`.

        Args:
            kind: Such as `labels`.
            recipe: Everything its contents depend on, as JSON values.
            make: Fills the folder; may find shards of an interrupted attempt there.
            on_wait: Called with a message if another run works on the same artefact.
            together: All processes of this run call `make`, for the same folder.

        Raises:
            StoreError: Disk full, no permission, or a damaged manifest.
        """
        key = _key(kind, recipe, self.salt)
        folder, what = self.root / kind / key, f"{kind}/{key}"
        with translate_os_errors(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _locked(folder.with_suffix(".lock"), on_wait) if ranks.first() else nullcontext():
                seconds = ranks.share(self._begin(kind, key, folder) if ranks.first() else None, what)
                if seconds is None:
                    started, before = time.perf_counter(), len(self.made)
                    if together:
                        make(folder)
                        ranks.meet(f"{what} in parts")
                    elif ranks.first():
                        with ranks.alone():
                            make(folder)
                    elapsed = time.perf_counter() - started
                    seconds = elapsed - sum(nested.seconds for nested in self.made[before:])
                    if ranks.first():
                        write_json(folder / "manifest.json", _manifest(kind, recipe, folder, seconds))
                    seconds = ranks.share(seconds, f"{what} as a whole")
                    self.made.append(Artefact(kind, key, folder, seconds))
        self.used[what] = Artefact(kind, key, folder, seconds)
        return self.used[what]

    def _begin(self, kind: str, key: str, folder: Path) -> float | None:
        """The time that a complete artefact took; else None, after its folder was prepared."""
        found = self._find(kind, key, folder)
        if found is not None:
            return found.seconds
        folder.mkdir(exist_ok=True)
        _sweep(folder)
        return None

    def find(self, kind: str, recipe: Mapping[str, Any]) -> Artefact | None:
        """Return the artefact of a recipe, or None if it would have to be made."""
        key = _key(kind, recipe, self.salt)
        return self._find(kind, key, self.root / kind / key)

    def named(self, name: str) -> Artefact | None:
        """Return the artefact `kind/key`, or None if it is not there or not complete."""
        kind, _, key = name.partition("/")
        return self._find(kind, key, self.root / kind / key)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep `outgrow prune` away from this store while the context lasts."""
        folder = self.root / IN_USE
        with translate_os_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / f"{os.getpid()}-{secrets.token_hex(4)}.lock")  # pids repeat across machines
            lock.acquire()
        try:
            yield
        finally:
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)

    def remember(self, output: Path) -> None:
        """Note the folder of a run that used this store, so that `outgrow prune` knows of it."""
        path = str(output.resolve())
        write_text(self.root / RUNS / f"{content_hash(path)}.txt", path)

    def _find(self, kind: str, key: str, folder: Path) -> Artefact | None:
        manifest = folder / "manifest.json"
        if not manifest.is_file():
            return None
        try:
            about = read_json(manifest)
            sizes, seconds = dict(about["files"]), float(about["seconds"])
        except (KeyError, TypeError) as error:
            raise StoreError(f"{manifest} is damaged.", fix=f"Delete the folder {folder} and run again.") from error
        for name, size in sizes.items():
            actual = (folder / name).stat().st_size if (folder / name).is_file() else None
            if actual != size:
                raise StoreError(
                    f"The artefact {kind}/{key} is damaged: {name} does not match its manifest.",
                    found=f"{actual} bytes",
                    wanted=f"{size} bytes",
                    fix=f"Delete the folder {folder} and run again.",
                )
        return Artefact(kind, key, folder, seconds)


def _key(kind: str, recipe: Mapping[str, Any], salt: str) -> str:
    return content_hash({"kind": kind, "format": FORMAT, "recipe": recipe} | ({"salt": salt} if salt else {}))


def content_hash(value: object) -> str:
    """Hash of a JSON value, the same whatever the order of keys: 32 hexadecimal digits of SHA-256.

    Example:
        >>> content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
        True
    """
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def table_hash(table: pa.Table) -> str:
    """Return the hash of the contents of an Arrow table, independent of how it is chunked."""
    sink = pa.BufferOutputStream()
    combined = table.combine_chunks()
    with pa.ipc.new_stream(sink, combined.schema) as writer:
        writer.write_table(combined)
    return hashlib.sha256(sink.getvalue()).hexdigest()[:32]


def cache_folder() -> Path:
    """Return the user's cache folder for outgrow: XDG_CACHE_HOME, by default ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "outgrow"


def write_json(path: Path, value: object) -> None:
    """Write JSON; the file is either whole or not there."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file; it is either whole or not there."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file; a damaged one is a StoreError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoreError(f"{path} is damaged: {error}", fix="Delete its folder and run again.") from error


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file; it is either whole or not there."""
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_table(path: Path) -> pa.Table:
    """Read a Parquet file; a damaged one is a StoreError."""
    try:
        return pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise StoreError(f"{path} is damaged: {error}", fix="Delete its folder and run again.") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which is renamed into place in the end; on an error nothing is left.

    Raises:
        StoreError: Disk full or no permission.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with translate_os_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def check_new(path: Path, kinds: Collection[str]) -> None:
    """Check the name of a file that is to be written after long work.

    Raises:
        ConfigError: Its suffix is none of `kinds`.
        StoreError: It is there already.
    """
    if path.suffix not in kinds:
        raise ConfigError(f"{path} is of an unknown kind.", found=path.suffix or "no suffix", wanted=", ".join(kinds))
    if path.exists():
        raise StoreError(f"{path} is there already.", fix="Name a new file, or delete this one.")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder`, which is renamed to it in the end; on an error nothing is left.

    Raises:
        StoreError: The folder is there already, or cannot be written.
    """
    folder = folder.absolute()
    if folder.exists():
        raise StoreError(f"{folder} is there already.", fix="Name a new folder, or delete this one.")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    with translate_os_errors(folder):
        try:
            temporary.mkdir(parents=True)
            yield temporary
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def translate_os_errors(path: Path) -> Iterator[None]:
    """Turn a full disk, missing permission and the like into a StoreError that says what to do."""
    advice = {
        errno.ENOSPC: "Free some space, or point OUTGROW_STORE or `store:` to another disk; finished work is kept.",
        errno.EDQUOT: "Your quota is used up; free some space or set OUTGROW_STORE. Finished work is kept.",
        errno.EACCES: "Give yourself write permission, or set OUTGROW_STORE or `store:` to a folder of your own.",
        errno.EPERM: "Give yourself write permission, or set OUTGROW_STORE or `store:` to a folder of your own.",
        errno.EROFS: "The file system is read-only; set OUTGROW_STORE or `store:` to another folder.",
        errno.ENOTDIR: "A file lies where a folder should be; move it away or set OUTGROW_STORE or `store:`.",
        errno.EEXIST: "A file lies where a folder should be; move it away or set OUTGROW_STORE or `store:`.",
    }
    try:
        yield
    except Exception as error:
        code = _os_error(error, path)
        if code not in advice:
            raise
        where = getattr(error, "filename", None) or path
        raise StoreError(f"Cannot write {where}: {os.strerror(code)}.", fix=advice[code]) from error


def _os_error(error: Exception, path: Path) -> int:
    if isinstance(error, OSError):
        return error.errno or 0
    from_rust = re.search(r"\(os error (\d+)\)", str(error))  # safetensors has an exception type of its own
    if from_rust:
        return int(from_rust.group(1))
    if isinstance(error, RuntimeError) and "inline_container" in str(error):
        # torch.save does not say why it could not write: where no room is left, that is why.
        existing = next(folder for folder in path.absolute().parents if folder.exists())
        return errno.ENOSPC if shutil.disk_usage(existing).free < 2**20 else 0
    return 0


@contextmanager
def _locked(path: Path, on_wait: Callable[[str], None] | None) -> Iterator[None]:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if on_wait is not None:
            on_wait(f"another run is working on {path.parent.name}/{path.stem[:8]}: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _sweep(folder: Path) -> None:
    # Temporary files of a killed run; nobody else writes here while we hold the lock.
    for left_over in folder.rglob(".*.tmp"):
        left_over.unlink()


def _manifest(kind: str, recipe: Mapping[str, Any], folder: Path, seconds: float) -> dict[str, Any]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {
        "kind": kind,
        "format": FORMAT,
        "recipe": recipe,
        "files": {path.relative_to(folder).as_posix(): path.stat().st_size for path in files},
        "seconds": round(seconds, 3),
    }
