"""What an experiment file may say: frozen pydantic models, each field with its meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from outgrow.config.judge import Judges
from outgrow.config.server import ServerSupervisor


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Named(BaseModel):
    """A thing chosen by name, with its parameters: `icl`, or `{name: icl, demonstrations: 4}`."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    name: str
    """The registered name."""

    @property
    def params(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


Choice = Annotated[Named, BeforeValidator(_named, json_schema_input_type=str | Named)]


def _several(value: object) -> object:
    return value if value is None or isinstance(value, list | tuple) else (value,)


class Columns(_Frozen):
    """Which columns of a data file mean what."""

    prompt: str = "text"
    """The text to judge or to answer; not used where `task.template` is given."""
    gold: str | None = "label"
    """The right answer; null where there is none."""
    id: str | None = None
    """A unique name per row; by default rows are numbered."""
    part: str | None = None
    """A column that says `gold`, `validation`, `unlabelled` or `test`; without it `task.split` decides."""


class VotesTable(_Frozen):
    """A table with votes made elsewhere, named only to know which rows it covers."""

    path: str
    """A jsonl, csv, tsv or parquet file."""
    task: str = "task"
    """Its column that says which row a vote is about."""
    key: Literal["id", "prompt"] = "id"
    """What that column holds: row ids or prompts."""


class Split(_Frozen):
    """How rows are dealt to the parts. Shares below 1 are fractions, whole numbers are counts."""

    gold: int | float = 0.4
    """Rows that train the supervisors."""
    unlabelled: int | float = 0.4
    """Rows that the supervisors label and the student learns from."""
    test: int | float = 0.2
    """Rows that nobody trains on."""
    validation: int | float = 0
    """Gold rows that nobody trains on either and the supervisors vote on: combiners learn from them whom to believe
    (`weights: calibrated`, gold anchors, temperatures)."""
    group: str | None = None
    """A column whose equal values stay in one part, such as the question of several answers."""
    seed: int = 0
    """Seed of the shuffle; the same for every training seed, so that all are compared on the same test rows."""
    voted: VotesTable | None = None
    """Votes made elsewhere: only rows they cover become unlabelled or test rows, and the groups of these stay out of
    the gold part."""

    @field_validator("gold", "unlabelled", "test", "validation")
    @classmethod
    def _positive(cls, value: float) -> float:
        if value < 0 or (value > 1 and value != int(value)):
            raise ValueError("a part is a fraction from 0 to 1 or a whole number of rows")
        return value


class RubricConfig(_Frozen):
    """Other words or another scale for what a judge is asked; what is left out stays as the task has it."""

    template: str = ""
    """The prompt, with the places {question}, {answer}, {concept}, {gold}, {reference}, {low} and {high}."""
    low: int = 1
    """The worst rating."""
    high: int = 10
    """The best rating."""


class TaskConfig(_Frozen):
    """What is to be learned, and from which rows."""

    name: str = "file"
    """A built-in task (`sciq`, `sentiment`, `facts`, `slurp`, `snips`, `home`, `persona`, `explanation`, `gsm8k`), a
    plug-in, or `file` for any table."""
    path: str
    """A jsonl, csv, tsv or parquet file (may be gzipped), a folder, or a hub data set id."""
    columns: Columns = Columns()
    """Which columns mean what (for `name: file`)."""
    template: str | None = None
    """The prompt from several columns: `"Q: {question} A: {answer}"`."""
    choices: tuple[str, ...] | Literal["auto"] | None = None
    """Names of the K answers; `auto` takes the distinct gold values in sorted order; null makes a text task."""
    metric: (
        Annotated[tuple[Choice, ...], BeforeValidator(_several, json_schema_input_type=Choice | tuple[Choice, ...])]
        | None
    ) = None
    """How texts are scored (for `name: file` without choices); the first of several is the headline. By default
    `exact_match`."""
    concept: str | None = None
    """What answers should be like, in words for a judge: the persona of `persona`, the technique of `explanation`."""
    rubrics: dict[str, RubricConfig] = {}
    """Other words or scales for a judge, by metric (for `persona`, `explanation` and `gsm8k`)."""
    split: Split = Split()
    """How rows are dealt to the gold, unlabelled, test and, if wanted, validation parts."""
    limit: int | None = Field(default=None, gt=0)
    """Use only this many rows, taken at random with the split's seed."""


class _Trained(_Frozen):
    name: str | None = None
    """A name for tables; by default derived from the model."""
    rows: int | None = Field(default=None, gt=0)
    """How many gold rows it is trained on, drawn anew for every seed; by default all."""


class FeaturesSupervisor(_Trained):
    """A scikit-learn text pipeline, trained on the gold part: `{features: tfidf}`."""

    features: Choice
    """The pipeline's name and parameters."""


class ModelSupervisor(_Trained):
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


class VotesSupervisor(_Frozen):
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


class Rule(_Frozen):
    """A regular expression and what it says of a prompt it is found in."""

    pattern: str
    """A regular expression as the package `regex` reads it (that of Python's `re`, and more), found anywhere in the
    prompt; `(?i)` in front ignores case."""
    label: str | int | bool
    """The choice's name or index; `-1` (unless a choice has that name) withholds the vote."""
    name: str | None = None
    """With `decide: each`: the supervisor's name; by default that of the rules, and its number."""


class RulesSupervisor(_Frozen):
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


class Strong(_Frozen):
    """The model that is to outgrow its supervisors."""

    model: str
    """A folder or a hub id."""
    adapter: Choice = Named(name="none")
    """What is trained: `none` (all weights), `lora` (extra `peft`) or `probe` (a head on frozen, cached features)."""
    max_length: int | None = Field(default=None, gt=0)
    """Cut prompts to this many tokens; by default a prompt that is too long is an error."""
    batch_size: int = Field(default=32, gt=0)
    """Rows at once when predicting, embedding or generating."""
    early_stopping: int | None = Field(default=None, gt=0)
    """Patience in epochs on a held-out tenth of the (weakly labelled) training rows; null trains to the end."""


class Intermediate(Strong):
    """A model between the supervisors and the strong one."""

    early_stopping: int | None = Field(default=None, gt=0)
    """Patience in epochs on a held-out tenth of the rows it learns from; null trains to the end."""
    trainer: dict[str, Any] | None = None
    """TrainingArguments for it; by default those of the experiment."""
    folds: int | None = Field(default=None, ge=2)
    """Cross-fitting: each of so many folds is labelled by a model trained on the others; null trains one for all."""


class Pretune(_Frozen):
    """Language modelling on the unlabelled prompts, before the strong model learns the task."""

    mask: float = Field(default=0.15, gt=0, lt=1)
    """Share of a text's tokens that encoders have to fill in; decoders predict every next token."""
    trainer: dict[str, Any] = {}
    """Passed through to transformers' TrainingArguments; one epoch by default."""


class Filter(_Frozen):
    """Only the rows that the supervisors are surest of: `0.5`, or `{keep: 0.5, per_class: true}`."""

    keep: float = Field(gt=0, le=1)
    """The share of rows that remains."""
    per_class: bool = False
    """Keep this share of the rows of every likeliest choice, so that no choice is crowded out."""


class Prefer(Named):
    """Preference training on a student's own samples: `cdpo`, or `{name: cdpo, epsilon: ensemble, candidates: 10}`.

    What is not listed here is a parameter of the objective.
    """

    name: str
    """`dpo`, `cdpo` (pairs may be the wrong way round) or `kto`."""
    candidates: int = Field(default=10, gt=0)
    """Texts that the supervised student writes for each unlabelled row; equal ones are kept once."""
    temperature: float = Field(default=1.0, ge=0)
    """Of sampling them; 0 searches for the most probable ones with as many beams."""
    weights: dict[str, float] | Literal["uniform", "estimated"] = "uniform"
    """How much each supervisor's score of a candidate counts."""
    scale: Literal["standardise", "none"] = "standardise"
    """Whether the supervisors' scores (mean token log-probabilities) are brought to one spread before they are
    averaged; `none` averages them as they are (Cui et al. 2025)."""
    pairs: Literal["extremes", "all"] = "extremes"
    """The best candidate of a row against its worst, or every two of which one is better."""
    margin: float = Field(default=0.0, ge=0)
    """Two candidates make a pair only if their mean scores differ by more."""
    trainer: dict[str, Any] = {}
    """Passed through to transformers' TrainingArguments; one epoch at a learning rate of 5e-6 by default."""


def _share(value: object) -> object:
    return {"keep": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


class Method(_Frozen):
    """A choice at each door between labels and student; everything left out is the naive method."""

    calibrate: bool = False
    """Fit a temperature to every supervisor's votes on the validation part first (choice tasks)."""
    combine: Choice = Named(name="mean")
    """How several supervisors become one target (choice tasks)."""
    proportions: Literal["gold", "estimated"] | dict[str, float] | None = None
    """Class proportions that the combined targets should have in the mean (choice tasks): those of the `gold` part,
    those `estimated` from the targets if only the proportions have changed since then, or a share per choice."""
    pretune: Pretune | None = None
    """Let the strong model first go on with language modelling on the unlabelled prompts (choice tasks)."""
    filter: Annotated[Filter, BeforeValidator(_share, json_schema_input_type=float | Filter)] | None = None
    """Train on the surest share of the combined targets only (choice tasks)."""
    refine: Choice | None = None
    """How the strong model relabels the unlabelled rows itself before it is trained."""
    chain: tuple[Intermediate, ...] = ()
    """Intermediate models: each learns the labels of the one before and relabels all unlabelled rows for the next; the
    last does so for the strong model (choice tasks)."""
    objective: Choice = Named(name="cross_entropy")
    """What the student minimises, and every intermediate model."""
    prefer: Annotated[Prefer, BeforeValidator(_named, json_schema_input_type=str | Prefer)] | None = None
    """Let the trained student learn once more, from which of its own samples the supervisors prefer (text tasks)."""


class Generate(_Frozen):
    """How texts are generated (text tasks)."""

    template: str = "Question: {prompt}\nAnswer:"
    """How a row's prompt is put to a model, in training and in generation; the answer follows after a space."""
    max_new_tokens: int = Field(default=64, gt=0)
    """Most tokens of an answer."""
    stop: tuple[str, ...] = ()
    """Strings that end an answer."""
    n_best: int = Field(default=1, gt=0)
    """Texts a supervisor writes for each unlabelled row; the best is its label, the others are candidates for
    `combine: joint_decoding`. More than one needs as many beams, or a temperature. Test rows are answered greedily."""
    beams: int = Field(default=1, gt=0)
    """Beams of the search for a supervisor's texts; 1 decodes greedily or samples."""
    temperature: float = Field(default=0.0, ge=0)
    """Above 0 a supervisor's texts are sampled."""


class ExperimentConfig(_Frozen):
    """A whole experiment."""

    name: str = "experiment"
    """A name for the report; by default the file's name."""
    task: TaskConfig
    """What is to be learned, and from which rows."""
    supervisors: tuple[SupervisorConfig, ...] = Field(min_length=1)
    """Who judges the unlabelled rows."""
    strong: Strong
    """The model that is to outgrow them."""
    methods: dict[str, Method] = Field(default={"naive": Method()}, min_length=1)
    """Ways to train it, by name."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Training seeds; `3` stands for 0, 1, 2."""
    trainer: dict[str, Any] = {}
    """Passed through to transformers' TrainingArguments for the student (not used by `adapter: probe`)."""
    generate: Generate = Generate()
    """How texts are generated (text tasks)."""
    judge: Judges = ()
    """Who rates the answers (`persona`, `explanation`, `gsm8k`); of several judges the mean counts."""
    ceiling: bool = True
    """Whether to train the ceiling: the strong model on gold labels of the unlabelled part."""
    store: str | None = None
    """Folder for artefacts that experiments share; by default OUTGROW_STORE or the user's cache folder."""
    output: str | None = None
    """Folder for this experiment's results; by default outgrow-runs/<name>."""

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_of_seeds(cls, value: object) -> object:
        return tuple(range(value)) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("seeds")
    @classmethod
    def _distinct_seeds(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError("at least one seed, each once")
        return value

    @model_validator(mode="after")
    def _servers_told_apart(self) -> ExperimentConfig:
        places: dict[tuple[str, str | None], str] = {}
        for each in self.supervisors:
            if not isinstance(each, ServerSupervisor):
                continue
            if places.setdefault((each.model, each.revision), each.server) != each.server:
                raise ValueError(
                    f"two servers have a model {each.model!r}, and answers are kept under model and revision: "
                    "give each a `revision` of its own"
                )
        return self

    @model_validator(mode="after")
    def _reserved_names(self) -> ExperimentConfig:
        taken = {"base", "ceiling"} & set(self.methods)
        if taken:
            raise ValueError(f"a method cannot be named {taken.pop()!r}: the table uses that name itself")
        return self
