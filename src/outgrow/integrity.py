"""SHA-256 of files and folders: what is kept is on the disk before it counts, and is whole when it is read again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_later: list[None] = []
_SUM = ".sha256"


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of all files in a folder and its subfolders, by relative path; hidden ones are left out."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): digest(path) for path in files}


def first_damage(folder: Path, sums: Mapping[str, str]) -> str | None:
    """Return the first file that is not there or not what it was; None if all are whole."""
    return next(
        (name for name, own in sums.items() if not (folder / name).is_file() or digest(folder / name) != own), None
    )


def seal_file(path: Path) -> None:
    """Write the SHA-256 of a file beside it, for `is_sealed`."""
    _sum_of(path).write_text(digest(path))


def is_sealed(path: Path) -> bool:
    """Return whether a file is there as it was when it was sealed."""
    own = _sum_of(path)
    return path.is_file() and own.is_file() and own.read_bytes() == digest(path).encode()


def unseal(folder: Path) -> None:
    """Delete what `seal_file` wrote in a folder and its subfolders."""
    for path in folder.rglob(f".*{_SUM}"):
        path.unlink()


def _sum_of(path: Path) -> Path:
    return path.with_name(f".{path.name}{_SUM}")


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Wait until all files in a folder and its subfolders are on the disk."""
    for path in folder.rglob("*"):
        if not path.is_symlink():
            sync(path)
    sync(folder)


@contextmanager
def synced_later() -> Iterator[None]:
    """Let files be written without waiting for the disk, because `sync_folder` follows."""
    _later.append(None)
    try:
        yield
    finally:
        _later.pop()


def syncs_now() -> bool:
    """Return whether a file that is written is to be on the disk at once."""
    return not _later
