"""What an experiment file may say of those who judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from outgrow.config.base import Choice, Frozen, Named
from outgrow.config.server import ServerSupervisor


class Trained(Frozen):
    """Settings of supervisors that learn from the gold part."""

    name: str | None = None
    """A name for tables; by default derived from the model."""
    rows: int | None = Field(default=None, gt=0)
    """How many gold rows it is trained on, drawn anew for every seed; by default all."""


class FeaturesSupervisor(Trained):
    """A scikit-learn text pipeline, trained on the gold part: `{features: tfidf}`."""

    features: Choice
    """The pipeline's name and parameters."""


class ModelSupervisor(Trained):
    """A transformers model; with `train` it is first trained on the gold part."""

    model: str
    """A folder or a hub id."""
    train: dict[str, Any] | None = None
    """TrainingArguments for training it on the gold part; `{}` trains with the defaults, null does not train."""
    adapter: Choice = Named(name="none")
    """What is trained: `none` (all weights), `lora` or `probe`."""
    max_length: int | None = Field(default=None, gt=0)
    """Cut prompts to this many tokens; by default a prompt that is too long is an error."""
    batch_size: int = Field(default=32, gt=0)
    """Rows at once when labelling."""
    early_stopping: int | None = Field(default=None, gt=0)
    """Patience in epochs on a held-out tenth of its training rows; null trains to the end."""


class VotesSupervisor(Frozen):
    """Votes made elsewhere: people, rules, another system."""

    votes: str
    """A jsonl, csv, tsv or parquet file."""
    task: str = "task"
    """The column that says which row a vote is about."""
    key: Literal["id", "prompt"] = "id"
    """What that column holds: row ids or prompts."""
    worker: str = "worker"
    """Long tables: the column with the voter's name; every voter is one supervisor."""
    label: str = "label"
    """Long tables: the column with the choice's name or index; empty or `-1` (unless a choice has that name) is an
    abstention."""
    answers: str | dict[str, str] | None = None
    """Wide tables of choices: a pattern such as `pred.*` (the star is the supervisor's name), or name → column. Fields
    of nested objects are columns with dotted names."""
    abstain: tuple[str, ...] = ()
    """Further labels that are abstentions, such as `[invalid]`."""
    probabilities: str | dict[str, str | tuple[str, ...]] | None = None
    """Wide tables: a pattern such as `p_true_*` (the star is the supervisor's name), or name → column(s). One column is
    the probability of the last of two choices; several are those of all choices."""
    name: str | None = None
    """A prefix for the supervisors' names."""

    @model_validator(mode="after")
    def _one_shape(self) -> VotesSupervisor:
        if self.answers is not None and self.probabilities is not None:
            raise ValueError("a wide table holds answers or probabilities, not both")
        return self


class Rule(Frozen):
    """A regular expression and what it says of a prompt it is found in."""

    pattern: str
    """A regular expression as the package `regex` reads it (that of Python's `re`, and more), found anywhere in the
    prompt; `(?i)` in front ignores case."""
    label: str | int | bool
    """The choice's name or index; `-1` (unless a choice has that name) withholds the vote."""
    name: str | None = None
    """With `decide: each`: the supervisor's name; by default that of the rules, and its number."""


class RulesSupervisor(Frozen):
    """Regular expressions: `{rules: [{pattern: "(?i)great", label: positive}], name: words}`."""

    rules: tuple[Rule, ...] = Field(min_length=1)
    """The rules, in order. A prompt in which none is found gets no vote."""
    decide: Literal["first", "vote", "each"] = "first"
    """Where several rules are found: the `first` in the list decides, or every one has a `vote` and the probabilities
    are shares of votes; or `each` rule is a supervisor of its own, so that combiners find out which are right."""
    flags: tuple[Literal["ascii", "dotall", "ignorecase", "multiline", "verbose"], ...] = ()
    """Flags of all patterns."""
    timeout: float = Field(default=1.0, gt=0)
    """Seconds that the search for one pattern in one prompt may take; a pattern that takes longer is an error."""
    name: str = "rules"
    """A name for tables."""

    @model_validator(mode="after")
    def _patterns_compile(self) -> RulesSupervisor:
        self.compiled()
        return self

    def compiled(self) -> tuple[Any, ...]:
        """The patterns, ready to search with.

        Raises:
            ValueError: One is no regular expression.
        """
        import regex

        flags = 0
        for flag in self.flags:
            flags |= getattr(regex, flag.upper())
        patterns = []
        for index, rule in enumerate(self.rules):
            try:
                patterns.append(regex.compile(rule.pattern, flags))
            except regex.error as error:
                raise ValueError(f"the pattern of rule {index}, {rule.pattern!r}, does not compile: {error}") from error
        return tuple(patterns)


class FunctionSupervisor(BaseModel):
    """A registered labelling function; further keys are its parameters: `{function: long_words, threshold: 7}`."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    function: str
    """The name it was registered under, by a plug-in or with `outgrow.register("labelling_function", …)`."""
    name: str | None = None
    """A name for tables; by default the function's."""

    @property
    def params(self) -> dict[str, Any]:
        """Everything but `function` and `name`."""
        return dict(self.model_extra or {})


_SUPERVISOR_KINDS = {key: key for key in ("server", "function", "features", "model", "votes")} | {"rules": "rule set"}


def _supervisor_kind(value: object) -> str | None:
    given = value if isinstance(value, Mapping) else getattr(value, "__dict__", {})
    return next((kind for key, kind in _SUPERVISOR_KINDS.items() if key in given), None)


SupervisorConfig = Annotated[
    Annotated[FeaturesSupervisor, Tag("features")]
    | Annotated[ModelSupervisor, Tag("model")]
    | Annotated[ServerSupervisor, Tag("server")]
    | Annotated[VotesSupervisor, Tag("votes")]
    | Annotated[RulesSupervisor, Tag("rule set")]
    | Annotated[FunctionSupervisor, Tag("function")],
    Discriminator(
        _supervisor_kind,
        custom_error_type="supervisor",
        custom_error_message="a supervisor has one of the keys 'model', 'server', 'features', 'votes', 'rules' or "
        "'function'",
    ),
]
