"""Long columns of records: values in Arrow buffers, memory-mapped where they are large, in place of Python objects.

A tuple of ten million short texts takes most of a GiB; the same texts as a `Column` take a file on the disk. Columns
are sequences: they become Python objects a batch at a time, when somebody iterates. Large arrays of numbers are mapped
files too (`gathered`), and computed with a block at a time (`blocks`, `in_batches`).
"""

from __future__ import annotations

import mmap
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, TypeVar, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from outgrow.errors import StoreError

T = TypeVar("T")

MANY = 2**16
"""Columns of up to so many values are tuples; batches of longer ones have as many."""
IN_MEMORY = 2**25
"""Bytes of a table up to which it is held in memory."""
_maps: weakref.WeakSet[_Map] = weakref.WeakSet()


class _Map(mmap.mmap):
    """A memory map that can be referred to weakly."""


class Column(Sequence[T]):
    """A sequence of texts, numbers, None, or lists of texts (with `tuples` as tuples), in Arrow buffers.

    Example:
        >>> column = Column(pa.chunked_array([["a", "b"], ["c"]]))
        >>> column[-1], column[1:], len(column), "b" in column, column == ("a", "b", "c")
        ('c', ('b', 'c'), 3, True, True)
    """

    def __init__(self, values: pa.ChunkedArray, *, tuples: bool = False) -> None:
        self.values = values
        self.tuples = tuples
        self._ends = np.cumsum([len(chunk) for chunk in values.chunks], dtype=np.int64)

    @classmethod
    def of(cls, chunks: Iterable[pa.Array], *, tuples: bool = False) -> Column[T]:
        """Return the column of some chunks, written to a temporary file as they come where there are many bytes."""
        batches = (pa.record_batch([chunk], names=[""]) for chunk in chunks)
        return cls(in_memory_or_mapped(batches).column(0), tuples=tuples)

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                return self.take(np.arange(start, stop, step))
            return packed(Column(self.values.slice(start, max(0, stop - start)), tuples=self.tuples))
        value: T = self._plain(self.values.slice(range(len(self))[index], 1).to_pylist())[0]
        return value

    def __iter__(self) -> Iterator[T]:
        for start in range(0, len(self), MANY):
            yield from self._plain(self.values.slice(start, MANY).to_pylist())
            forget_pages()

    def _plain(self, values: list[Any]) -> list[Any]:
        return [own if own is None else tuple(own) for own in values] if self.tuples else values

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Column) and other.values.type == self.values.type:
            same = self.values is other.values or self.values.equals(other.values)
            forget_pages()
            return same
        if not isinstance(other, Column | tuple):
            return NotImplemented
        return len(self) == len(other) and all(one == own for one, own in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __add__(self, other: Sequence[T]) -> Column[T]:
        further = other.values if isinstance(other, Column) else pa.chunked_array([pa.array(other, self.values.type)])
        return Column(pa.chunked_array([*self.values.chunks, *further.chunks], self.values.type), tuples=self.tuples)

    def __radd__(self, other: Sequence[T]) -> Column[T]:
        return Column(pa.chunked_array([pa.array(other, self.values.type)]), tuples=self.tuples) + self

    def __contains__(self, value: object) -> bool:
        return self.values.null_count > 0 if value is None else self.count(value) > 0

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, islice(self, 3)))
        return f"({shown}, … {len(self):,} values)" if len(self) > 3 else repr(tuple(self))

    def __arrow_array__(self, type: pa.DataType | None = None) -> pa.ChunkedArray:
        """Return the values for `pyarrow.array`; nothing is copied."""
        return self.values if type is None or type == self.values.type else self.values.cast(type)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the values for `numpy.asarray`."""
        if pa.types.is_list(self.values.type):
            return np.array([*self], dtype=dtype or object)
        values: NDArray[Any] = self.values.to_numpy().astype(dtype or object, copy=False)
        return values

    def count(self, value: object) -> int:
        """Return how often a value occurs."""
        if value is None:
            return int(self.values.null_count)
        return int(self.among([value]).sum())

    def among(self, wanted: Iterable[object]) -> NDArray[np.bool_]:
        """Return which values are among the wanted ones, shape (N,)."""
        known = {*wanted}
        if isinstance(self.values.type, pa.DictionaryType):
            codes = [[own in known for own in chunk.dictionary.to_pylist()] for chunk in self.values.chunks]
            found = [np.array(own)[chunk.indices] for own, chunk in zip(codes, self.values.chunks, strict=True)]
            return np.concatenate([np.zeros(0, dtype=np.bool_), *found])
        return np.fromiter((value in known for value in self), np.bool_, len(self))

    def take(self, indices: NDArray[np.intp]) -> Sequence[T]:
        """Return the values at some positions, in this order; a long run of neighbours is not copied."""
        run = span(indices)
        if run is not None:
            return self[run]
        batches = (indices[start : start + MANY] for start in range(0, len(indices), MANY))
        return packed(Column.of(map(self._taken, batches), tuples=self.tuples)) if len(indices) else ()

    def _taken(self, indices: NDArray[np.intp]) -> pa.Array:
        # Arrow copies all chunks together to take from several of them.
        order = np.argsort(indices, kind="stable")
        ascending = indices[order]
        chunk = np.searchsorted(self._ends, ascending, side="right")
        pieces = []
        for number in np.unique(chunk):
            before = self._ends[number] - len(self.values.chunk(number))
            pieces.append(self.values.chunk(number).take(pa.array(ascending[chunk == number] - before)))
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        taken = pa.concat_arrays(pieces).take(pa.array(back))
        forget_pages()
        return taken


def packed(values: Iterable[T], kind: pa.DataType | None = None) -> Sequence[T]:
    """Return values as a tuple, or as a `Column` where there are many and Arrow has a type for all of them.

    The type is by default that of the first value: texts, numbers, or tuples of texts, with None among them.

    Example:
        >>> packed(str(number) for number in range(3))
        ('0', '1', '2')
    """
    if isinstance(values, Column):
        return values if len(values) > MANY else tuple(values)
    if isinstance(values, tuple) and len(values) <= MANY:
        return values
    iterator = iter(values)
    first = tuple(islice(iterator, MANY + 1))
    if len(first) <= MANY:
        return first
    tuples = isinstance(first[0], tuple)
    if not isinstance(values, Sequence):
        return Column.of(_chunks(first, iterator, kind), tuples=tuples)
    try:
        return Column.of(_chunks(first, iterator, kind), tuples=tuples)
    except (pa.ArrowException, UnicodeError):  # a wrong value, of which something else complains in words
        return tuple(values)


def _chunks(first: Sequence[Any], others: Iterator[Any], kind: pa.DataType | None) -> Iterator[pa.Array]:
    if kind is None:
        kind = _kind(next(chain((value for value in first if value is not None), [None])))
    chunk = first
    while chunk:
        yield pa.array(chunk, kind)
        chunk = tuple(islice(others, MANY))


def _kind(value: object) -> pa.DataType | None:
    if isinstance(value, str):
        return pa.string()
    return pa.int32() if isinstance(value, int) else pa.list_(pa.string()) if isinstance(value, tuple) else None


def in_memory_or_mapped(batches: Iterable[pa.RecordBatch], schema: pa.Schema | None = None) -> pa.Table:
    """Return the table of some batches, from a temporary file that is mapped to memory if they have many bytes.

    The schema is needed if there may be no batch. The file is in TMPDIR, and is deleted when it is opened.
    """
    waiting: list[pa.RecordBatch] = []
    batches, size = iter(batches), 0
    for batch in batches:
        waiting.append(batch)
        size += batch.nbytes
        if size > IN_MEMORY:
            return _mapped(waiting[0].schema, chain(waiting, batches))
    return pa.Table.from_batches(waiting, None if waiting else schema)


def _mapped(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> pa.Table:
    with _temporary() as file, pa.ipc.new_stream(file, schema) as writer:
        for batch in batches:
            with _written():
                writer.write_batch(batch)
        with _written():
            writer.close()
        pages = _pages(file)
    return pa.ipc.open_stream(pa.py_buffer(pages)).read_all()


def gathered(arrays: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """Return arrays joined along the first axis, as `in_memory_or_mapped` does; a mapped array cannot be written to.

    Example:
        >>> gathered(np.full(size, size) for size in (1, 2)).tolist()
        [1, 2, 2]
    """
    waiting: list[NDArray[Any]] = []
    arrays, size = iter(arrays), 0
    for array in arrays:
        waiting.append(array)
        size += array.nbytes
        if size > IN_MEMORY:
            break
    else:
        return waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
    rows, kind, shape = 0, waiting[0].dtype, waiting[0].shape[1:]
    with _temporary() as file:
        for array in chain(waiting, arrays):
            with _written():
                file.write(np.ascontiguousarray(array).data)
            rows += len(array)
            forget_pages()
        pages = _pages(file)
    return np.frombuffer(pages, kind).reshape(rows, *shape)


def _temporary() -> IO[bytes]:
    with _written():
        return tempfile.TemporaryFile(prefix="outgrow-")


def _pages(file: IO[bytes]) -> _Map:
    with _written():
        file.flush()
    pages = _Map(file.fileno(), 0, access=mmap.ACCESS_READ)
    _maps.add(pages)
    return pages


@contextmanager
def _written() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        said = error.strerror or str(error)
        fix = "Free some space, or set TMPDIR to a folder on another disk."
        raise StoreError(f"Cannot write a temporary file in {tempfile.gettempdir()}: {said}.", fix=fix) from error


def mapped_array(path: Path) -> NDArray[Any]:
    """Return the array of a .npy file, mapped to memory: pages are read when they are used. Not to be written to."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, kind = np.lib.format.read_array_header_1_0(file)
        start = file.tell()
        pages = _Map(file.fileno(), 0, access=mmap.ACCESS_COPY)
    _maps.add(pages)
    return np.frombuffer(pages, kind, offset=start).reshape(shape)


