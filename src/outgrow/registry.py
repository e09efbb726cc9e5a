"""One registry for everything an experiment file names: objectives, combiners, refiners, tasks, supervisors and so on.

Built-in names map to `module:attribute` and are imported on first use, so listing names costs nothing. `@2` behind the
attribute is the revision of a built-in: raise it when its numbers change, so that old artefacts are not found again.
Two places in a line are two implementations of one name for different abilities, such as texts and choices.
Third parties add names with the `register` decorator, in a file or module given to `load_plugin` (`--plugin`), or with
an entry point in the group `outgrow.<kind>`. A registered thing is a frozen dataclass, whose fields are the parameters
a user may set, or a function, whose keyword-only arguments are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import importlib.util
import inspect
import sys
import zlib
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_type_hints

from outgrow.errors import ConfigError, OutgrowError, UnknownNameError, did_you_mean
from outgrow.sources import NotHashedError, revision_of

T = TypeVar("T", bound=Callable[..., Any])


class Kind(NamedTuple):
    """What every thing of a kind must be able to do."""

    abilities: tuple[str, ...] = ("__call__",)
    """Methods of which it has at least one. A registered function stands for the first."""
    protocol: str | None = None
    """`module:class` whose members a thing gets where it has none of its own."""


KINDS: dict[str, Kind] = {
    "objective": Kind(protocol="outgrow.objectives.protocol:Objective"),
    "token_objective": Kind(protocol="outgrow.objectives.protocol:TokenObjective"),
    "preference": Kind(protocol="outgrow.objectives.protocol:PreferenceObjective"),
    "combiner": Kind(("choices", "texts"), "outgrow.combine.combiner:Combiner"),
    "refiner": Kind(("texts", "choices"), "outgrow.refine.refinement:Refiner"),
    "metric": Kind(),
    "features": Kind(("fit",)),
    "task": Kind(("read",), "outgrow.tasks.protocol:Task"),
    "supervisor": Kind(("vote", "write", "score"), "outgrow.supervisors.protocol:Supervisor"),
    "model": Kind(("generate",), "outgrow.models.protocols:LanguageModel"),
    "adapter": Kind(("wrap", "fit"), "outgrow.models.adapters:Adapter"),
    "topic": Kind(),
    "labelling_function": Kind(),
}
_BUILT_IN: dict[str, dict[str, str]] = {
    "objective": {
        "cross_entropy": "outgrow.objectives.cross_entropy:CrossEntropy",
        "confidence": "outgrow.objectives.confidence:Confidence",
        "evidential": "outgrow.objectives.evidential:Evidential",
        "bayesian": "outgrow.objectives.votes:Bayesian",
        "dirichlet_multinomial": "outgrow.objectives.votes:DirichletMultinomial",
        "gce": "outgrow.objectives.robust:GCE",
        "product": "outgrow.objectives.robust:Product",
        "bootstrap": "outgrow.objectives.robust:Bootstrap",
        "confidence_window": "outgrow.objectives.robust:ConfidenceWindow",
        "raven": "outgrow.objectives.votes:Raven",
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
        "majority": "outgrow.combine.mean:Majority",
        "dawid_skene": "outgrow.combine.dawid_skene:DawidSkene",
        "dependence": "outgrow.combine.dependence:Dependence",
        "joint_decoding": "outgrow.combine.joint_decoding:JointDecoding",
    },
    "refiner": {
        "icl": "outgrow.refine.icl:ICL outgrow.refine.choice_icl:ChoiceICL",
        "infer_and_respond": "outgrow.refine.infer_and_respond:InferAndRespond",
        "infer_and_demonstrate": "outgrow.refine.infer_and_respond:InferAndDemonstrate",
        "ask_to_improve": "outgrow.refine.ask_to_improve:AskToImprove",
        "neighbours": "outgrow.refine.neighbours:Neighbours",
        "linear": "outgrow.refine.linear:Linear",
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
        "probe": "outgrow.train.probe:Probe",
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
    "supervisor": {  # by the key that its section of the experiment file has
        "server": "outgrow.supervisors.server:ServerSupervisor",
        "features": "outgrow.supervisors.features:FeaturesSupervisor",
        "model": "outgrow.supervisors.model:ModelSupervisor",
        "votes": "outgrow.supervisors.votes:VotesSupervisor",
        "rules": "outgrow.supervisors.rules:RulesSupervisor",
        "function": "outgrow.supervisors.functions:FunctionSupervisor",
    },
    "model": {},  # a folder, a hub id or a server needs no name
    "labelling_function": {},  # the user's own
}
_REGISTERED: dict[str, dict[str, Callable[..., Any]]] = {kind: {} for kind in KINDS}
_NAMES: dict[Any, tuple[str, str, int | None]] = {}
"""Class or function → kind, name and, for built-ins, revision."""


_PLUGINS: list[str] = []


class Bound:
    """A registered function with the parameters a user gave; called with what the kind passes."""

    def __init__(self, function: Callable[..., Any], params: Mapping[str, Any]) -> None:
        self.function, self.params = function, dict(params)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs, **self.params)

    def __repr__(self) -> str:
        return f"{self.function.__name__}({', '.join(f'{key}={value!r}' for key, value in self.params.items())})"


def register(kind: str, name: str) -> Callable[[T], T]:
    """Make a frozen dataclass or a function available under `name` in experiment files.

    Args:
        kind: One of `KINDS`.
        name: The name in a YAML file.

    Raises:
        ConfigError: It has none of the methods its kind needs, or the name is taken.

    Example:
        >>> import dataclasses
        >>> @register("objective", "my_loss")
        ... @dataclasses.dataclass(frozen=True)
        ... class MyLoss:
        ...     strength: float = 1.0
        ...     def __call__(self, logits, targets, context=None):
        ...         return self.strength * (logits.softmax(-1) - targets).square().sum(-1)
        >>> my_loss = create("objective", "my_loss", {"strength": 2.0})
        >>> my_loss, my_loss.takes_votes
        (MyLoss(strength=2.0), False)
        >>> @register("labelling_function", "long_text")
        ... def long_text(prompt, *, words: int = 100):
        ...     return "long" if len(prompt.split()) > words else None
        >>> create("labelling_function", "long_text", {"words": 2})("one two three")
        'long'
    """
    known = _kind(kind, _REGISTERED)

    def add(thing: T) -> T:
        _check(kind, name, thing)
        taken = _BUILT_IN[kind].get(name) or known.get(name)
        if taken is not None and (isinstance(taken, str) or _place(taken) != _place(thing)):
            raise ConfigError(
                f"There is a {kind} named {name!r} already.",
                found=taken if isinstance(taken, str) else ":".join(_place(taken)),
                fix="Choose another name.",
            )
        known[name] = thing
        _NAMES[thing] = kind, name, None
        return thing

    return add


def load_plugin(where: str) -> None:
    """Import a Python file or module, whose `register` decorators add names.

    Args:
        where: The path of a `.py` file, or the name of an importable module.

    Raises:
        ConfigError: It does not exist or fails while it is imported; nothing of it is registered then.
    """
    before = {kind: dict(own) for kind, own in _REGISTERED.items()}
    try:
        if where.endswith(".py"):
            _load_file(Path(where))
        else:
            sys.path.insert(0, str(Path.cwd()))  # as `python -m` does
            try:
                importlib.import_module(where)
            finally:
                sys.path.remove(str(Path.cwd()))
    except Exception as error:
        for kind, own in before.items():
            _REGISTERED[kind] = own
        if isinstance(error, OutgrowError):
            raise ConfigError(f"The plug-in {where} cannot be loaded. {error}") from error
        if isinstance(error, FileNotFoundError) or (isinstance(error, ModuleNotFoundError) and error.name == where):
            raise ConfigError(
                f"There is no plug-in {where}.", wanted="the path of a .py file, or the name of a module"
            ) from error
        raise ConfigError(
            f"The plug-in {where} cannot be loaded.", found=f"{type(error).__name__}: {error}", fix="Correct the file."
        ) from error
    _PLUGINS.append(where)


def loaded_plugins() -> list[str]:
    """Return the files and modules given to `load_plugin` so far."""
    return list(dict.fromkeys(_PLUGINS))


def names(kind: str) -> list[str]:
    """Return all names of a kind, sorted, without importing anything."""
    plugins = {point.name for point in entry_points(group=f"outgrow.{kind}")}
    return sorted({*_kind(kind, _BUILT_IN), *_REGISTERED[kind], *plugins})


def lookup(kind: str, name: str, ability: str | None = None) -> Callable[..., Any]:
    """Return the class or function behind a name.

    Args:
        kind: One of `KINDS`.
        name: A registered name.
        ability: A method that it should have, where the name has several implementations.

    Raises:
        UnknownNameError: Nothing of that name is registered; the message offers the nearest one.
        ConfigError: A plug-in cannot be imported, or has none of the methods its kind needs.
    """
    registered: dict[str, Callable[..., Any]] = _kind(kind, _REGISTERED)
    if name in registered:
        return registered[name]
    if name in _BUILT_IN[kind]:
        found: list[Callable[..., Any]] = []
        for line in _BUILT_IN[kind][name].split():
            place, _, revision = line.partition("@")
            found.append(_imported(place))
            _NAMES[found[-1]] = kind, name, int(revision or 1)
        return next((one for one in found if ability and _offers(kind, one, ability)), found[0])
    for point in entry_points(group=f"outgrow.{kind}"):
        if point.name == name:
            try:
                loaded: Callable[..., Any] = point.load()
            except Exception as error:
                raise ConfigError(
                    f"The {kind} {name!r} of an installed plug-in cannot be loaded.",
                    found=f"{point.value}, {type(error).__name__}: {error}",
                    fix="Repair or remove that package.",
                ) from error
            _check(kind, name, loaded)
            _NAMES[loaded] = kind, name, None
            return loaded
    raise UnknownNameError(f"There is no {kind} named {name!r}.", fix=did_you_mean(name, names(kind)))


def create(
    kind: str, name: str, params: Mapping[str, Any], ability: str | None = None, *, door: str | None = None
) -> Any:
    """Build the object behind a name, or bind the function, with the parameters a user gave.

    Args:
        kind: One of `KINDS`.
        name: A registered name.
        params: Its parameters.
        ability: A method that it must have.
        door: Where the experiment file names it, such as `methods.naive.combine`, for errors.

    Raises:
        UnknownNameError: The name is not registered.
        ConfigError: It lacks the ability; the message names those of its kind that have it.
        ConfigError: A parameter does not exist, is missing, or is refused by the object itself.
    """
    thing = lookup(kind, name, ability)
    if ability is not None and not _offers(kind, thing, ability):
        raise _unable(kind, name, ability, door)
    if _NAMES[thing][2] is None:
        with contextlib.suppress(NotHashedError):
            revision_of(thing)  # of the code as it is now, not as an editor leaves it while the run goes on
    allowed = parameters(thing)
    for key in params:
        if key not in allowed:
            advice = did_you_mean(key, allowed) if allowed else "it takes no parameters"
            raise ConfigError(f"The {kind} {name!r} has no parameter {key!r}.", fix=advice)
    try:
        typed = _typed(thing, params)
        if isinstance(thing, type):
            return _with_defaults(kind, thing)(**typed)
        missing = [name for name, needed in allowed.items() if needed and name not in typed]
        if missing:
            raise ValueError(f"{', '.join(missing)} must be given")
        return _with_defaults(kind, Bound)(thing, typed)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"The {kind} {name!r} refuses its parameters: {error}", found=dict(params)) from error


def can(thing: object, ability: str) -> bool:
    """Return whether a thing has a method of this name."""
    return callable(getattr(thing, ability, None))


def require(kind: str, name: str, thing: object, ability: str, *, door: str | None = None) -> None:
    """Check that an object has a method; `create` checks registered names.

    Raises:
        ConfigError: It has no such method; the message names those of its kind that have it.
    """
    if not can(thing, ability):
        raise _unable(kind, name, ability, door)


def _unable(kind: str, name: str, ability: str, door: str | None) -> ConfigError:
    others = [other for other in names(kind) if _offers(kind, lookup(kind, other, ability), ability)]
    return ConfigError(
        f"{f'{door}: t' if door else 'T'}he {kind} {name!r} cannot be used {_ABILITIES.get(ability, ability)}.",
        wanted=", ".join(others) or f"a {kind} with a method `{ability}`",
        fix="Name one of these.",
    )


_ABILITIES = {
    "choices": "in a choice task",
    "texts": "in a text task",
    "vote": "in a choice task",
    "write": "in a text task",
    "score": "to score given texts",
    "wrap": "to train a language model",
}


def parameters(thing: Callable[..., Any]) -> dict[str, bool]:
    """Return the parameters a user may set, and whether each must be set."""
    if dataclasses.is_dataclass(thing):
        return {field.name: False for field in dataclasses.fields(thing) if field.init}  # its constructor checks them
    fields = getattr(thing, "model_fields", None)  # a pydantic model
    if fields is not None:
        return {name: field.is_required() for name, field in fields.items()}
    arguments = inspect.signature(thing).parameters.values()
    own = [argument for argument in arguments if argument.kind is inspect.Parameter.KEYWORD_ONLY]
    return {argument.name: argument.default is inspect.Parameter.empty for argument in own}


def registered_as(thing: Any) -> tuple[str, str, int | None] | None:
    """Return kind, name and (for built-ins) revision of a class or function; None if it was never registered."""
    return _NAMES.get(thing)


@functools.cache
def _with_defaults(kind: str, thing: type) -> type:
    """The class itself, or a subclass with those members of its kind's protocol that it lacks."""
    abilities, place = KINDS[kind]
    members: dict[str, Any] = {}
    if place is not None:
        members = {
            name: member
            for name, member in vars(_imported(place)).items()
            if not name.startswith("_")
            and name not in abilities
            and not getattr(member, "__isabstractmethod__", False)
            and not hasattr(thing, name)
            and name not in getattr(thing, "__dataclass_fields__", {})  # a field without a default is no attribute yet
        }
    if thing is Bound and abilities[0] != "__call__":
        members[abilities[0]] = Bound.__call__
    if not members:
        return thing
    about = {"__module__": thing.__module__, "__qualname__": thing.__qualname__, "__doc__": thing.__doc__}
    extended: type = type(thing)(thing.__name__, (thing,), {**members, **about})
    if thing in _NAMES:
        _NAMES[extended] = _NAMES[thing]
    return extended


