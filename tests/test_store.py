from __future__ import annotations

import errno
import os
import random
import threading
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow import store as store_module
from outgrow.errors import StoreError
from outgrow.store import (
    Store,
    content_hash,
    read_json,
    read_table,
    replacing,
    table_hash,
    translate_os_errors,
    write_json,
    write_table,
    write_text,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def number(folder: Path) -> None:
    write_json(folder / "number.json", 42)


def shuffled(value: object, chance: random.Random) -> object:
    """The same JSON value with the keys of every mapping in another order."""
    if isinstance(value, dict):
        items = list(value.items())
        chance.shuffle(items)
        return {key: shuffled(inner, chance) for key, inner in items}
    return [shuffled(inner, chance) for inner in value] if isinstance(value, list) else value


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5), st.randoms(use_true_random=False))
def test_a_recipe_has_one_key_whatever_the_order_of_its_keys(recipe: dict[str, object], chance: random.Random) -> None:
    assert content_hash(recipe) == content_hash(shuffled(recipe, chance))


def test_recipes_that_differ_have_different_keys(store: Store) -> None:
    recipes = [{"a": 1}, {"a": 2}, {"b": 1}, {"a": [1]}, {"a": "1"}, {}]
    assert len({store.get("n", recipe, number).key for recipe in recipes}) == len(recipes)


def test_an_artefact_is_made_once(store: Store) -> None:
    calls = []

    def make(folder: Path) -> None:
        calls.append(folder)
        number(folder)

    first = store.get("n", {"a": 1, "b": 2}, make)
    again = Store(store.root).get("n", {"b": 2, "a": 1}, make)
    assert len(calls) == 1
    assert (first.key, first.path) == (again.key, again.path)


def test_a_store_knows_what_it_made_and_what_it_used(store: Store) -> None:
    artefact = store.get("n", {}, number)
    other = Store(store.root)
    other.get("n", {}, number)
    assert store.made == [artefact]
    assert other.made == []
    assert list(other.used) == [f"n/{artefact.key}"]


def test_the_time_of_what_was_made_on_the_way_is_not_counted_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 2.0, 9.0, 10.0])  # outer starts, inner starts, inner ends, outer ends
    monkeypatch.setattr(store_module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    outer = store.get("outer", {}, lambda folder: store.get("inner", {}, lambda inner: None))
    assert {made.kind: made.seconds for made in store.made} == {"inner": 7.0, "outer": 3.0}
    assert outer.seconds == 3.0


def test_an_exception_leaves_no_manifest_and_the_next_attempt_finds_the_shards(store: Store) -> None:
    def fail(folder: Path) -> None:
        write_json(folder / "part-0.json", 0)
        raise RuntimeError("stopped half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        store.get("n", {}, fail)
    assert not list(store.root.rglob("manifest.json"))
    seen = []
    store.get("n", {}, lambda folder: seen.extend(path.name for path in folder.iterdir()))
    assert seen == ["part-0.json"]


def test_temporary_files_of_a_killed_run_are_swept_away(store: Store) -> None:
    def killed(folder: Path) -> None:
        (folder / ".number.json.123.tmp").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.get("n", {}, killed)
    store.get("n", {}, number)
    assert not list(store.root.rglob("*.tmp"))


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("4")])
def test_a_damaged_artefact_is_reported_with_what_to_delete(store: Store, damage: object) -> None:
    made = store.get("n", {}, number)
    damage(made.path / "number.json")
    with pytest.raises(StoreError, match=r"damaged: number.json(.|\n)*Delete the folder"):
        Store(store.root).get("n", {}, number)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"files": 3}'])
def test_a_damaged_manifest_is_reported(store: Store, text: str) -> None:
    made = store.get("n", {}, number)
    (made.path / "manifest.json").write_text(text)
    with pytest.raises(StoreError, match="damaged"):
        store.get("n", {}, number)


