"""How long a text experiment will take with nothing in the store, from a few batches of every model.

    python examples/slurp/estimate.py examples/slurp/slurp.yaml seeds=1

Every model is timed in training and in writing, with texts as long as the longest gold answer of its batch, where a
trained model would end them; the rest is counting. What a run finds in the store it does not do again.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outgrow.combine.texts import gold_targets
from outgrow.config import ExperimentConfig, Named, load_config
from outgrow.labels import Rows, TextTargets
from outgrow.models.local import LocalLanguageModel
from outgrow.models.protocols import GenerateOptions
from outgrow.supervisors import ModelSupervisor
from outgrow.tasks import read_task
from outgrow.templates import asked_by, fill
from outgrow.train.answers import collate, tokenise
from outgrow.train.arguments import training_arguments
from outgrow.train.text import TokenLosses, token_objective

BATCHES = 3
"""Batches that are timed, after one that warms up."""


@dataclass(frozen=True)
class Job:
    """A part of the experiment."""

    what: str
    """In words."""
    times: int
    """How often it is done."""
    seconds: float
    """How long once takes."""


def jobs(config: ExperimentConfig) -> Iterator[Job]:
    """What takes long: supervisors learn, label, score and answer; students learn and answer; each for every seed."""
    _, rows = read_task(config.task)
    gold, learned, tested = rows.part("gold"), len(rows.part("unlabelled")), len(rows.part("test"))
    generate, seeds, methods = config.generate, len(config.seeds), config.methods.values()
    answering = GenerateOptions(max_new_tokens=generate.max_new_tokens)
    labelling = dataclasses.replace(
        answering, n=generate.n_best, beams=generate.beams, temperature=generate.temperature
    )
    supervisors = [each for each in config.supervisors if isinstance(each, ModelSupervisor)]
    pooled = len(supervisors) * generate.n_best * any(each.combine.name == "joint_decoding" for each in methods)
    scored = pooled + sum(each.prefer.candidates for each in methods if each.prefer is not None)
    for each in supervisors:
        name, model = each.name or Path(each.model).name, TimedModel(each.model, each.batch_size, gold, config)
        if each.train is not None:
            yield Job(f"{name} learns", seeds, model.training(each.train, each.rows or len(gold)))
        yield Job(f"{name} labels", seeds, model.writing(labelling, learned))
        if scored:
            yield Job(f"{name} scores", seeds, model.scoring(learned * scored))
        yield Job(f"{name} answers", seeds, model.writing(answering, tested))
    strong = TimedModel(config.strong.model, config.strong.batch_size, gold, config)
    once, each_text = (strong.training(config.trainer, learned, texts=count) for count in (1, len(supervisors)))
    known = set()
    for name, method in config.methods.items():
        supervised = method.model_copy(update={"prefer": None}).model_dump_json()
        if supervised not in known:  # methods that differ in their preferences only share it
            several = method.refine is None and method.combine.name == "mean"
            yield Job(f"{name} learns", seeds, each_text if several else once)
        known.add(supervised)
        if method.prefer is not None:
            count, temperature = method.prefer.candidates, method.prefer.temperature
            search = {"temperature": temperature} if temperature else {"beams": count}
            drawing = dataclasses.replace(answering, n=count, **search)
            yield Job(f"{name} samples", seeds, strong.writing(drawing, learned))
            settings = {"num_train_epochs": 1, **method.prefer.trainer}
            yield Job(f"{name} prefers", seeds, strong.training(settings, learned, texts=2))
    if config.ceiling:
        yield Job("ceiling learns", seeds, once)
    yield Job("students answer", seeds * (len(config.methods) + config.ceiling), strong.writing(answering, tested))


class TimedModel:
    """A model and the gold rows on which it is timed."""

    def __init__(self, model: str, batch_size: int, gold: Rows, config: ExperimentConfig) -> None:
        self._model = LocalLanguageModel.load(model, batch_size=batch_size)
        template = asked_by(config.generate.template, chats=self._model.chats)
        prompts = [fill(template, {"prompt": prompt}) for prompt in gold.prompts]
        self._targets = gold_targets(gold, prompts)

    def training(self, trainer: Mapping[str, Any], rows: int, *, texts: int = 1) -> float:
        """Seconds to learn so many rows with so many texts each (all different: the worst case)."""
        import torch

        arguments = training_arguments(Path(), trainer, seed=0)
        size = arguments.per_device_train_batch_size
        network, losses = self._model.model.train(), TokenLosses(token_objective(Named(name="cross_entropy")))
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.0)
        clock = 0.0
        for number in range(BATCHES + 1):
            if number == 1:
                clock = time.perf_counter()
            lines = tokenise(self._batch(number, size, texts), self._model.renderer, limit=None, cut=False)
            batch = collate(lines)
            (losses(network, batch, 0.5) * batch["weights"]).mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        network.eval()
        steps = math.ceil(rows / size) * arguments.num_train_epochs if arguments.max_steps < 0 else arguments.max_steps
        return (time.perf_counter() - clock) / BATCHES * steps

    def writing(self, options: GenerateOptions, rows: int) -> float:
        """Seconds to continue so many prompts."""
        targets = self._batch(1, max(1, self._model.batch_size // max(options.beams, options.n)), 1)
        longest = max(len(ids) for ids in self._model.tokenizer(list(targets.texts))["input_ids"])
        options = dataclasses.replace(options, max_new_tokens=min(longest, options.max_new_tokens))
        self._model.generate(targets.prompts[:1], options)
        clock = time.perf_counter()
        self._model.generate(targets.prompts, options)
        return (time.perf_counter() - clock) * rows / len(targets)

    def scoring(self, texts: int) -> float:
        """Seconds to read so many answers."""
        targets = self._batch(1, self._model.batch_size, 1)
        pairs = list(zip(targets.prompts, targets.texts, strict=True))
        self._model.logprobs(pairs[:1])
        clock = time.perf_counter()
        self._model.logprobs(pairs)
        return (time.perf_counter() - clock) * texts / len(pairs)

    def _batch(self, number: int, size: int, texts: int) -> TextTargets:
        whole = self._targets
        asked = [(number * size + place) % len(whole) for place in range(size) for _ in range(texts)]
        # Answers of the next prompts stand in for other answers to this one.
        said = [(place + index % texts) % len(whole) for index, place in enumerate(asked)]
        chosen = ((whole.ids, asked), (whole.prompts, asked), (whole.texts, said))
        ids, prompts, answers = (tuple(column[place] for place in places) for column, places in chosen)
        return TextTargets(ids, prompts, answers, (1.0 / texts,) * len(asked), ("timed",) * len(asked))


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Says how long a text experiment will take.")
    parser.add_argument("file", type=Path, help="the experiment")
    parser.add_argument("overrides", nargs="*", help="as for outgrow run: seeds=1")
    given = parser.parse_args()
    total = 0.0
    for job in jobs(load_config(given.file, given.overrides)):
        total += job.times * job.seconds
        print(f"{job.what:<24} {job.times:>3} × {job.seconds:7.1f} s", flush=True)
    print(f"{'in all':<24} {total / 60:15.0f} min")


if __name__ == "__main__":
    main()
