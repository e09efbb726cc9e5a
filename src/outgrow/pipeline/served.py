"""Texts of supervisors behind servers, kept in the store with what they cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from outgrow.config import ServerSupervisor
from outgrow.labels import TextLabels
from outgrow.models.loading import short_name
from outgrow.models.protocols import GenerateOptions
from outgrow.models.server import Estimate
from outgrow.pipeline.writing import best_first
from outgrow.store import Store, content_hash, read_json, read_table, write_json, write_table
from outgrow.supervisors.server import prices, served, server_model
from outgrow.workspace import Workspace


def ask(
    config: ServerSupervisor,
    ids: Sequence[str],
    prompts: Sequence[str],
    options: GenerateOptions,
    workspace: Workspace,
    *,
    about: str,
) -> tuple[TextLabels, list[str]]:
    """What a served model answers, as labels of one supervisor, and what a reader should know of it.

    Args:
        config: Who is asked.
        ids: Row ids, N of them.
        prompts: What the model sees, N of them.
        options: How it generates. Several samples are ordered as `best_first` does, and a text is kept once.
        workspace: Store and reporter.
        about: What the rows are, for the note on what they cost.

    Raises:
        ModelError: As `ServerLanguageModel.generate`; what was answered is kept.
    """
    name = config.name or short_name(config.model)

    def make(folder: Path) -> None:
        with workspace.reporter.step(f"ask {name}", total=len(set(prompts)) * options.n) as step:
            model = server_model(config, workspace.store, step.advance)
            texts = [best_first(answers) for answers in model.generate(prompts, options)]
        errors = {
            (row, name): model.refusals[prompt]
            for row, prompt, cell in zip(ids, prompts, texts, strict=True)
            if not cell
        }
        labels = TextLabels(tuple(ids), (name,), tuple((cell,) for cell in texts), errors)
        write_json(folder / "notes.json", [*model.notes, f"{name} took {model.usage.text(prices(config))}: {about}."])
        write_table(folder / "texts.parquet", labels.to_arrow())

    recipe = {
        "served": vars(served(config)),
        "name": name,
        "ids": content_hash(list(ids)),
        "prompts": content_hash(list(prompts)),
        "options": options.to_json(),
    }
    found = workspace.get("texts", recipe, make).path
    return TextLabels.from_arrow(read_table(found / "texts.parquet")), list(read_json(found / "notes.json"))


def estimate(config: ServerSupervisor, jobs: Mapping[GenerateOptions, Sequence[str]], store: Store) -> str:
    """What asking would cost, in words; nothing is sent.

    Args:
        config: Who would be asked.
        jobs: Prompts by how they would be answered.
        store: Where answers are kept.
    """
    model = server_model(config, store)
    parts = [model.estimate(prompts, options) for options, prompts in jobs.items()]
    whole = Estimate(*(sum(column) for column in zip(*(dataclasses.astuple(part) for part in parts), strict=True)))
    return f"{model.name}: {whole.text(prices(config))}"