def test_a_damaged_table_is_reported_even_if_its_size_is_right(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    write_table(path, pa.table({"a": list(range(5000))}))
    content = bytearray(path.read_bytes())
    content[10:2000] = bytes(len(content[10:2000]))
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged"):
        read_table(path)


def test_one_thread_waits_for_the_other_and_finds_its_work(store: Store) -> None:
    entered, release, waited, calls = threading.Event(), threading.Event(), [], []

    def slow(folder: Path) -> None:
        entered.set()
        release.wait(20)
        calls.append(1)
        number(folder)

    def on_wait(message: str) -> None:
        waited.append(message)
        release.set()

    first = threading.Thread(target=lambda: store.get("n", {}, slow))
    first.start()
    entered.wait(20)
    Store(store.root).get("n", {}, slow, on_wait=on_wait)
    first.join()
    assert len(calls) == 1
    assert "waiting" in waited[0]


def test_the_default_store_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTGROW_STORE", str(tmp_path / "mine"))
    assert Store.default().root == tmp_path / "mine"
    monkeypatch.delenv("OUTGROW_STORE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert Store.default().root == tmp_path / "cache/outgrow/store"


@given(st.lists(st.integers(0, 99), min_size=1, max_size=20), st.integers(1, 5))
def test_a_table_has_one_hash_however_it_is_chunked(values: list[int], size: int) -> None:
    whole = pa.table({"a": values})
    pieces = pa.concat_tables([whole.slice(start, size) for start in range(0, len(values), size)])
    assert table_hash(pieces) == table_hash(whole)
    assert table_hash(pa.table({"a": [*values, 0]})) != table_hash(whole)


@given(value=JSON)
def test_json_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, value)
    assert read_json(path) == value


def test_a_number_json_lacks_is_refused_rather_than_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", float("nan"))
    assert not list(tmp_path.iterdir())


def test_a_file_is_whole_or_as_it_was_before(tmp_path: Path) -> None:
    write_text(tmp_path / "x", "old")

    def fail() -> None:
        with replacing(tmp_path / "x") as temporary:
            temporary.write_text("half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (tmp_path / "x").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EDQUOT, "quota"),
        (errno.EACCES, "write permission"),
        (errno.EROFS, "read-only"),
    ],
)
def test_trouble_of_the_disk_is_said_with_a_way_out(tmp_path: Path, code: int, said: str) -> None:
    with pytest.raises(StoreError, match=said), translate_os_errors(tmp_path):
        raise OSError(code, os.strerror(code), str(tmp_path / "x"))


def test_trouble_that_is_not_of_the_disk_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ConnectionRefusedError), translate_os_errors(tmp_path):
        raise OSError(errno.ECONNREFUSED, "refused")


def test_a_file_where_the_store_should_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(StoreError, match="A file lies where a folder should be"):
        Store(tmp_path / "store").get("n", {}, number)


def test_a_full_disk_leaves_neither_manifest_nor_temporary_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(table: pa.Table, where: Path, **options: object) -> None:
        where.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store_module.pq, "write_table", write)
    with pytest.raises(StoreError, match=r"No space left on device(.|\n)*Free some space"):
        store.get("n", {}, lambda folder: write_table(folder / "t.parquet", pa.table({"a": [1]})))
    assert not list(store.root.rglob("manifest.json"))
    assert not list(store.root.rglob("*.tmp"))
    assert not list(store.root.rglob("t.parquet"))


@pytest.mark.parametrize(
    "error",
    [
        Exception("Error while serializing: I/O error: No space left on device (os error 28)"),  # safetensors
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),  # torch.save
    ],
)
def test_a_full_disk_is_recognised_in_the_words_of_other_libraries(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(folder: Path) -> None:
        raise error

    monkeypatch.setattr(store_module.shutil, "disk_usage", lambda path: SimpleNamespace(free=4096))
    with pytest.raises(StoreError, match=r"No space left on device(.|\n)*Free some space"):
        store.get("n", {}, fail)


def test_an_error_of_torch_is_not_taken_for_a_full_disk_while_there_is_room(store: Store) -> None:
    def fail(folder: Path) -> None:
        raise RuntimeError("inline_container: file not found")

    with pytest.raises(RuntimeError, match="file not found"):
        store.get("n", {}, fail)
