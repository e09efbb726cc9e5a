"""Opening files of tables, within bounds on their size."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from outgrow import bounds
from outgrow.errors import DataError
from outgrow.labels.columns import in_memory_or_mapped

_PARQUET_ROWS = 2**12


def check_names(names: Sequence[str], where: object) -> None:
    """Raise a DataError for two columns with one name."""
    double = [name for name, count in Counter(names).items() if count > 1]
    if double:
        found = ", ".join(double[:5])
        raise DataError(f"{where} has columns with the same name.", found=found, fix="Rename or delete one of them.")


def read_parquet(file: Path) -> pa.Table:
    """Read a Parquet file, to a temporary file if it is large; a DataError if too large, or for columns of one name."""
    return in_memory_or_mapped(_bounded(file), pa.parquet.read_schema(file))


def _bounded(file: Path) -> Iterator[pa.RecordBatch]:
    size, inflated = 0, max(bounds.PARQUET_FROM, bounds.PARQUET_INFLATION.most * file.stat().st_size)
    for batch in parquet_batches(file, _PARQUET_ROWS):
        size += batch.nbytes
        for bound, most in ((bounds.TABLE_BYTES, bounds.TABLE_BYTES.most), (bounds.PARQUET_INFLATION, inflated)):
            if size > most:
                raise DataError(f"{file} is too large.", found="more", wanted=str(bound))
        yield batch


def parquet_batches(file: Path, size: int) -> Iterator[pa.RecordBatch]:
    """Yield a Parquet file in pieces of at most `size` rows; errors as of `read_parquet`."""
    with pa.parquet.ParquetFile(file, page_checksum_verification=True) as table:
        check_names(table.schema_arrow.names, file)
        rows = table.metadata.num_rows
        if rows > bounds.ROWS.most:
            raise DataError(f"{file} has too many rows.", found=f"{rows:,}", wanted=str(bounds.ROWS))
        yield from table.iter_batches(size)


def opened(file: Path) -> Any:
    """Open a file as a stream of bytes, decompressed if its name ends in `.gz`.

    Reading raises a DataError where the decompressed file exceeds its bounds.
    """
    if file.suffix != ".gz":
        return pa.input_stream(str(file), compression=None)
    return io.BufferedReader(_Inflated(file), 2**20)


class _Inflated(io.RawIOBase):
    """A decompressed file, as long as it is no bomb."""

    def __init__(self, file: Path) -> None:
        self._file, self._stream, self._read = file, pa.input_stream(str(file), compression="gzip"), 0
        self._most = max(bounds.INFLATION_FROM, bounds.INFLATION.most * file.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._stream.read(len(buffer))
        buffer[: len(part)] = part
        self._read += len(part)
        for bound, most in ((bounds.INFLATED_BYTES, bounds.INFLATED_BYTES.most), (bounds.INFLATION, self._most)):
            if self._read > most:
                raise DataError(f"{self._file} is too large decompressed.", found="more", wanted=str(bound))
        return len(part)

    def close(self) -> None:
        self._stream.close()
        super().close()
