"""The supervisors of a text task: they write weak texts, and say what they think of given ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

from outgrow.combine.texts import gold_targets
from outgrow.config import ExperimentConfig, ModelSupervisor, Named, ServerSupervisor
from outgrow.errors import ConfigError
from outgrow.labels import Rows, TextLabels
from outgrow.models.loading import short_name
from outgrow.models.protocols import GenerateOptions
from outgrow.pipeline.writing import score, write
from outgrow.supervisors.gold import training_rows
from outgrow.supervisors.respondents import LocalRespondent, Respondent, ServedRespondent, server_model
from outgrow.templates import fill
from outgrow.train.text import text_learner
from outgrow.workspace import Workspace

_CROSS_ENTROPY = Named(name="cross_entropy")


@dataclass(frozen=True)
class TextSupervisors:
    """All supervisors of a text task, in the order of the experiment file."""

    config: ExperimentConfig
    """The experiment."""
    rows: Rows
    """All rows of the task."""
    workspace: Workspace
    """Store and reporter."""
    _read: dict[tuple[int, str], TextLabels] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """What they are called."""
        return tuple(_name(each) for each in self.models)

    def check(self, options: GenerateOptions) -> None:
        """Refuses what cannot work before anything is computed.

        Args:
            options: How they will write.

        Raises:
            ConfigError: A supervisor is no language model or has a wrong setting, or two share a name.
        """
        for each in self.config.supervisors:
            if isinstance(each, ServerSupervisor):
                server_model(each, self.workspace.store).check(options)
            elif isinstance(each, ModelSupervisor):
                text_learner(each, each.train or {})
            else:
                raise ConfigError(
                    f"A supervisor of the text task {self.config.task.name} must be a model.",
                    found=", ".join(each.model_fields_set),
                    wanted="model: a causal language model, or server: the URL of one",
                )
        repeated = sorted({name for name in self.names if self.names.count(name) > 1})
        if repeated:
            raise ConfigError("Supervisors share a name.", found=", ".join(repeated), fix="Give each a `name`.")

    def check_judging(self) -> None:
        """Checks that all of them can say what they think of a given text.

        Raises:
            ConfigError: One is behind a server.
        """
        if any(isinstance(each, ServerSupervisor) for each in self.models):
            raise ConfigError(
                "Joint decoding, estimated weights and `prefer` ask every supervisor what it thinks of given texts; "
                "servers do not tell.",
                fix="Use `combine: mean` with given weights and without `prefer`, or models that run here.",
            )

    def labels(self, rows: Rows, options: GenerateOptions, seed: int) -> TextLabels:
        """What every supervisor writes for the rows of one part; kept, so that the same is not read twice."""
        key = (seed, rows.parts[0])
        if key not in self._read:
            written = [self._written(each, rows, options, seed) for each in self.models]
            self._read[key] = TextLabels.stack(written)
        return self._read[key]

    def judge(self, rows: Rows, candidates: Sequence[Sequence[str]], seed: int) -> TextLabels:
        """What every supervisor thinks of the candidates of each row, which begin with a space; see `check_judging`."""
        prompts = asked(self.config, rows)
        judged = [
            score(self._local(each, seed), rows.ids, prompts, candidates, self.workspace)
            for each in self.models
            if isinstance(each, ModelSupervisor)
        ]
        return TextLabels.stack(judged)

    @property
    def models(self) -> list[ModelSupervisor | ServerSupervisor]:
        """Their sections of the experiment file."""
        return [each for each in self.config.supervisors if isinstance(each, ModelSupervisor | ServerSupervisor)]

    def _written(
        self, supervisor: ModelSupervisor | ServerSupervisor, rows: Rows, options: GenerateOptions, seed: int
    ) -> TextLabels:
        """What one supervisor writes."""
        return write(self.respondent(supervisor, seed), rows.ids, asked(self.config, rows), options, self.workspace)

    def respondent(self, supervisor: ModelSupervisor | ServerSupervisor, seed: int) -> Respondent:
        """The model of one of them, after its training if it is trained."""
        if isinstance(supervisor, ServerSupervisor):
            return ServedRespondent(supervisor, "supervisor")
        return self._local(supervisor, seed)

    def _local(self, supervisor: ModelSupervisor, seed: int) -> LocalRespondent:
        return LocalRespondent(self._model(supervisor, seed), _name(supervisor), supervisor.batch_size)

    def _model(self, supervisor: ModelSupervisor, seed: int) -> str:
        """The supervisor's model folder or hub id, after its training if it is trained."""
        if supervisor.train is None:
            return supervisor.model
        name = _name(supervisor)
        gold = training_rows(self.rows, supervisor.rows, seed=seed, name=name)
        learner = text_learner(supervisor, supervisor.train)
        targets = gold_targets(gold, asked(self.config, gold))
        step = f"train {name}, seed {seed}"
        trained = learner.train(targets, _CROSS_ENTROPY, self.workspace, seed=seed, name=step)
        return str(trained.path / "model")


def asked(config: ExperimentConfig, rows: Rows) -> list[str]:
    """The rows' prompts as models see them."""
    return [fill(config.generate.template, {"prompt": prompt}) for prompt in rows.prompts]


def answering(config: ExperimentConfig) -> GenerateOptions:
    """How test rows are answered, and rows are labelled again: greedily, all models alike."""
    generate = config.generate
    return GenerateOptions(max_new_tokens=generate.max_new_tokens, stop=generate.stop, too_long="empty")


def labelling(config: ExperimentConfig, seed: int) -> GenerateOptions:
    """How supervisors write the texts that are learned from."""
    generate = config.generate
    return dataclasses.replace(
        answering(config),
        n=generate.n_best,
        beams=generate.beams,
        temperature=generate.temperature,
        seed=seed if generate.temperature else 0,
    )


def _name(supervisor: ModelSupervisor | ServerSupervisor) -> str:
    return supervisor.name or short_name(supervisor.model)
