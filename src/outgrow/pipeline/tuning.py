"""Students that the provider of a served strong model trains, kept in the store by the names of their models."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from outgrow.config import ExperimentConfig, FineTune, Method, ServerStrong
from outgrow.errors import ConfigError
from outgrow.files import read_json, write_json
from outgrow.labels import TextTargets
from outgrow.models.server import Cost, Limits, NotYetError, Tuning, Usage, fine_tune
from outgrow.models.server.usage import guess_tokens
from outgrow.models.specs import ServerModel
from outgrow.pipeline.exporting import message_lines, write_messages
from outgrow.run import Run
from outgrow.store import content_hash


def check_untrained(name: str, method: Method) -> None:
    """Raise a ConfigError if a method trains a strong model that is not trained here."""
    ways = {
        "prefer": method.prefer is not None,
        "objective": method.objective.name != "cross_entropy",
        "pretune": method.pretune is not None,
    }
    for part, used in ways.items():
        if used:
            raise ConfigError(
                f"methods.{name}: `{part}` is a way to train the strong model, and this one is not trained here: it is "
                "behind a server, or registered by a plug-in.",
                fix=f"Remove `{part}`, or take a strong model that runs here.",
            )


@dataclass(frozen=True)
class TunedModels:
    """The students of a strong model that is not trained here: named by the user, or trained by its provider."""

    config: ExperimentConfig
    """The experiment."""
    targets: Callable[[str, int], TextTargets]
    """What the student of a method, or the `ceiling`, learns with a seed."""
    ceiling: bool
    """Whether there is a ceiling to train."""
    run: Run
    """Store, progress, costs and notes."""
    _messages: dict[tuple[str, int], list[str]] = field(default_factory=dict)

    def __call__(self, method: str, seed: int) -> ServerStrong | None:
        """Return the student of a method, or the `ceiling`; without any a note says how to get one.

        Raises:
            OutgrowError: See `tuned_by_provider`.
        """
        strong, number = self.config.strong, self.config.seeds.index(seed)
        served = strong if isinstance(strong, ServerStrong) else None
        models = served.tuned.get(method, ()) if served else ()
        given, tunes = number < len(models), served is not None and served.fine_tune is not None
        if (given or not tunes) and method != "ceiling" and self.config.methods[method].refine is not None:
            self.targets(method, seed)  # what its provider will train it on, audited here
        if served is None or not (given or tunes):
            if not models:
                self.run.note("student.not_trained_here", who=method, server=served is not None)
            return None
        if given:
            model = models[number]
        else:
            self._start_jobs(served)
            model = self._fine_tuned(served, method, seed)
        return served.model_copy(update={"model": model, "name": None})

    def _start_jobs(self, strong: ServerStrong) -> None:
        """Create the provider's jobs of all students, as far as it takes them, before one is waited for."""
        if self.run.dry:
            return
        for method in [*["ceiling"] * self.ceiling, *self.config.methods]:
            given = len(strong.tuned.get(method, ()))
            for seed in self.config.seeds[given:]:
                with suppress(NotYetError):
                    self._fine_tuned(strong, method, seed, wait=False)

    def _fine_tuned(self, strong: ServerStrong, method: str, seed: int, *, wait: bool = True) -> str:
        assert strong.fine_tune is not None
        key = method, seed
        if key not in self._messages:
            self._messages[key] = message_lines(self.targets(method, seed), strong.system)
        name = f"{method}, seed {seed}"
        return tuned_by_provider(
            strong, strong.fine_tune, self._messages[key], self.run, seed=seed, name=name, wait=wait
        )


def tuned_by_provider(
    strong: ServerStrong, settings: FineTune, lines: Sequence[str], run: Run, *, seed: int, name: str, wait: bool = True
) -> str:
    """Return what the provider calls the strong model after it is fine-tuned; equal messages and seeds share a job.

    Args:
        strong: The served strong model.
        settings: How it is trained.
        lines: Chat messages, a line of JSON for each example.
        run: Store, progress and costs.
        seed: Seed of the training.
        name: The student, for progress.
        wait: Whether to wait for the job, rather than to create it only.

    Raises:
        NotYetError: The job is not done.
        ModelError: See `outgrow.models.server.fine_tune`.
        StoreError: There is no message with a text.
    """
    hyperparameters = {
        "n_epochs": settings.epochs,
        "learning_rate_multiplier": settings.learning_rate_multiplier,
        "batch_size": settings.batch_size,
    }
    chosen = {key: value for key, value in hyperparameters.items() if value is not None}
    about = {"base": strong.model, "revision": strong.revision, "seed": seed, "hyperparameters": chosen}
    recipe = {**about, "messages": content_hash(list(lines))}
    tuning = Tuning(strong.model, content_hash(recipe), chosen, seed)
    server, estimated = ServerModel(strong, "strong model"), settings.epochs * sum(map(_tokens, lines))

    def make(folder: Path) -> None:
        training = folder / "training.jsonl"
        if not training.is_file():
            write_messages(lines, training)
        limits = Limits(strong.concurrency, strong.timeout, strong.retries)
        if not wait:
            tuned = fine_tune(tuning, training, folder, strong.server, limits=limits, hours=0.0)
        else:
            with run.reporter.step(f"fine-tune {name}", total=1) as step:
                tuned = fine_tune(
                    tuning, training, folder, strong.server,
                    limits=limits,
                    hours=settings.hours,
                    on_status=lambda status: run.reporter.note(f"fine-tune {name}: {status}"),
                )  # fmt: skip
                step.advance()
        write_json(folder / "tuned.json", tuned._asdict())

    def blank(folder: Path) -> None:
        run.plan(server).trained[tuning.key] = estimated
        write_json(folder / "tuned.json", {"model": f"{strong.model}, {name}", "trained_tokens": None})

    artefact = run.stage("fine-tuned", recipe, make, blank=blank)
    tuned = read_json(artefact.path / "tuned.json")
    if not run.dry:
        notes = [f"The provider does not say how many tokens it trained {name} on: estimated from their length."]
        usage = Usage(trained_tokens=tuned["trained_tokens"] or estimated)
        cost = Cost(server.who, usage, server.prices, [] if tuned["trained_tokens"] else notes)
        run.costs.enter(f"{artefact.kind}/{artefact.key}", cost)
    return str(tuned["model"])


def _tokens(line: str) -> int:
    return sum(guess_tokens(message["content"]) for message in json.loads(line)["messages"])
