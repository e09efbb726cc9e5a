"""The schema of an experiment file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from outgrow import bounds
from outgrow.config.base import Frozen, weights_of
from outgrow.config.judge import Judges
from outgrow.config.methods import Method, Strong, StrongModel
from outgrow.config.scale import Scale
from outgrow.config.secrets import without_credentials
from outgrow.config.server import Served, ServerStrong
from outgrow.config.supervisors import SupervisorSection
from outgrow.config.task import TaskConfig
from outgrow.errors import ConfigError, did_you_mean


class Generate(Frozen):
    """How texts are generated (text tasks)."""

    template: str | None = None
    """The prompt of a model, in training and in generation. By default `"Question: {prompt}\\nAnswer:"`, behind which
    the answer follows after a space; and the row's prompt alone for a model that is asked through a chat template."""
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


class ExperimentConfig(Frozen):
    """A whole experiment."""

    name: str = "experiment"
    """A name for the report; by default the file's name."""
    task: TaskConfig
    """Rows and metrics."""
    supervisors: tuple[SupervisorSection, ...] = Field(min_length=1)
    """Label the unlabelled rows."""
    strong: StrongModel
    """The strong model."""
    methods: dict[str, Method] = Field(default={"naive": Method()}, min_length=1)
    """Ways to train it, by name."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Training seeds; `3` stands for 0, 1, 2."""
    trainer: dict[str, Any] = Field(default={})
    """Passed through to transformers' TrainingArguments for the student (not used by `adapter: probe`)."""
    generate: Generate = Generate()
    """How texts are generated (text tasks)."""
    judge: Judges = ()
    """Judges that rate the answers (`persona`, `explanation`, `gsm8k`); their mean counts."""
    ceiling: bool = True
    """Whether to train the ceiling: the strong model on gold labels of the unlabelled part."""
    gold_only: bool | None = None
    """Whether to train the strong model on the gold part alone as well (choice tasks); by default where that is cheap,
    with `adapter: probe`."""
    scale: Scale = Scale()
    """Where the models run that label, score and embed rows."""
    store: str | None = None
    """Folder for artefacts that experiments share; by default OUTGROW_STORE or the user's cache folder."""
    output: str | None = None
    """Folder for this experiment's results; by default outgrow-runs/<name>."""

    @field_validator("name")
    @classmethod
    def _stays_in_its_folder(cls, value: str) -> str:
        if ".." in Path(value).parts or Path(value).is_absolute() or not value.isprintable():
            raise ValueError("a name is the name of a folder in outgrow-runs; set `output` to write elsewhere")
        return value

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_of_seeds(cls, value: object) -> object:
        if isinstance(value, int) and not isinstance(value, bool):
            if value > bounds.SEEDS.most:
                raise ValueError(str(bounds.SEEDS))
            return tuple(range(value))
        return value

    @field_validator("seeds")
    @classmethod
    def _distinct_seeds(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError("at least one seed, each once")
        if len(value) > bounds.SEEDS.most or min(value) < 0 or max(value) > bounds.SEED.most:
            raise ValueError(f"seeds are whole numbers from 0: {bounds.SEED}; {bounds.SEEDS}")
        return value

    @model_validator(mode="after")
    def _servers_told_apart(self) -> ExperimentConfig:
        places: dict[tuple[str, str | None], str] = {}
        for each in (*self.supervisors, *self.judge, self.strong):
            if not isinstance(each, Served):
                continue
            if places.setdefault((each.model, each.revision), each.server) != each.server:
                raise ValueError(
                    f"two servers have a model {each.model!r}, and answers are kept under model and revision: "
                    "give each a `revision` of its own"
                )
        return self

    @model_validator(mode="after")
    def _tuned_by_a_method(self) -> ExperimentConfig:
        named = self.strong.tuned if isinstance(self.strong, ServerStrong) else {}
        for name, models in named.items():
            if name not in {*self.methods, "ceiling"}:
                raise ValueError(f"strong.tuned.{name}: there is no such method; {did_you_mean(name, self.methods)}")
            if len(models) > len(self.seeds):
                raise ValueError(f"strong.tuned.{name}: {len(models)} models, and only {len(self.seeds)} seeds")
        return self

    @property
    def trained(self) -> Strong:
        """The strong model that is trained here.

        Raises:
            ConfigError: It is behind a server, or a registered model.
        """
        if isinstance(self.strong, Strong):
            weights_of(self.strong.model)
            return self.strong
        raise ConfigError(
            "The strong model is behind a server, so it is not trained here.",
            found=f"strong.server: {without_credentials(self.strong.server)}",
            fix="Take a strong model that runs here.",
        )

    @property
    def uses_gold(self) -> bool:
        """Whether anything asks for the gold part; `gold_only` and the base do without, unless they are set."""
        supervised = any(getattr(each, "uses_gold", True) for each in self.supervisors)
        proportions = any(way.proportions in ("gold", "estimated") for way in self.methods.values())
        return supervised or proportions or self.gold_only is True

    @property
    def trains_on_gold(self) -> bool:
        """Whether `gold_only`, with its default, asks for a model trained on the gold part."""
        if self.gold_only is None:
            return isinstance(self.strong, Strong) and self.strong.adapter.name == "probe"
        return self.gold_only

    @model_validator(mode="after")
    def _reserved_names(self) -> ExperimentConfig:
        taken = {"base", "ceiling", "gold only"} & set(self.methods)
        if taken:
            raise ValueError(f"a method cannot be named {taken.pop()!r}: the table uses that name itself")
        return self
