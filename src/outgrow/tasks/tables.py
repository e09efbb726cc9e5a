"""Reading tables of any common format."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from outgrow.errors import DataError, MissingExtraError, MissingFileError, did_you_mean, nearest_file
from outgrow.labels.columns import MANY, Column, in_memory_or_mapped, packed
from outgrow.tasks.opening import check_names, opened, parquet_batches, read_parquet
from outgrow.tasks.sheets import read_sheet

DELIMITERS = {".csv": ",", ".tsv": "\t"}
NULLS = [text for text in pa.csv.ConvertOptions().null_values if "nan" not in text.lower()]
"""Texts that stand for an empty cell. NaN does not: it is a computed value that the reader should notice."""

_KINDS = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".xlsx")
_SHEETS = (".xlsm", ".xls", ".ods")
_UTF8 = "utf-8-sig"
_MARKS = {codecs.BOM_UTF8: _UTF8, codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_HEAD = 2**16
"""Bytes at the beginning of a file in which its header line is looked for."""


def read_records(path: str, config: str | None = None, *, mixed: bool = False, encoding: str | None = None) -> pa.Table:
    """Read a table.

    Fields of nested objects become columns with dotted names: `{"pred": {"a": 1}}` has the column `pred.a`.

    Args:
        path: A `.jsonl`, `.json`, `.csv` or `.tsv` (each may end in `.gz`), `.parquet` or `.xlsx` file, a folder
            written by `datasets.save_to_disk`, another folder that `datasets.load_dataset` reads, or a hub data set id
            (`owner/name`). The last three need the extra `datasets`; they end in `:split` if the data set has several
            splits. A path with `*`, such as `rows/part-*.parquet`, stands for all files that match, one after the
            other in the order of their names.
        config: The configuration of a data set that has several: the `name` of `datasets.load_dataset`. Of an `.xlsx`
            file its sheet.
        mixed: Whether a JSON field may hold texts in some lines and numbers in others, such as answers "18" and 18. The
            numbers become texts; otherwise it is an error, since a label may be a mistake.
        encoding: Of a file of text, such as `cp1252`. A byte order mark wins; default: UTF-8.

    Raises:
        DataError: The table is missing, of an unknown kind, damaged or empty, or has no such configuration or split;
            or a text has another encoding.
    """
    file, folder = Path(path), Path(path.partition(":")[0])
    if "*" in file.name and not file.exists():
        return _read_several(file, config, mixed=mixed, encoding=encoding)
    saved = any((folder / name).is_file() for name in ("dataset_info.json", "dataset_dict.json"))
    sheet = file.is_file() and file.suffix == ".xlsx"
    if config is not None and not sheet and (saved or file.is_file()):
        raise DataError(f"{path} has no configurations.", found=config, wanted="a hub id or a data set's folder")
    if sheet:
        table = read_sheet(file, config)
    elif file.is_file():
        table = _read_file(file, mixed=mixed, encoding=encoding)
    elif saved or folder.is_dir() or not (file.is_absolute() or file.suffix in _KINDS):
        table = _read_dataset(path, config, saved=saved)
    else:
        wanted = f"a file of kind {', '.join(_KINDS)} (gz too)"
        raise MissingFileError(f"There is no data file {path}.", wanted=wanted, fix=nearest_file(file))
    if not table.num_rows:
        raise DataError(f"{path} has no rows.", wanted="at least one row")
    return _flattened(table, path)


def _read_several(pattern: Path, config: str | None, *, mixed: bool, encoding: str | None) -> pa.Table:
    files = sorted(pattern.parent.glob(pattern.name))
    if not files:
        raise MissingFileError(f"There is no data file {pattern}.", wanted="a pattern that some files match")
    tables = [read_records(str(file), config, mixed=mixed, encoding=encoding) for file in files]
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(f"The files {pattern} have columns of different types.", found=str(error)) from error


def read_pieces(path: str, size: int, encoding: str | None = None) -> Iterator[pa.Table]:
    """Read a table, as `read_records` does, in pieces of `size` rows, of which one is in memory at a time.

    Cells of csv files are kept as written: `007` is not 7. Other tables than `.csv`, `.tsv`, `.jsonl` (gz too) and
    `.parquet` are loaded first.

    Raises:
        DataError: See `read_records`; damage is found when its piece is read.
    """
    file = Path(path)
    kind = kind_of(file) if file.is_file() else ""
    with readable(file, encoding):
        if kind == ".jsonl":
            yield from _line_pieces(file, size, encoding)
            return
        waiting: list[pa.Table] = []
        for batch in _batches(file, kind, size, encoding):
            waiting.append(_flattened(pa.Table.from_batches([batch]), file))
            while sum(map(len, waiting)) >= size:
                whole = pa.concat_tables(waiting)
                yield whole.slice(0, size)
                waiting = [whole.slice(size)]
        if sum(map(len, waiting)):
            yield pa.concat_tables(waiting)


def _batches(file: Path, kind: str, size: int, encoding: str | None) -> Iterator[pa.RecordBatch]:
    if kind == ".parquet":
        yield from parquet_batches(file, size)
    elif kind in DELIMITERS:
        reading, parsing = csv_options(file, encoding)
        reading.block_size = 2**22  # longer lines are an error; Arrow reads up to 32 blocks ahead
        with opened(file) as stream, pa.csv.open_csv(stream, reading, parsing) as reader:
            texts = dict.fromkeys(reader.schema.names, pa.string())
        converting = pa.csv.ConvertOptions(column_types=texts)
        with opened(file) as stream, pa.csv.open_csv(stream, reading, parsing, converting) as reader:
            yield from reader
    else:
        yield from read_records(str(file), encoding=encoding).to_batches()


def _flattened(table: pa.Table, where: object) -> pa.Table:
    while any(pa.types.is_struct(kind) for kind in table.schema.types):
        table = table.flatten()
    check_names(table.column_names, where)
    return table


def column(table: pa.Table, name: str, *, where: str, setting: str) -> Sequence[Any]:
    """Return the values of a column; see `check_name` for `where`, `setting` and the error."""
    check_column(table, name, where=where, setting=setting)
    return packed(Column(table[name]))


def check_column(table: pa.Table, name: str, *, where: str, setting: str) -> None:
    """Check that a table has a column; see `check_name`."""
    check_name(table.column_names, name, where=where, setting=setting)


def check_name(found: Sequence[str], name: str, *, where: str, setting: str) -> None:
    """Check that a name is among the names of columns.

    Raises:
        DataError: It is not. The message names the table (`where`) and the setting to change.
    """
    if name not in found:
        raise DataError(
            f"{where} has no column {name!r}.",
            found=", ".join(found),
            fix=f"Set {setting}; {did_you_mean(name, found)}",
        )


def _read_file(file: Path, *, mixed: bool, encoding: str | None) -> pa.Table:
    kind = kind_of(file)
    with readable(file, encoding):
        if kind == ".parquet":
            return read_parquet(file)
        if kind in DELIMITERS:
            table = _read_csv(file, encoding)
            if any(map(pa.types.is_binary, table.schema.types)):
                raise _undecodable(file, encoding)
            last = table.slice(max(0, table.num_rows - 1)).to_pylist()[:1]
            if any("\n" in str(cell) for row in last for cell in row.values()):
                _check_quotes(file, encoding)
            return table
        if kind == ".jsonl" and (table := _read_lines(file, encoding, mixed=mixed)) is not None:
            return table
        with opened(file) as stream:
            text = stream.read().decode(_encoding(file, encoding))
        return _read_json(text, lines=kind == ".jsonl", mixed=mixed)


def _read_csv(file: Path, encoding: str | None) -> pa.Table:
    reading, parsing = csv_options(file, encoding)
    converting = pa.csv.ConvertOptions(null_values=NULLS)
    try:
        with opened(file) as stream, pa.csv.open_csv(stream, reading, parsing, converting) as batches:
            return in_memory_or_mapped(batches, batches.schema)
    except pa.ArrowInvalid:  # of a damaged file, or a column whose first cells are of another type than later ones
        with opened(file) as stream:
            return pa.csv.read_csv(stream, reading, parsing, converting)


def _read_lines(file: Path, encoding: str | None, *, mixed: bool) -> pa.Table | None:
    """The table of a jsonl file, read in pieces; None if their columns are of different types."""
    pieces = (piece.to_batches() for piece in _line_pieces(file, MANY, encoding, mixed=mixed))
    alike = groupby(chain.from_iterable(pieces), lambda batch: batch.schema)
    tables = [in_memory_or_mapped(batches) for _, batches in alike]
    try:
        return pa.concat_tables(tables, promote_options="permissive") if tables else None
    except pa.ArrowException:
        return None


def _line_pieces(file: Path, size: int, encoding: str | None, *, mixed: bool = False) -> Iterator[pa.Table]:
    used = _encoding(file, encoding)
    with opened(file) as stream, io.TextIOWrapper(stream, encoding=used, newline="\n") as text:
        lines = (line for line in text if line.strip())
        while piece := list(islice(lines, size)):
            yield _read_json("".join(piece), lines=True, mixed=mixed)


def csv_options(file: Path, encoding: str | None = None) -> tuple[pa.csv.ReadOptions, pa.csv.ParseOptions]:
    """Return how a csv or tsv file is read: its encoding, and the delimiter of its header line.

    A `.csv` file without a comma in this line may have semicolons or tabs there.
    """
    used = _encoding(file, encoding)
    delimiter = DELIMITERS[kind_of(file)]
    with opened(file) as stream:
        head = stream.read(_HEAD).decode(used, "replace").partition("\n")[0]
    bare = re.sub('"[^"]*"', "", head)
    if delimiter == "," and delimiter not in bare:
        delimiter = next((other for other in ";\t" if other in bare), delimiter)
    reading = pa.csv.ReadOptions(encoding="utf8" if used == _UTF8 else used)
    return reading, pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)


def _encoding(file: Path, given: str | None) -> str:
    with opened(file) as stream:
        head = stream.read(_HEAD)
    try:
        codecs.lookup(given or _UTF8)
    except LookupError as error:
        wanted = "one that Python knows, such as utf-8, cp1252 or latin-1"
        raise DataError(f"There is no encoding {given!r}.", wanted=wanted) from error
    marked = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
    if marked is None and given is None and b"\0" in head:
        raise _undecodable(file, given)
    return marked or given or _UTF8


def _undecodable(file: Path, encoding: str | None) -> DataError:
    """The error of a file of text in another encoding: where, and what it is likely to be."""
    with opened(file) as stream:
        data = stream.read()
    likely, start = "cp1252", data.find(b"\0")
    if encoding is None and start >= 0:
        likely = "utf-16-be" if start == 0 else "utf-16-le"
    try:
        data.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        start = error.start
    line, near = data.count(b"\n", 0, start) + 1, data[max(0, start - 20) : start + 20]
    shown = near[start % 2 :].decode(likely, "replace").strip()
    advice = (
        f"Save it as UTF-8 (Excel: “CSV UTF-8”), or set task.encoding: {likely} for a file of the task, --encoding "
        f"{likely} for one of `outgrow predict`."
    )
    return DataError(
        f"{file} cannot be read: it is not {encoding or 'UTF-8'}.",
        found=f"line {line}, which reads {shown!r} as {likely}",
        wanted=encoding or "UTF-8, or UTF-16 with a byte order mark",
        fix="Change task.encoding, or --encoding." if encoding else advice,
    )


def _check_quotes(file: Path, encoding: str | None) -> None:
    """Raise a DataError if a csv file has a quote that is not closed."""
    reading, parsing = csv_options(file, encoding)
    used = _UTF8 if reading.encoding == "utf8" else reading.encoding
    with opened(file) as stream:
        lines = csv.reader(io.TextIOWrapper(stream, used, newline=""), delimiter=parsing.delimiter, strict=True)
        line = 1
        try:
            for _ in lines:
                line = lines.line_num + 1
        except UnicodeError as error:
            raise _undecodable(file, encoding) from error
        except csv.Error as error:
            raise DataError(
                f"{file} cannot be read: a quoted cell does not end.",
                found=f"a record that begins in line {line}",
                wanted='quotes around a whole cell, and "" for a quote inside of it',
            ) from error


def kind_of(file: Path) -> str:
    """Return the suffix of a file, without `.gz`.

    Raises:
        DataError: The suffix is unknown.
    """
    kind = next((suffix for suffix in reversed(file.suffixes) if suffix != ".gz"), "")
    if kind not in _KINDS:
        fix = "Save the sheet as a csv file (Excel: “CSV UTF-8”)." if kind in _SHEETS else None
        raise DataError(f"{file} is of an unknown kind.", found=kind or "no suffix", wanted=", ".join(_KINDS), fix=fix)
    return kind


@contextmanager
def readable(file: Path, encoding: str | None = None) -> Iterator[None]:
    """Convert the errors of Arrow and Python about damaged files to a `DataError`."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise _undecodable(file, encoding) from error
    except RecursionError as error:
        raise DataError(f"{file} cannot be read: its values are too deep in one another.") from error
    except (pa.ArrowException, OSError, EOFError, LookupError, OverflowError, ValueError, csv.Error) as error:
        said = str(error).strip() or type(error).__name__
        if kind_of(file) in DELIMITERS and isinstance(error, pa.ArrowInvalid):
            if "invalid UTF8" in said:
                raise _undecodable(file, encoding) from error
            _check_quotes(file, encoding)
        cells = re.search(r"Expected (\d+) columns?, got (\d+): (.*)", said)
        if cells:
            raise DataError(
                f"{file} cannot be read: a line has {cells[2]} cells, and the first one {cells[1]}.",
                found=cells[3][:120],
                wanted="the same number in every line, with quotes around a cell that holds the delimiter",
            ) from error
        raise DataError(f"{file} cannot be read: {said.splitlines()[0]}") from error