def _offers(kind: str, thing: Any, ability: str) -> bool:
    """Whether a class has a method, or a function stands for it."""
    if isinstance(thing, type):  # not hasattr: every class can be called
        return any(ability in vars(base) for base in thing.__mro__)
    return ability == KINDS[kind].abilities[0]


def _check(kind: str, name: str, thing: Any) -> None:
    if not callable(thing):
        raise ConfigError(
            f"The {kind} {name!r} is neither a class nor a function.", found=repr(thing), wanted="a frozen dataclass"
        )
    needed = KINDS[kind].abilities
    if not any(_offers(kind, thing, ability) for ability in needed):
        raise ConfigError(
            f"The {kind} {name!r} lacks a method.",
            found=f"{thing.__module__}.{thing.__qualname__} without {' and '.join(needed)}",
            wanted=f"a method {' or '.join(needed)}",
            fix="docs/extending.md has an example of each kind.",
        )


def _load_file(path: Path) -> None:
    name = f"outgrow_plugin_{path.stem}_{zlib.crc32(str(path.resolve()).encode())}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _imported(place: str) -> Any:
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _place(thing: Any) -> tuple[str, str]:
    """File and name of a definition: the same after a reload."""
    module = sys.modules.get(thing.__module__)
    return str(getattr(module, "__file__", None) or thing.__module__), thing.__qualname__


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
