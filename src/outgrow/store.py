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
import io
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from filelock import FileLock, Timeout

from outgrow import ranks
from outgrow.errors import StoreError
from outgrow.files import read_json, translate_os_errors, write_json, write_text
from outgrow.integrity import digests, first_damage, sync_folder, synced_later, unseal
from outgrow.labels.columns import MANY, forget_pages

FORMAT = 1
"""Raised whenever the same parameters would give other contents; old artefacts are then simply not found."""


IN_USE = "in-use"
"""Folder of a store with a lock file for each process that uses it."""
RUNS = "runs"
"""Folder of a store with the paths of runs that used it."""
ASIDE = ".damaged"
"""Suffix of the folder of an artefact that was damaged, and made again."""
_AGAIN = "Run the experiment again: it sets the artefact aside and makes it again."
_NAME = re.compile(r"[a-z-]+/[0-9a-f]{32}")
_whole: set[tuple[Path, int, int]] = set()
"""Artefacts whose files this process has read and found whole: folder, and time and inode of its manifest."""


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
        say: Callable[[str], None] | None = None,
        together: bool = False,
    ) -> Artefact:
        """Return the artefact of a recipe: found, or made by `make(folder)`.

        Of several processes of a run, the first decides and makes it, and the others wait; see `outgrow.ranks`.

        Args:
            kind: Such as `labels`.
            recipe: Everything its contents depend on, as JSON values.
            make: Fills the folder; may find shards of an interrupted attempt there.
            say: Called with a message if another run works on the same artefact, or if a damaged one is made again.
            together: All processes of this run call `make`, for the same folder.

        Raises:
            StoreError: Disk full or no permission.
        """
        key = _key(kind, recipe, self.salt)
        folder, what = self.root / kind / key, f"{kind}/{key}"
        with translate_os_errors(folder):
            # First without the lock: a finished store may be read-only.
            seconds = ranks.share(self._seconds(kind, key, folder) if ranks.first() else None, f"{what} at first")
            if seconds is None:
                folder.parent.mkdir(parents=True, exist_ok=True)
                with _locked(folder.with_suffix(".lock"), say) if ranks.first() else nullcontext():
                    begun = self._begin(kind, key, folder, say) if ranks.first() else None
                    seconds = ranks.share(begun, what)
                    if seconds is None:
                        seconds = self._made(kind, key, recipe, folder, make, together)
        self.used[what] = Artefact(kind, key, folder, seconds)
        if ranks.first():
            self._use_again(folder)
        return self.used[what]

    def _use_again(self, folder: Path) -> None:
        # What an artefact was made from counts as used where it is found, too: `outgrow prune` would delete it.
        for name in read_json(folder / "manifest.json").get("needs") or ():
            if _NAME.fullmatch(str(name)) and (self.root / name / "manifest.json").is_file():
                kind, key = name.split("/")
                self.used.setdefault(name, Artefact(kind, key, self.root / name, 0.0))

    def _made(
        self,
        kind: str,
        key: str,
        recipe: Mapping[str, Any],
        folder: Path,
        make: Callable[[Path], object],
        together: bool,
    ) -> float:
        what, started, before, used = f"{kind}/{key}", time.perf_counter(), len(self.made), {*self.used}
        with synced_later():
            if together:
                make(folder)
                ranks.meet(f"{what} in parts")
            elif ranks.first():
                with ranks.alone():
                    make(folder)
        seconds = time.perf_counter() - started - sum(nested.seconds for nested in self.made[before:])
        if ranks.first():
            _commit(kind, recipe, folder, seconds, sorted({*self.used} - used))
        seconds = ranks.share(seconds, f"{what} as a whole")
        self.made.append(Artefact(kind, key, folder, seconds))
        return seconds

    def _seconds(self, kind: str, key: str, folder: Path) -> float | None:
        try:
            found = self._find(kind, key, folder)
        except StoreError:
            return None
        return None if found is None else found.seconds

    def _begin(self, kind: str, key: str, folder: Path, say: Callable[[str], None] | None) -> float | None:
        """The time that a complete artefact took; else None, after its folder was prepared."""
        try:
            found = self._find(kind, key, folder)
        except StoreError as error:
            aside = folder.with_name(f"{key}{ASIDE}")
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
            found = None
            if say is not None:
                say(f"{error.what} It was set aside as {aside.name}, and is made again.")
        if found is not None:
            return found.seconds
        folder.mkdir(exist_ok=True)
        _sweep(folder)
        return None

    def find(self, kind: str, recipe: Mapping[str, Any]) -> Artefact | None:
        """Return the artefact of a recipe, or None if it would have to be made: it is not there, or damaged."""
        key = _key(kind, recipe, self.salt)
        try:
            return self._find(kind, key, self.root / kind / key)
        except StoreError:
            return None

    def named(self, name: str) -> Artefact | None:
        """Return the artefact `kind/key`, or None if it is not there or not complete; a StoreError if it is damaged."""
        kind, _, key = name.partition("/")
        return self._find(kind, key, self.root / kind / key)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep `outgrow prune` away from this store while the context lasts (read-only media do that themselves)."""
        folder = self.root / IN_USE
        lock = FileLock(folder / f"{os.getpid()}-{secrets.token_hex(4)}.lock")  # pids repeat across machines
        with translate_os_errors(folder), _unless_read_only():
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        try:
            yield
        finally:
            if lock.is_locked:
                lock.release()
                Path(lock.lock_file).unlink(missing_ok=True)

    def remember(self, output: Path) -> None:
        """Note the folder of a run that used this store, so that `outgrow prune` knows of it."""
        path = str(output.resolve())
        note = self.root / RUNS / f"{content_hash(path)}.txt"
        with translate_os_errors(note), _unless_read_only():
            if not note.is_file():
                write_text(note, path)

    def _find(self, kind: str, key: str, folder: Path) -> Artefact | None:
        manifest = folder / "manifest.json"
        if not manifest.is_file():
            return None
        mark = (folder.resolve(), manifest.stat().st_mtime_ns, manifest.stat().st_ino)
        try:
            about = read_json(manifest)
            check_sum(about)
            sums, seconds = dict(about.get("sha256") or {}), float(about["seconds"])
            sizes = {str(name): int(size) for name, size in dict(about["files"]).items()}
            if any(len(part.encode()) > 255 for name in (*sizes, *sums) for part in str(name).split("/")):
                raise ValueError("a name is too long")
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise StoreError(f"{manifest} is damaged: {error}.", fix=_AGAIN) from error
        for name, size in sizes.items():
            if not (folder / name).is_file() or (folder / name).stat().st_size != size:
                raise _damage(kind, key, name)
        if mark not in _whole:
            if damaged := first_damage(folder, sums):
                raise _damage(kind, key, damaged)
            _whole.add(mark)
        return Artefact(kind, key, folder, seconds)


def _damage(kind: str, key: str, name: str) -> StoreError:
    return StoreError(f"The artefact {kind}/{key} is damaged: {name} is not what its manifest says.", fix=_AGAIN)


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


def with_sum(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with a hash of itself, for `check_sum`."""
    return {**about, "sum": content_hash(about)}


