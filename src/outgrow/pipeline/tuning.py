"""Students that the provider of a served strong model trains, kept in the store by the names of their models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from outgrow.config import FineTune, ServerStrong
from outgrow.models.server import Cost, Limits, Tuning, Usage, fine_tune
from outgrow.models.server.usage import guess_tokens
from outgrow.models.specs import ServerModel
from outgrow.pipeline.exporting import write_messages
from outgrow.run import Run
from outgrow.store import content_hash, read_json, write_json


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
            write_messages(list(lines), training)
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
