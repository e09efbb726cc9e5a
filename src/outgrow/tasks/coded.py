"""Columns of long tables as integer codes of their distinct values, read in pieces to save memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from outgrow.errors import DataError
from outgrow.tasks.opening import opened
from outgrow.tasks.tables import DELIMITERS, NULLS, check_name, csv_options, kind_of, read_records, readable

_BLOCK = 2**24
"""Bytes of text read at once. Longer lines are an error."""
_LINES = 2**18
"""Lines of a Parquet file read at once."""


@dataclass(frozen=True, eq=False)
class Coded:
    """A column as codes and distinct values."""

    codes: NDArray[np.int32]
    """Index into `values` for each line, shape (V,); -1 for an empty cell."""
    values: pa.Array
    """Distinct values as texts, in order of appearance."""

    @classmethod
    def of(cls, pieces: Iterable[pa.Array]) -> Coded:
        """Encode a column that comes in pieces.

        Example:
            >>> coded = Coded.of([pa.array(["b", None]), pa.array(["a", "b"])])
            >>> coded.codes.tolist(), coded.values.to_pylist()
            ([0, -1, 1, 0], ['b', 'a'])
        """
        kind = pa.dictionary(pa.int32(), pa.large_string())
        column = pa.chunked_array([_encoded(piece) for piece in pieces], kind).unify_dictionaries()
        codes = np.empty(len(column), dtype=np.int32)
        start = 0
        for piece in column.chunks:
            codes[start : start + len(piece)] = pc.fill_null(piece.indices, -1).to_numpy(zero_copy_only=False)
            start += len(piece)
        return cls(codes, column.chunk(0).dictionary if column.num_chunks else pa.array([], pa.large_string()))


def read_coded(path: str, names: Sequence[str]) -> dict[str, Coded]:
    """Read the named columns of a table; `path` is as in `read_records`.

    Memory use is a few bytes per line, plus the distinct values. Parquet and csv files are read in pieces; other tables
    are loaded first. Cells of csv files are kept as written: `007` is not 7.

    Raises:
        DataError: The file is missing, damaged or empty, or a column is missing.
    """
    kind = kind_of(Path(path)) if Path(path).is_file() else ""
    pieces: dict[str, list[pa.Array]] = {name: [] for name in names}
    reader = _parquet if kind == ".parquet" else _delimited if kind in DELIMITERS else _loaded
    with readable(Path(path)):
        for batch in reader(path, list(pieces)):
            for name, found in pieces.items():
                found.append(_encoded(batch.column(name)))
    columns = {name: Coded.of(found) for name, found in pieces.items()}
    if not all(len(column.codes) for column in columns.values()):
        raise DataError(f"{path} has no rows.", wanted="at least one row")
    return columns


def labels_of(column: Coded) -> list[str | None]:
    """Return the distinct values of a column of labels. If all are numbers, `1.0` becomes `1`, `NA` and NaN None.

    Example:
        >>> labels_of(Coded.of([pa.array(["1.0", "0", "NA"])])), labels_of(Coded.of([pa.array(["1.0", "x"])]))
        (['1', '0', None], ['1.0', 'x'])
    """
    missing = pc.is_in(column.values, value_set=pa.array(NULLS, pa.large_string()))
    try:
        numbers = pc.cast(pc.if_else(missing, None, column.values), pa.float64())
    except pa.ArrowInvalid:
        return list(column.values.to_pylist())
    return list(pc.cast(pc.if_else(pc.is_nan(numbers), None, numbers), pa.string()).to_pylist())


def _check(found: Sequence[str], names: Sequence[str], where: str) -> None:
    for name in names:
        check_name(found, name, where=where, setting="the columns of the votes")


def _loaded(path: str, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    table = read_records(path)
    _check(table.column_names, names, path)
    yield from table.select(names).to_batches()


def _parquet(path: str, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    with pa.parquet.ParquetFile(path) as table:
        if set(names) <= set(table.schema_arrow.names):
            yield from table.iter_batches(_LINES, columns=names)
        else:
            # A name such as `pred.a` may be a field of a nested object, which only `read_records` resolves.
            yield from _loaded(path, names)


def _delimited(path: str, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    file = Path(path)
    reading, parsing = csv_options(file)
    reading.block_size = _BLOCK
    with opened(file) as stream, pa.csv.open_csv(stream, reading, parsing) as reader:
        _check(reader.schema.names, names, path)
    converting = pa.csv.ConvertOptions(
        column_types={name: pa.large_string() for name in names},
        include_columns=names,
        null_values=[""],
        strings_can_be_null=True,
    )
    with opened(file) as stream, pa.csv.open_csv(stream, reading, parsing, converting) as reader:
        yield from reader


def _encoded(column: pa.Array) -> pa.DictionaryArray:
    if pa.types.is_dictionary(column.type):
        if column.type.value_type == pa.large_string():
            return column
        column = pc.cast(column, column.type.value_type)
    coded = column.dictionary_encode()
    return pa.DictionaryArray.from_arrays(coded.indices, pc.cast(coded.dictionary, pa.large_string()))