def check_sum(about: Mapping[str, Any]) -> None:
    """Raise a ValueError if an object is not what `with_sum` returned; one without a hash, of an older version, passes.

    Example:
        >>> check_sum({**with_sum({"a": 1}), "a": 2})
        Traceback (most recent call last):
        ...
        ValueError: its contents are not what was written
    """
    own = {name: value for name, value in about.items() if name != "sum"}
    if "sum" in about and about["sum"] != content_hash(own):
        raise ValueError("its contents are not what was written")


def table_hash(table: pa.Table) -> str:
    """Return the hash of the contents of an Arrow table, independent of how it is chunked."""
    found = _Hash()
    with pa.PythonFile(found, "w") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        for start in range(0, max(table.num_rows, 1), MANY):
            writer.write_table(table.slice(start, MANY).combine_chunks())
            forget_pages()
    return found.sum.hexdigest()[:32]


class _Hash(io.RawIOBase):
    """A file of which only the hash is kept."""

    def __init__(self) -> None:
        self.sum = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.sum.update(data)
        return len(data)


def cache_folder() -> Path:
    """Return the user's cache folder for outgrow: XDG_CACHE_HOME, by default ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "outgrow"


@contextmanager
def _locked(path: Path, say: Callable[[str], None] | None) -> Iterator[None]:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if say is not None:
            say(f"another run is working on {path.parent.name}/{path.stem[:8]}: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _unless_read_only() -> Iterator[None]:
    try:
        yield
    except (OSError, StoreError) as error:
        cause = error.__cause__ if isinstance(error, StoreError) else error
        if getattr(cause, "errno", None) != errno.EROFS:
            raise


def _sweep(folder: Path) -> None:
    # Temporary files of a killed run; nobody else writes here while we hold the lock.
    for left_over in folder.rglob(".*.tmp"):
        left_over.unlink()


def _commit(kind: str, recipe: Mapping[str, Any], folder: Path, seconds: float, needs: list[str]) -> None:
    # Everything is on the disk before the manifest says that it is complete.
    unseal(folder)
    sync_folder(folder)
    sums = digests(folder)
    sizes = {name: (folder / name).stat().st_size for name in sums}
    about = {"kind": kind, "format": FORMAT, "recipe": recipe, "files": sizes, "sha256": sums}
    about |= {"seconds": round(seconds, 3), "needs": needs}
    write_json(folder / "manifest.json", with_sum(about), sync=True)
