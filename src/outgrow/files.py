"""Files that are whole or not there, and errors of the disk in words."""

from __future__ import annotations

import errno
import glob
import json
import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from outgrow.errors import ConfigError, StoreError
from outgrow.integrity import sync as sync_file
from outgrow.integrity import sync_folder, syncs_now
from outgrow.labels.columns import MANY, in_memory_or_mapped

_FORMULA = r"^('*[=@+\-\t\r])"
_QUOTED = r"^'('*[=@+\-\t\r])"
_NUMBER = r"^[+\-]?(\d+\.?\d*|\.\d+)([eE][+\-]?\d+)?$"


def write_json(path: Path, value: object, *, sync: bool = False) -> None:
    """Write JSON; the file is either whole or not there. See `replacing` for `sync`."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", sync=sync)


def write_text(path: Path, text: str, *, sync: bool = False) -> None:
    """Write a text file; it is either whole or not there. See `replacing` for `sync`."""
    with replacing(path, sync=sync) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file; a damaged one is a StoreError."""
    try:
        text = path.read_text(encoding="utf-8")
        value = json.loads(text)
        if "\\ud" in text.lower():  # half a character, that nothing could write again
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is damaged: {error}", fix="Delete its folder and run again.") from error


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file; it is either whole or not there."""
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def read_table(path: Path) -> pa.Table:
    """Read a Parquet file, to a temporary file if it is large; a damaged one is a StoreError."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return in_memory_or_mapped(file.iter_batches(MANY), file.schema_arrow)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StoreError(f"{path} is damaged: {error}", fix="Delete its folder and run again.") from error


def for_spreadsheets(table: pa.Table) -> pa.Table:
    """Return a table whose texts no spreadsheet takes for a formula: a quote stands before `=`, `@`, `+` and `-`.

    Numbers stay as they are. `from_spreadsheets` takes the quotes off again.

    Example:
        >>> for_spreadsheets(pa.table({"answer": ["=1+1", "-5", "fine"]}))["answer"].to_pylist()
        ["'=1+1", '-5', 'fine']
    """
    return _texts_replaced(table, _FORMULA, r"'\1")


def from_spreadsheets(table: pa.Table) -> pa.Table:
    """Return a table as it was before `for_spreadsheets`."""
    return _texts_replaced(table, _QUOTED, r"\1")


def _texts_replaced(table: pa.Table, pattern: str, replacement: str) -> pa.Table:
    for index, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            texts = table[field.name]
            number = pc.match_substring_regex(texts, _NUMBER)
            changed = pc.replace_substring_regex(texts, pattern, replacement, max_replacements=1)
            table = table.set_column(index, field, pc.if_else(number, texts, changed))
    return table


@contextmanager
def replacing(path: Path, *, sync: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which is renamed into place in the end; on an error nothing is left.

    The file is on the disk before it has its name; in an artefact that is being made only with `sync`, because all its
    files are before its manifest is written.

    Raises:
        StoreError: Disk full or no permission.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with translate_os_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if now := sync or syncs_now():  # the store has swept its folders, which may hold thousands of files
                _sweep(path)
            yield temporary
            if now:
                sync_file(temporary)
            temporary.replace(path)
            if now:
                sync_file(path.parent)
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


def _sweep(path: Path) -> None:
    """Delete what killed processes left beside a file."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        process = left.name.removesuffix(".tmp").rpartition(".")[2]
        with suppress(OSError):
            if process.isdecimal() and not _lives(int(process)):
                left.unlink()


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # of another user
        return True
    return True


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
            sync_folder(temporary)
            temporary.rename(folder)
            sync_file(folder.parent)
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
        errno.EISDIR: "A folder lies where a file should be; move it away.",
        errno.EFBIG: "The file system, or a limit of your shell (ulimit -f), takes no file of this size.",
        errno.ENAMETOOLONG: "Take a shorter name or path.",
        errno.EIO: "The disk reports an error; check it, then run again. Finished work is kept.",
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
    if isinstance(error, RuntimeError) and ("inline_container" in str(error) or "iostream error" in str(error)):
        # torch.save does not say why it could not write: where no room is left, that is why.
        existing = next(folder for folder in path.absolute().parents if folder.exists())
        return errno.ENOSPC if shutil.disk_usage(existing).free < 2**20 else 0
    return 0
