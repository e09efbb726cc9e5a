from __future__ import annotations

import dataclasses
import functools
import inspect
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from outgrow import registry
from outgrow.errors import ConfigError, UnknownNameError
from outgrow.registry import create, lookup, names, register


@dataclasses.dataclass(frozen=True)
class Loudness:
    """A thing with parameters, to be registered."""

    level: float = 1.0
    steps: int = 3
    weights: dict[str, float] | None = None

    def __post_init__(self) -> None:
        if self.level < 0:
            raise ValueError("silence is the least")

    def __call__(self, logits: object, targets: object, context: object) -> object:
        """No loss."""


@pytest.fixture
def loudness() -> Iterator[None]:
    register("objective", "loudness")(Loudness)
    yield
    del registry._REGISTERED["objective"]["loudness"]


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, own in registry.BUILT_IN.items() for name in own])
def test_every_built_in_name_can_be_looked_up(kind: str, name: str) -> None:
    assert name in names(kind)
    found = lookup(kind, name)
    assert inspect.isclass(found) or inspect.isfunction(found)


@pytest.mark.usefixtures("loudness")
def test_a_registered_name_is_found_and_listed() -> None:
    assert lookup("objective", "loudness") is Loudness
    assert "loudness" in names("objective")


@pytest.mark.parametrize("thing", [functools.partial(max, 1.0), Loudness()], ids=["partial", "instance"])
def test_what_is_neither_a_class_nor_a_function_is_refused(thing: Any) -> None:
    with pytest.raises(ConfigError, match="neither a class nor a function"):
        register("metric", "larger")(thing)


@pytest.mark.usefixtures("loudness")
def test_parameters_arrive_at_the_object() -> None:
    assert repr(create("objective", "loudness", {"level": 2.0})) == repr(Loudness(level=2.0))


def test_what_a_class_lacks_comes_from_the_protocol_and_its_fields_stay() -> None:
    @register("objective", "windowed")
    @dataclasses.dataclass(frozen=True)
    class Windowed:
        window: int

        def __call__(self, logits: object, targets: object, context: object) -> object:
            """No loss."""

    try:
        made = create("objective", "windowed", {"window": 7})
        assert (made.window, made.takes_votes) == (7, False)
        assert made == Windowed(7)
    finally:
        del registry._REGISTERED["objective"]["windowed"]


def test_an_entry_point_is_found_and_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("theirs", f"{__name__}:Loudness", "outgrow.objective")
    monkeypatch.setattr(registry, "_installed", lambda kind, path: [point] if kind == "objective" else [])
    assert lookup("objective", "theirs") is Loudness
    assert "theirs" in names("objective")
    assert "theirs" not in names("combiner")


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"no objective named 'confidense'(.|\n)*did you mean 'confidence'"):
        lookup("objective", "confidense")


def test_an_unknown_kind_offers_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'objective'"):
        lookup("objectives", "confidence")


@pytest.mark.usefixtures("loudness")
def test_an_unknown_parameter_offers_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no parameter 'levle'(.|\n)*did you mean 'level'"):
        create("objective", "loudness", {"levle": 1})


def test_a_thing_without_parameters_says_so() -> None:
    with pytest.raises(ConfigError, match="it takes no parameters"):
        create("objective", "cross_entropy", {"gamma": 1})


@pytest.mark.usefixtures("loudness")
@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"level": -1.0}, "silence is the least"),
        ({"level": "loud"}, "level: Input should be a valid number"),
        ({"steps": 2.5}, "steps: Input should be a valid integer"),
        ({"weights": {"a": "much"}}, "weights: Input should be a valid number"),
        ({"weights": [1, 2]}, "weights: Input should be a valid dictionary"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_in_words(params: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        create("objective", "loudness", params)
    assert "The objective 'loudness' refuses its parameters" in str(refused.value)
    assert said in str(refused.value)


def test_listing_names_imports_nothing_heavy() -> None:
    code = "import sys; from outgrow.registry import names; names('objective'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
