"""One registry for everything a user can name: objectives, combiners, refiners, relabellers, tasks, topics.

Built-in names map to `module:attribute` and are imported when first asked for, so that listing names costs nothing.
Third parties add theirs with the `register` decorator or with an entry point in the group `outgrow.<kind>`.
Registered things are frozen dataclasses (their fields are the parameters a user may set) or classes like them.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, TypeVar, get_type_hints

from outgrow.errors import ConfigError, UnknownNameError, did_you_mean

T = TypeVar("T", bound=type)

_BUILT_IN: dict[str, dict[str, str]] = {
    "objective": {
        "cross_entropy": "outgrow.objectives.cross_entropy:CrossEntropy",
        "confidence": "outgrow.objectives.confidence:Confidence",
        "evidential": "outgrow.objectives.evidential:Evidential",
        "bayesian": "outgrow.objectives.bayesian:Bayesian",
        "dirichlet_multinomial": "outgrow.objectives.dirichlet_multinomial:DirichletMultinomial",
        "gce": "outgrow.objectives.robust:GCE",
        "product": "outgrow.objectives.robust:Product",
        "bootstrap": "outgrow.objectives.robust:Bootstrap",
        "confidence_window": "outgrow.objectives.robust:ConfidenceWindow",
    },
    "combiner": {
        "mean": "outgrow.combine.mean:Mean",
        "majority": "outgrow.combine.majority:Majority",
        "dawid_skene": "outgrow.combine.dawid_skene:DawidSkene",
        "dependence": "outgrow.combine.dependence:Dependence",
    },
    "refiner": {"icl": "outgrow.refine.icl:ICL"},
    "relabeller": {
        "neighbours": "outgrow.refine.neighbours:Neighbours",
        "linear": "outgrow.refine.linear:Linear",
    },
    "features": {"tfidf": "outgrow.models.features:Tfidf"},
    "task": {
        "file": "outgrow.tasks.files:FileTask",
        "sciq": "outgrow.tasks.sciq:SciQ",
        "sentiment": "outgrow.tasks.sentiment:Sentiment",
        "facts": "outgrow.tasks.facts:Facts",
    },
    "adapter": {
        "none": "outgrow.models.adapters:FullFineTuning",
        "lora": "outgrow.models.adapters:LoRA",
        "probe": "outgrow.models.adapters:Probe",
    },
    "topic": {
        "regression": "outgrow.theory.topics.regression:RegressionTopic",
    },
}
_REGISTERED: dict[str, dict[str, type]] = {kind: {} for kind in _BUILT_IN}


def register(kind: str, name: str) -> Callable[[T], T]:
    """Class decorator: makes a frozen dataclass available under `name` in experiment files.

    Args:
        kind: One of `objective`, `combiner`, `refiner`, `relabeller`, `features`, `task`, `adapter`, `topic`.
        name: The name a YAML file uses.

    Example:
        >>> import dataclasses
        >>> @register("objective", "my_loss")
        ... @dataclasses.dataclass(frozen=True)
        ... class MyLoss:
        ...     strength: float = 1.0
        >>> create("objective", "my_loss", {"strength": 2.0})
        MyLoss(strength=2.0)
    """
    known = _kind(kind, _REGISTERED)

    def add(thing: T) -> T:
        known[name] = thing
        return thing

    return add


def names(kind: str) -> list[str]:
    """All names of a kind, sorted; imports nothing."""
    plugins = {point.name for point in entry_points(group=f"outgrow.{kind}")}
    return sorted({*_kind(kind, _BUILT_IN), *_REGISTERED[kind], *plugins})


def lookup(kind: str, name: str) -> type:
    """The class behind a name.

    Raises:
        UnknownNameError: Nothing of that name is registered; the message offers the nearest one.
    """
    registered: dict[str, type] = _kind(kind, _REGISTERED)
    if name in registered:
        return registered[name]
    if name in _BUILT_IN[kind]:
        module, _, attribute = _BUILT_IN[kind][name].partition(":")
        found: type = getattr(importlib.import_module(module), attribute)
        return found
    for point in entry_points(group=f"outgrow.{kind}"):
        if point.name == name:
            loaded: type = point.load()
            return loaded
    raise UnknownNameError(f"There is no {kind} named {name!r}.", fix=did_you_mean(name, names(kind)))


def create(kind: str, name: str, params: Mapping[str, Any]) -> Any:
    """Builds the object behind a name with the parameters a user gave.

    Raises:
        UnknownNameError: The name is not registered.
        ConfigError: A parameter does not exist, is missing, or is refused by the object itself.
    """
    thing = lookup(kind, name)
    allowed = [field.name for field in dataclasses.fields(thing) if field.init]
    for key in params:
        if key not in allowed:
            advice = did_you_mean(key, allowed) if allowed else "it takes no parameters"
            raise ConfigError(f"The {kind} {name!r} has no parameter {key!r}.", fix=advice)
    try:
        return thing(**_typed(thing, params))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"The {kind} {name!r} refuses its parameters: {error}", found=dict(params)) from error


def _typed(thing: type, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as the types that the fields are annotated with: a list becomes a tuple, `2.0` an int.

    Raises:
        ValueError: A value has no such form.
    """
    from pydantic import TypeAdapter, ValidationError

    kinds = get_type_hints(thing)
    typed = {}
    for key, value in params.items():
        try:
            typed[key] = TypeAdapter(kinds[key]).validate_python(value)
        except ValidationError as error:
            said = dict.fromkeys(f"{key}: {problem['msg']}" for problem in error.errors())
            raise ValueError("; ".join(said)) from error
    return typed


def _kind(kind: str, table: dict[str, Any]) -> Any:
    if kind not in table:
        raise UnknownNameError(f"There is no kind of extension named {kind!r}.", fix=did_you_mean(kind, table))
    return table[kind]
