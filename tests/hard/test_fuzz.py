"""Readers given bytes and structures at random end in a value or in an error of ours, soon, in little memory."""

from __future__ import annotations

import gzip
import json
import os
import resource
import signal
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hard.proper import PROPER, written
from hard.readers import READERS, read
from hard.small_runs import in_a_child
from outgrow.errors import StoreError

SLOWEST, MOST_MEMORY = 5.0, 500 * 2**20
"""Seconds and bytes that reading may take."""
SECONDS = float(os.environ.get("FUZZ_SECONDS", "30"))
"""How long each reader is tried by the slow test."""


def most_memory() -> int:
    """The most bytes that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


SCALARS = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        2**31,
        2**64,
        10**400,
        1.5,
        1e308,
        "",
        "a",
        "0",
        "-1",
        "9" * 5000,
        "\ud800",
        "\0",
        "{x}",
        "²",
        "../..",
    ]
)
KEYS = st.sampled_from(
    ["a", "b", "c", "task", "model", "choices", "data", "annotations", "fields", "responses", "files", "", "a.b"]
)
VALUES = st.recursive(
    SCALARS, lambda own: st.lists(own, max_size=3) | st.dictionaries(KEYS, own, max_size=4), max_leaves=12
)
JSON = VALUES.map(lambda value: json.dumps(value).encode())
LINES = st.lists(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4), min_size=1, max_size=4).map(
    lambda rows: "\n".join(map(json.dumps, rows)).encode()
)
ARRAYS = st.lists(st.dictionaries(KEYS, VALUES, max_size=5), max_size=3).map(lambda rows: json.dumps(rows).encode())
TEXT = st.text(alphabet="ab=,\t\n\r\"'{}[]:&*!-.09é\0\x1b", max_size=80).map(str.encode)


def parquet(rows: list[int]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": [str(row) for row in rows], "b": rows}), sink)
    return bytes(sink.getvalue())


@st.composite
def mutated(draw: st.DrawFn, sources: st.SearchStrategy[bytes]) -> bytes:
    """Bytes of a proper file, some of them changed."""
    data = bytearray(draw(sources))
    for _ in range(draw(st.integers(0, 4)) if data else 0):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


SOURCES = st.one_of(
    JSON,
    LINES,
    ARRAYS,
    TEXT,
    st.binary(max_size=60),
    LINES.map(gzip.compress),
    st.lists(st.integers(0, 9), max_size=5).map(parquet),
)


@st.composite
def changed(draw: st.DrawFn, name: str) -> bytes:
    """A file that the reader takes, with another value, one less, or one more at one or two places."""
    value = json.loads(json.dumps(draw(st.sampled_from(PROPER[name]))))
    for _ in range(draw(st.integers(1, 2))):
        inside, place, found = None, None, value
        while isinstance(found, dict | list) and found and (inside is None or draw(st.integers(0, 4))):
            inside, place = found, draw(st.sampled_from(list(found) if isinstance(found, dict) else range(len(found))))
            found = inside[place]
        if inside is not None:
            what = draw(st.sampled_from(["other", "other", "less", "more"]))
            if what == "less":
                del inside[place]
            elif what == "more" and isinstance(inside, dict):
                inside[draw(KEYS)] = draw(VALUES)
            else:
                inside[place] = draw(VALUES)
    return written(name, value)


def files(name: str) -> st.SearchStrategy[bytes]:
    """Bytes and structures at random, and files that are nearly proper."""
    return st.one_of(changed(name), mutated(SOURCES)) if name in PROPER else mutated(SOURCES)


@pytest.mark.parametrize("name", PROPER)
def test_a_proper_file_is_taken_apart(name: str, tmp_path: Path) -> None:
    # A student and an artefact that are not there are looked for last.
    read_whole = {"results": "not in the store any more", "manifest": "record.parquet is not what"}
    for number, value in enumerate(PROPER[name]):
        if name in read_whole:
            with pytest.raises(StoreError, match=read_whole[name]):
                READERS[name](written(name, value), tmp_path)
        else:
            assert read(name, written(name, value), tmp_path / str(number))


@pytest.mark.parametrize("name", READERS)
def test_any_file_is_read_or_refused(name: str, tmp_path: Path) -> None:
    @settings(max_examples=30, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(files(name))
    def check(data: bytes) -> None:
        started = time.perf_counter()
        read(name, data, tmp_path)
        assert time.perf_counter() - started < SLOWEST

    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_any_file_is_read_or_refused_for_long(name: str, tmp_path: Path) -> None:
    end, count, slowest, before = time.monotonic() + SECONDS, 0, 0.0, most_memory()

    @settings(max_examples=200, suppress_health_check=list(HealthCheck), database=None)
    @given(files(name))
    def check(data: bytes) -> None:
        nonlocal count, slowest
        started = time.process_time()
        read(name, data, tmp_path)
        count, slowest = count + 1, max(slowest, time.process_time() - started)

    while time.monotonic() < end:
        check()
    more = most_memory() - before
    print(f"{name}: {count} files, slowest {slowest:.2f} s, {time.process_time():.0f} s of CPU time, +{more >> 20} MiB")
    assert slowest < SLOWEST
    assert more < MOST_MEMORY


DEEP = b"[" * 1_000_000
BOMBS = {
    "csv.gz": gzip.compress(b"0" * 2**28, 1),
    "json": DEEP,
    "jsonl": b'{"a":' * 200_000,
    "votes": b'{"a": ' + b"9" * 5000 + b"}",
    "experiment": "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 'x'}]\n" for n in range(12)).encode(),
    "reply": json.dumps(
        {
            "choices": [
                {
                    "message": {"content": "a"},
                    "logprobs": {"content": [{"token": "a", "logprob": -1, "bytes": 10**10}]},
                }
            ]
        }
    ).encode(),
    "model": b'{"num_hidden_layers": 99999999999, "padding": {"strategy": {"Fixed": 99999999999}}}',
    "results": DEEP,
    "manifest": DEEP,
    "headers": b"9" * 10**6,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_little_time_and_memory(name: str, tmp_path: Path) -> None:
    def work() -> None:
        before = most_memory()
        signal.alarm(int(SLOWEST) * 4)  # the machine may be busy
        read(name, BOMBS[name], tmp_path)
        assert most_memory() - before < MOST_MEMORY

    assert in_a_child(work) == 0
