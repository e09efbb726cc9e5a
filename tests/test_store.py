from __future__ import annotations

import errno
import json
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow import files
from outgrow import store as store_module
from outgrow.errors import StoreError
from outgrow.files import read_json, read_table, replacing, translate_os_errors, write_json, write_table, write_text
from outgrow.store import Artefact, Store, content_hash, table_hash

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


def flip(path: Path, place: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def afresh(store: Store) -> Store:
    """The store as another process sees it."""
    store_module._whole.clear()
    return Store(store.root)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("4"), flip])
def test_a_damaged_artefact_is_said_set_aside_and_made_again(store: Store, damage: Callable[[Path], object]) -> None:
    made, said = store.get("n", {}, number), []
    whole = (made.path / "number.json").read_bytes()
    damage(made.path / "number.json")
    again = afresh(store).get("n", {}, number, say=said.append)
    assert (again.path / "number.json").read_bytes() == whole
    assert made.path.with_name(f"{made.key}.damaged").is_dir()
    assert "number.json is not what its manifest says. It was set aside as" in said[0]


LONG = "é" * 200  # too long for the name of a file, in bytes


@pytest.mark.parametrize(
    "text",
    [
        *["{", "[]", "{}", '{"files": 3}', "[" * 100_000, '{"files": {"number.json": "x"}, "seconds": 1}'],
        json.dumps({"files": {LONG: 1}, "seconds": 1}),
        json.dumps({"files": {}, "seconds": 10**400}),
        json.dumps({"files": {}, "sha256": {LONG: "0"}, "seconds": 1}),
    ],
)
def test_an_artefact_with_a_damaged_manifest_is_made_again(store: Store, text: str) -> None:
    made, said = store.get("n", {}, number), []
    (made.path / "manifest.json").write_text(text)
    assert read_json(store.get("n", {}, number, say=said.append).path / "manifest.json")["kind"] == "n"
    assert "is damaged" in said[0]


def test_any_flipped_bit_of_an_artefact_is_noticed(store: Store) -> None:
    made = store.get("n", {}, lambda folder: write_table(folder / "t.parquet", pa.table({"a": [1.0, 2.0]})))
    for path in (made.path / "t.parquet", made.path / "manifest.json"):
        for place in range(0, path.stat().st_size, 7):
            flip(path, place)
            assert afresh(store).find("n", {}) is None
            flip(path, place)
    assert afresh(store).find("n", {}) is not None


def test_an_artefact_is_hashed_once_in_a_process(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.get("n", {}, number)
    read = []
    monkeypatch.setattr(store_module, "first_damage", lambda folder, sums: read.append(folder))
    for _ in range(3):
        Store(store.root).get("n", {}, number)
    assert len(read) == 1


def test_an_artefact_of_an_older_version_without_hashes_is_found(store: Store) -> None:
    made = store.get("n", {}, number)
    about = read_json(made.path / "manifest.json")
    write_json(made.path / "manifest.json", {name: about[name] for name in ("files", "seconds")})
    assert afresh(store).find("n", {}) is not None


def test_a_damaged_artefact_that_is_asked_for_by_name_is_an_error(store: Store) -> None:
    made = store.get("n", {}, number)
    flip(made.path / "number.json")
    with pytest.raises(StoreError, match=r"number\.json is not what its manifest says"):
        afresh(store).named(f"n/{made.key}")


def test_a_finished_store_on_read_only_media_can_be_used(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.get("n", {}, number)

    def refuse(*unused: object, **ignored: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for name in ("mkdir", "write_text", "touch", "replace"):
        monkeypatch.setattr(Path, name, refuse)
    monkeypatch.setattr(store_module.FileLock, "acquire", refuse)
    again = Store(store.root)
    with again.in_use():
        assert read_json(again.get("n", {}, number).path / "number.json")
        with pytest.raises(StoreError, match="read-only"):
            again.get("n", {"other": 1}, number)
    again.remember(store.root / "output")


def test_files_of_an_artefact_are_on_the_disk_before_its_manifest(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = []
    monkeypatch.setattr(files, "sync_file", lambda path: order.append(path.name))
    monkeypatch.setattr(store_module, "sync_folder", lambda path: order.append("all files"))
    made = store.get("n", {}, number)
    assert order[0] == "all files"
    assert order[1].startswith(".manifest.json")
    assert order[2:] == [made.key]


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
    Store(store.root).get("n", {}, slow, say=on_wait)
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

    monkeypatch.setattr(files.pq, "write_table", write)
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
        RuntimeError("basic_ios::clear: iostream error"),  # torch.save too
    ],
)
def test_a_full_disk_is_recognised_in_the_words_of_other_libraries(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(folder: Path) -> None:
        raise error

    monkeypatch.setattr(files.shutil, "disk_usage", lambda path: SimpleNamespace(free=4096))
    with pytest.raises(StoreError, match=r"No space left on device(.|\n)*Free some space"):
        store.get("n", {}, fail)


def test_an_error_of_torch_is_not_taken_for_a_full_disk_while_there_is_room(store: Store) -> None:
    def fail(folder: Path) -> None:
        raise RuntimeError("inline_container: file not found")

    with pytest.raises(RuntimeError, match="file not found"):
        store.get("n", {}, fail)


def test_what_an_artefact_was_made_from_counts_as_used_where_it_is_found(tmp_path: Path) -> None:
    def use(store: Store) -> dict[str, Artefact]:
        inner = {"part": 1}

        def make(folder: Path) -> None:
            store.get("inner", inner, lambda own: write_json(own / "n.json", 1))
            write_json(folder / "n.json", 2)

        store.get("outer", {"whole": 1}, make)
        return store.used

    made, found = use(Store(tmp_path)), use(Store(tmp_path))
    assert [*sorted(made)] == [*sorted(found)]
    assert len(found) == 2