def forget_pages() -> None:
    """Take the pages of all mapped files out of this process's memory; the system has them until it needs room."""
    for pages in _maps if hasattr(mmap, "MADV_DONTNEED") else ():
        pages.madvise(mmap.MADV_DONTNEED)


def span(indices: NDArray[np.intp]) -> slice | None:
    """Return positions that follow one another as a slice; None for any others.

    Example:
        >>> span(np.array([3, 4, 5])), span(np.array([3, 5]))
        (slice(3, 6, None), None)
    """
    if not len(indices) or indices[-1] - indices[0] != len(indices) - 1 or indices[0] < 0:
        return None
    start = int(indices[0])
    return slice(start, start + len(indices)) if (np.diff(indices) == 1).all() else None


def slices(indices: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """Return positions, as a slice where they follow one another: then what they index is not copied."""
    run = span(indices)
    return indices if run is None else run


def picked(array: NDArray[Any], indices: NDArray[np.intp]) -> NDArray[Any]:
    """Return the entries of an array at some positions along the first axis; neighbours are not copied."""
    run = span(indices)
    return in_batches(array.__getitem__, indices) if run is None else array[run]


def taken(column: Sequence[T], indices: NDArray[np.intp]) -> Sequence[T]:
    """Return the values of a tuple or column at some positions."""
    return (
        packed(column.take(indices))
        if isinstance(column, Column)
        else tuple(column[index] for index in indices.tolist())
    )


def repeated(ids: Sequence[str]) -> list[str]:
    """Return the ids that occur more than once, each once."""
    # Of hashes, which take eight bytes each; ids whose hashes are the same are compared.
    hashes = np.fromiter(map(hash, ids), np.int64, len(ids))
    in_order = np.sort(hashes)
    doubtful = in_order[1:][in_order[1:] == in_order[:-1]]
    if not len(doubtful):
        return []
    seen: dict[str, int] = {}
    suspects = set(doubtful.tolist())
    for name in ids:
        if hash(name) in suspects:
            seen[name] = seen.get(name, 0) + 1
    return [name for name, count in seen.items() if count > 1]


def positions(among: Sequence[str], ids: Sequence[str]) -> NDArray[np.intp]:
    """Return the position of each of `ids` in `among`, shape (n,).

    Raises:
        KeyError: One is not there.
    """
    count = len(ids)
    if isinstance(among, Column) and count:
        start = pc.index(among.values, ids[0]).as_py()
        forget_pages()
        if start >= 0 and among[start : start + count] == ids:
            return np.arange(start, start + count)
    # Most often they are in the same order, and no dictionary of all is needed.
    found = np.empty(count, dtype=np.intp)
    numbered, done = enumerate(among), 0
    for name in ids:
        place = next((index for index, own in numbered if own == name), None)
        if place is None:
            break
        found[done], done = place, done + 1
    if done < count:
        places = {name: index for index, name in enumerate(among)}
        found[:] = [places[name] for name in ids]
    return found


def among(values: Sequence[object], wanted: Iterable[object]) -> NDArray[np.bool_]:
    """Return which values are among the wanted ones, shape (N,)."""
    if isinstance(values, Column):
        return values.among(wanted)
    known = {*wanted}
    return np.fromiter((value in known for value in values), np.bool_, len(values))


def in_batches(work: Callable[[Any], NDArray[Any]], values: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
    """Return the results of `work` on slices of values, joined along the first axis; see `gathered`."""
    return gathered(work(values[start : start + MANY]) for start in range(0, max(len(values), 1), MANY))


def blocks(array: ArrayLike) -> Iterator[NDArray[Any]]:
    """Yield an array in slices of `MANY` along the first axis; the pages of a mapped one are forgotten after each.

    An empty array is one slice.
    """
    whole = np.asarray(array)
    for start in range(0, max(len(whole), 1), MANY):
        yield whole[start : start + MANY]
        forget_pages()
