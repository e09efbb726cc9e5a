"""One registry for everything a user can name: objectives, combiners, refiners, relabellers, tasks, topics and so on.

Built-in names map to `module:attribute` and are imported when first asked for, so that listing names costs nothing.
Third parties add theirs with the `register` decorator or with an entry point in the group `outgrow.<kind>`.
Registered things are frozen dataclasses, whose fields are the parameters a user may set, or functions, whose
keyword-only arguments are.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, TypeVar, get_type_hints

from outgrow.errors import ConfigError, UnknownNameError, did_you_mean

T = TypeVar("T", bound=Callable[..., Any])

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
        "raven": "outgrow.objectives.raven:Raven",
    },
    "token_objective": {
        "cross_entropy": "outgrow.objectives.token_methods:TokenCrossEntropy",
        "evidential": "outgrow.objectives.token_methods:TokenEvidential",
        "bayesian": "outgrow.objectives.token_methods:TokenBayesian",
    },
    "preference": {
        "dpo": "outgrow.objectives.preference:DPO",
        "cdpo": "outgrow.objectives.preference:ConservativeDPO",
        "kto": "outgrow.objectives.preference:KTO",
    },
    "combiner": {
        "mean": "outgrow.combine.mean:Mean",
        "majority": "outgrow.combine.majority:Majority",
        "dawid_skene": "outgrow.combine.dawid_skene:DawidSkene",
        "dependence": "outgrow.combine.dependence:Dependence",
        "joint_decoding": "outgrow.combine.joint_decoding:JointDecoding",
    },
    "refiner": {
        "icl": "outgrow.refine.icl:ICL",
        "infer_and_respond": "outgrow.refine.infer_and_respond:InferAndRespond",
        "infer_and_demonstrate": "outgrow.refine.infer_and_respond:InferAndDemonstrate",
        "ask_to_improve": "outgrow.refine.ask_to_improve:AskToImprove",
    },
    "relabeller": {
        "neighbours": "outgrow.refine.neighbours:Neighbours",
        "linear": "outgrow.refine.linear:Linear",
        "icl": "outgrow.refine.choice_icl:ChoiceICL",
    },
    "metric": {
        "exact_match": "outgrow.evaluate.text_metrics:ExactMatch",
        "token_f1": "outgrow.evaluate.text_metrics:TokenF1",
        "rouge_l": "outgrow.evaluate.text_metrics:RougeL",
        "chrf": "outgrow.evaluate.text_metrics:ChrF",
        "final_answer": "outgrow.evaluate.final_answers:FinalAnswer",
    },
    "features": {"tfidf": "outgrow.models.features:Tfidf"},
    "task": {
        "file": "outgrow.tasks.files:FileTask",
        "sciq": "outgrow.tasks.presets:SciQ",
        "sentiment": "outgrow.tasks.presets:Sentiment",
        "facts": "outgrow.tasks.presets:Facts",
        "slurp": "outgrow.tasks.slots:Slurp",
        "snips": "outgrow.tasks.slots:Snips",
        "home": "outgrow.tasks.slots:Home",
        "persona": "outgrow.tasks.judged:Persona",
        "explanation": "outgrow.tasks.judged:Explanation",
        "gsm8k": "outgrow.tasks.judged:GSM8K",
    },
    "adapter": {
        "none": "outgrow.models.adapters:FullFineTuning",
        "lora": "outgrow.models.adapters:LoRA",
        "probe": "outgrow.models.adapters:Probe",
    },
    "topic": {
        "hmm": "outgrow.theory.topics.hmm:HmmTopic",
        "hmm_transformer": "outgrow.theory.topics.hmm_transformer:HmmTransformerTopic",
        "regression": "outgrow.theory.topics.regression:RegressionTopic",
        "decay": "outgrow.theory.topics.decay:DecayTopic",
        "hull": "outgrow.theory.topics.hull:HullTopic",
        "deconvolution": "outgrow.theory.topics.deconvolution:DeconvolutionTopic",
        "phase": "outgrow.theory.topics.phase:PhaseTopic",
        "transformer": "outgrow.theory.topics.transformer:TransformerTopic",
    },
    "labelling_function": {},  # the user's own
}
_REGISTERED: dict[str, dict[str, Callable[..., Any]]] = {kind: {} for kind in _BUILT_IN}


def register(kind: str, name: str) -> Callable[[T], T]:
    """Decorator: makes a frozen dataclass or a function available under `name` in experiment files.

    Args:
        kind: One of `objective`, `token_objective`, `preference`, `combiner`, `refiner`, `relabeller`, `metric`,
            `features`, `task`, `adapter`, `topic`, `labelling_function`.
        name: The name a YAML file uses.

    Example:
        >>> import dataclasses
        >>> @register("objective", "my_loss")
        ... @dataclasses.dataclass(frozen=True)
        ... class MyLoss:
        ...     strength: float = 1.0
        >>> create("objective", "my_loss", {"strength": 2.0})
        MyLoss(strength=2.0)
        >>> @register("labelling_function", "long_text")
        ... def long_text(prompt, *, words: int = 100):
        ...     return "long" if len(prompt.split()) > words else None
        >>> create("labelling_function", "long_text", {"words": 2})("one two three")
        'long'
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


