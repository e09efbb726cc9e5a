"""Keys of the store: what makes another one, and what does not."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from outgrow import registry
from outgrow.identity import NOT_HASHED, identity, not_hashed
from outgrow.registry import create, load_plugin
from outgrow.store import content_hash

FUNCTION = """
from outgrow import register

@register("objective", "mine")
def mine(logits, targets, context=None, *, k: int = 3):
    return k * logits.sum(-1)
"""
DATACLASS = """
import dataclasses
from outgrow import register

@register("objective", "mine")
@dataclasses.dataclass(frozen=True)
class Mine:
    k: int = 3

    def __call__(self, logits, targets, context=None):
        return self.k * logits.sum(-1)
"""


@pytest.fixture(autouse=True)
def _nothing_stays_registered() -> Iterator[None]:
    before = {kind: dict(own) for kind, own in registry._REGISTERED.items()}
    yield
    registry._REGISTERED.update(before)


def key_of(folder: Path, source: str, **params: Any) -> str:
    """The key of the objective `mine` of a plug-in file with this source."""
    path = folder / "a plug-in.py"
    path.write_text(source)
    load_plugin(str(path))
    return content_hash(identity(create("objective", "mine", params)))


@pytest.mark.parametrize("source", [FUNCTION, DATACLASS], ids=["function", "dataclass"])
def test_a_parameter_makes_another_key_and_its_default_the_same(tmp_path: Path, source: str) -> None:
    plain = key_of(tmp_path, source)
    assert key_of(tmp_path, source, k=3) == plain
    assert key_of(tmp_path, source, k=5) != plain


@pytest.mark.parametrize("source", [FUNCTION, DATACLASS], ids=["function", "dataclass"])
def test_another_source_makes_another_key_and_the_old_one_the_old(tmp_path: Path, source: str) -> None:
    before = key_of(tmp_path, source)
    assert key_of(tmp_path, source.replace("sum", "mean")) != before
    assert key_of(tmp_path, source) == before


def test_a_helper_beside_the_function_counts(tmp_path: Path) -> None:
    helped = FUNCTION.replace("k * logits.sum(-1)", "helper(logits)") + "\ndef helper(logits):\n    return {}\n"
    assert key_of(tmp_path, helped.format("logits.sum(-1)")) != key_of(tmp_path, helped.format("logits.mean(-1)"))


def test_a_package_counts_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def key(body: str) -> str:
        package = tmp_path / "some_package"
        package.mkdir(exist_ok=True)
        (package / "__init__.py").write_text(FUNCTION.replace("k * logits.sum(-1)", "helper(logits)"))
        (package / "helpers.py").write_text(f"def helper(logits):\n    return {body}\n")
        for name in [name for name in sys.modules if name.startswith("some_package")]:
            monkeypatch.delitem(sys.modules, name)
        load_plugin("some_package")
        return content_hash(identity(create("objective", "mine", {})))

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert key("logits.sum(-1)") != key("logits.mean(-1)")


def test_a_local_module_that_a_plug_in_imports_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    keys = []
    for number in (1, 2):
        (tmp_path / "beside.py").write_text(f"NUMBER = {number}\ndef helper(x):\n    return x\n")
        monkeypatch.delitem(sys.modules, "beside", raising=False)
        keys.append(key_of(tmp_path, "from beside import helper\n" + FUNCTION))
    assert keys[0] != keys[1]


def closing_over(value: Any) -> Callable[..., Any]:
    def loss(logits: Any, targets: Any) -> Any:
        return value

    return loss


def test_what_a_function_closes_over_counts() -> None:
    assert identity(closing_over(1)) != identity(closing_over(2))
    assert identity(closing_over(closing_over(1))) != identity(closing_over(closing_over(2)))
    assert identity(closing_over((1, {"a": 2.0}))) == identity(closing_over([1, {"a": 2.0}]))


def test_what_cannot_be_hashed_is_said_to_be_so() -> None:
    about = identity(closing_over(object()))
    assert about["revision"] == NOT_HASHED
    assert not_hashed({"a": [{"objective": about}]}) == [about["name"]]


def test_a_function_that_calls_itself_has_an_identity() -> None:
    def outer(start: int) -> Callable[[int], int]:
        def loop(n: int) -> int:
            return loop(n - 1) if n else start

        return loop

    assert identity(outer(1)) == identity(outer(1)) != identity(outer(2))


def test_code_without_a_source_cannot_be_hashed() -> None:
    space: dict[str, Any] = {"__name__": "nowhere"}
    exec("def f(x):\n    return x\n", space)
    assert identity(space["f"])["revision"] == NOT_HASHED


def test_the_revision_of_a_built_in_is_in_its_line_of_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    before = identity(create("objective", "gce", {}))
    assert before["revision"] == 1
    monkeypatch.setitem(registry.BUILT_IN["objective"], "gce", registry.BUILT_IN["objective"]["gce"] + "@2")
    assert identity(create("objective", "gce", {})) == {**before, "revision": 2}


@dataclasses.dataclass(frozen=True)
class _Inner:
    level: float = 0.5


@dataclasses.dataclass(frozen=True)
class _Outer:
    inner: _Inner = _Inner()


def test_parameters_inside_parameters_count() -> None:
    assert identity(_Outer(_Inner(0.25))) != identity(_Outer(_Inner(0.5)))


def test_a_decorated_function_counts_with_what_it_wraps() -> None:
    def twice(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any) -> Any:
            return 2 * function(*args)

        return wrapper

    assert identity(twice(closing_over(1))) != identity(twice(closing_over(2)))
