"""The supervisors of a text task: they write weak texts, and say what they think of given ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from outgrow.config import ExperimentConfig, ModelSupervisor, Named, ServerSupervisor
from outgrow.errors import ConfigError
from outgrow.labels import Rows, TextLabels
from outgrow.models.loading import short_name
from outgrow.models.protocols import GenerateOptions
from outgrow.pipeline.served import ask, estimate
from outgrow.pipeline.text_targets import gold_targets
from outgrow.pipeline.writing import score, write
from outgrow.supervisors.gold import training_rows
from outgrow.supervisors.server import server_model
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
    note: Callable[[str], None]
    """Told what a reader should know."""
    _read: dict[tuple[int, str], TextLabels] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """What they are called."""
        return tuple(_name(each) for each in self._all)

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
        if any(isinstance(each, ServerSupervisor) for each in self._all):
            raise ConfigError(
                "Joint decoding, estimated weights and `prefer` ask every supervisor what it thinks of given texts; "
                "servers do not tell.",
                fix="Use `combine: mean` with given weights and without `prefer`, or models that run here.",
            )

    def labels(self, rows: Rows, options: GenerateOptions, seed: int) -> TextLabels:
        """What every supervisor writes for the rows of one part; kept, so that the same is not read twice."""
        key = (seed, rows.parts[0])
        if key not in self._read:
            written = [self._written(each, rows, options, seed) for each in self._all]
            self._read[key] = TextLabels.stack(written)
        return self._read[key]

    def judge(self, rows: Rows, candidates: Sequence[Sequence[str]], seed: int) -> TextLabels:
        """What every supervisor thinks of the candidates of each row, which begin with a space; see `check_judging`."""
        prompts = asked(self.config, rows)
        judged = [
            score(
                self._model(each, seed),
                rows.ids,
                prompts,
                candidates,
                self.workspace,
                name=_name(each),
                batch_size=each.batch_size,
            )
            for each in self._all
            if isinstance(each, ModelSupervisor)
        ]
        return TextLabels.stack(judged)

    def estimate(self, jobs: Mapping[GenerateOptions, Sequence[str]]) -> list[str]:
        """What asking the servers among them would cost, a line for each; nothing is sent.

        Args:
            jobs: The prompts that are asked, by how they are answered.
        """
        return [estimate(each, jobs, self.workspace.store) for each in self._all if isinstance(each, ServerSupervisor)]

    @property
    def _all(self) -> list[ModelSupervisor | ServerSupervisor]:
        return [each for each in self.config.supervisors if isinstance(each, ModelSupervisor | ServerSupervisor)]

    def _written(
        self, supervisor: ModelSupervisor | ServerSupervisor, rows: Rows, options: GenerateOptions, seed: int
    ) -> TextLabels:
        """What one supervisor writes."""
        prompts = asked(self.config, rows)
        if isinstance(supervisor, ServerSupervisor):
            about = f"the {rows.parts[0]} part"
            labels, notes = ask(supervisor, rows.ids, prompts, options, self.workspace, about=about)
            for note in notes:
                self.note(note)
            return labels
        model, name = self._model(supervisor, seed), _name(supervisor)
        batch = supervisor.batch_size
        return write(model, rows.ids, prompts, options, self.workspace, name=name, batch_size=batch)

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


def _name(supervisor: ModelSupervisor | ServerSupervisor) -> str:
    return supervisor.name or short_name(supervisor.model)