def _read_json(text: str, *, lines: bool, mixed: bool) -> pa.Table:
    # The standard library instead of Arrow, whose reader fails on documents longer than its block size.
    # `split`, not `splitlines`: a JSON string may contain other line separators, such as U+2028, unescaped.
    records = [json.loads(line) for line in text.split("\n") if line.strip()] if lines else json.loads(text)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ValueError("a line that is not a JSON object" if lines else "not a list of JSON objects")
    records = [_flat(record) for record in records]
    # Arrow takes the columns from the first record only, where a field may be missing.
    names = dict.fromkeys(name for record in records for name in record)
    return pa.table({name: _values(name, [record.get(name) for record in records], mixed=mixed) for name in names})


def _flat(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in record.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _values(name: str, values: list[Any], *, mixed: bool) -> pa.Array:
    kinds = {type(value) for value in values} - {type(None)}
    if str in kinds and kinds <= ({bool, float, int, str} if mixed else {bool, str}):
        # Answers such as true, 18 and "[invalid]": others than texts get the spelling that they have in a csv file.
        values = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    try:
        return pa.array(values)
    except OverflowError as error:
        raise ValueError(f"a number of {name!r} has more than 64 bits (write it as a text)") from error
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        if any(isinstance(item, dict) for value in values if isinstance(value, list) for item in value):
            return pa.array(
                [json.dumps(value) for value in values]
            )  # such as annotations, which no column is read from
        raise ValueError(f"the values of {name!r} are not all of one kind ({error})") from error


def _read_dataset(path: str, config: str | None, *, saved: bool) -> pa.Table:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError("Reading a Hugging Face data set", "datasets") from error
    name, _, split = path.partition(":")
    try:
        loaded = datasets.load_from_disk(name) if saved else datasets.load_dataset(name, config)
    except (OSError, ValueError, KeyError) as error:
        if saved:
            raise DataError(f"The data set folder {name} cannot be read: {error}") from error
        known = _configurations(name)
        if known and config not in known:
            raise DataError(
                f"The data set {name} has several configurations."
                if config is None
                else f"The data set {name} has no configuration {config!r}.",
                found=", ".join(known),
                fix=f"Set task.config: {known[0]}" if config is None else did_you_mean(config, known),
            ) from error
        raise DataError(
            f"{path!r} is neither a file or data set folder here nor a data set on the hub.",
            found=str(error).splitlines()[0],
            wanted="a data file, a data set folder, or a hub id",
        ) from error
    if isinstance(loaded, dict):
        if split and split not in loaded:
            raise DataError(f"The data set {name} has no split {split!r}.", fix=did_you_mean(split, loaded))
        first = next(iter(loaded))
        if not split and len(loaded) > 1:
            found = ", ".join(loaded)
            raise DataError(f"The data set {name} has several splits.", found=found, fix=f"Name one: {name}:{first}")
        loaded = loaded[split or first]
    return loaded.with_format("arrow")[:]


def _configurations(name: str) -> list[str]:
    import datasets

    try:
        found: list[str] = datasets.get_dataset_config_names(name)
    except (OSError, ValueError):  # no such data set
        return []
    return found