def lookup(kind: str, name: str) -> Callable[..., Any]:
    """The class or function behind a name.

    Raises:
        UnknownNameError: Nothing of that name is registered; the message offers the nearest one.
    """
    registered: dict[str, Callable[..., Any]] = _kind(kind, _REGISTERED)
    if name in registered:
        return registered[name]
    if name in _BUILT_IN[kind]:
        module, _, attribute = _BUILT_IN[kind][name].partition(":")
        found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
        return found
    for point in entry_points(group=f"outgrow.{kind}"):
        if point.name == name:
            loaded: Callable[..., Any] = point.load()
            return loaded
    raise UnknownNameError(f"There is no {kind} named {name!r}.", fix=did_you_mean(name, names(kind)))


def create(kind: str, name: str, params: Mapping[str, Any]) -> Any:
    """Builds the object behind a name, or binds the function, with the parameters a user gave.

    Raises:
        UnknownNameError: The name is not registered.
        ConfigError: A parameter does not exist, is missing, or is refused by the object itself.
    """
    thing = lookup(kind, name)
    allowed = _parameters(thing)
    for key in params:
        if key not in allowed:
            advice = did_you_mean(key, allowed) if allowed else "it takes no parameters"
            raise ConfigError(f"The {kind} {name!r} has no parameter {key!r}.", fix=advice)
    try:
        typed = _typed(thing, params)
        if isinstance(thing, type):
            return thing(**typed)
        missing = [name for name, needed in allowed.items() if needed and name not in typed]
        if missing:
            raise ValueError(f"{', '.join(missing)} must be given")
        return functools.partial(thing, **typed)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"The {kind} {name!r} refuses its parameters: {error}", found=dict(params)) from error


def _parameters(thing: Callable[..., Any]) -> dict[str, bool]:
    """The parameters a user may set, and whether they must be."""
    if dataclasses.is_dataclass(thing):
        return {field.name: False for field in dataclasses.fields(thing) if field.init}  # its constructor asks for them
    arguments = inspect.signature(thing).parameters.values()
    own = [argument for argument in arguments if argument.kind is inspect.Parameter.KEYWORD_ONLY]
    return {argument.name: argument.default is inspect.Parameter.empty for argument in own}


def _typed(thing: Callable[..., Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as the types that the fields are annotated with: a list becomes a tuple, `2.0` an int.

    Raises:
        ValueError: A value has no such form.
    """
    from pydantic import TypeAdapter, ValidationError

    kinds = get_type_hints(thing)
    typed = {}
    for key, value in params.items():
        try:
            typed[key] = TypeAdapter(kinds.get(key, Any)).validate_python(value)
        except ValidationError as error:
            said = dict.fromkeys(f"{key}: {problem['msg']}" for problem in error.errors())
            raise ValueError("; ".join(said)) from error
    return typed


def _kind(kind: str, table: dict[str, Any]) -> Any:
    if kind not in table:
        raise UnknownNameError(f"There is no kind of extension named {kind!r}.", fix=did_you_mean(kind, table))
    return table[kind]
