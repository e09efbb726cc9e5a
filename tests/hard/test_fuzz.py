"""Readers given bytes and structures at random end in a value or in an error of ours, soon, in little memory."""

from __future__ import annotations

import gzip
import json
import resource
import signal
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hard.readers import READERS, read
from hard.small_runs import in_a_child

SLOWEST, MOST_MEMORY = 5.0, 500 * 2**20
"""Seconds and bytes that reading may take."""
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


@pytest.mark.parametrize("name", READERS)
def test_any_bytes_are_read_or_refused(name: str, tmp_path: Path) -> None:
    @settings(max_examples=30, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(mutated(SOURCES))
    def check(data: bytes) -> None:
        started = time.perf_counter()
        read(name, data, tmp_path)
        assert time.perf_counter() - started < SLOWEST

    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_any_bytes_are_read_or_refused_for_ten_minutes_in_all(name: str, tmp_path: Path) -> None:
    end = time.monotonic() + 600 / len(READERS)

    @settings(max_examples=200, suppress_health_check=list(HealthCheck), database=None)
    @given(mutated(SOURCES))
    def check(data: bytes) -> None:
        read(name, data, tmp_path)

    while time.monotonic() < end:
        check()


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
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        signal.alarm(int(SLOWEST) * 4)  # the machine may be busy
        read(name, BOMBS[name], tmp_path)
        assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MOST_MEMORY

    assert in_a_child(work) == 0
