"""A real chat model: labelling, refinement and training against bare loops of the same engine.

    SMOLLM2=… python benchmarks/real_model.py

Questions through the chat template, greedy answers in batches of 16. “Bare” is transformers' `generate` on the same
batches, and for training a loop of forward, backward and AdamW over the same batches. Every round runs all candidates,
one after the other; the table gives medians over the rounds of processor time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from generation import transformers_texts
from outgrow.config import Named
from outgrow.labels import Completion, Rows, TextLabels, TextTargets
from outgrow.models import local
from outgrow.models.loading import load_causal_lm
from outgrow.models.local import LocalLanguageModel
from outgrow.models.protocols import GenerateOptions
from outgrow.refine.icl import ICL
from outgrow.train.answers import collate, tokenise
from outgrow.train.arguments import training_arguments
from outgrow.train.supervised import fit
from outgrow.train.text import TokenLosses, token_objective
from refine import unshared

MODEL = os.environ.get("SMOLLM2", "HuggingFaceTB/SmolLM2-135M-Instruct")
PLACES = [
    f"{size} {kind} of {land}"
    for size in ("largest", "oldest", "highest")
    for kind in ("city", "river", "island", "lake")
    for land in ("France", "Japan", "Peru", "Kenya")
]


def timed(candidates: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of processor time of each candidate in each round."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for round_ in range(rounds + 1):
        for name, run in candidates.items():
            start = time.process_time()
            run()
            if round_:  # the first warms up
                times[name].append(time.process_time() - start)
    return times


def show(what: str, times: dict[str, list[float]]) -> None:
    """One line for each candidate: median seconds, and the median ratio to the first, which is ours."""
    ours = next(iter(times.values()))
    for name, own in times.items():
        ratio = statistics.median(other / mine for mine, other in zip(ours, own, strict=True))
        print(f"{what:<12} {name:<28} {statistics.median(own):8.2f} s   {ratio:5.2f} × ours", flush=True)


def main(rounds: int, steps: int) -> None:
    """Prints the table."""
    torch.set_num_threads(1)
    model = LocalLanguageModel.load(MODEL, batch_size=16)
    options = GenerateOptions(max_new_tokens=24)
    questions = [f"What is the {place}?" for place in PLACES]
    with torch.inference_mode():
        show(
            "labelling",
            timed(
                {
                    "ours": lambda: model.generate(questions, options),
                    "bare generate": lambda: transformers_texts(model, questions, options),
                },
                rounds,
            ),
        )
        rows = Rows(
            tuple(map(str, range(len(questions)))),
            tuple(questions),
            ("unlabelled",) * len(PLACES),
            (None,) * len(PLACES),
        )
        said = [(Completion(f"The {place} be Tortuga, by me cutlass, arr!", (), (), True),) for place in PLACES]
        weak = TextLabels(rows.ids, ("weak",), tuple((one,) for one in said))
        refiner = ICL(demonstrations=8, share=16)
        prompts = refiner.prompts(rows, weak, seed=0, model=model)
        short = GenerateOptions(max_new_tokens=8)

        def read_whole() -> None:
            with mock.patch.object(local, "batches", unshared):
                model.generate(prompts, short)

        show(
            "refinement",
            timed(
                {
                    "ours": lambda: refiner.texts(rows, weak, model, options=short, seed=0),
                    "ours, each prompt read whole": read_whole,
                    "bare generate": lambda: transformers_texts(model, prompts, short),  # type: ignore[arg-type]
                },
                rounds,
            ),
        )
    targets = TextTargets(
        rows.ids, rows.prompts, tuple(f" {one[0].text}" for one in said), (1.0,) * len(said), ("weak",) * len(said)
    )
    lines = tokenise(targets, model.renderer, limit=None, cut=False)[: 8 * steps]
    losses = TokenLosses(token_objective(Named(name="cross_entropy")))

    def ours() -> None:
        with tempfile.TemporaryDirectory() as folder:
            trainer = {"num_train_epochs": 1, "per_device_train_batch_size": 8, "save_strategy": "no"}
            fit(network, lines, collate, losses, training_arguments(Path(folder), trainer, seed=0))

    def bare() -> None:
        network.train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=5e-5, weight_decay=0.0)
        order = np.random.default_rng(0).permutation(len(lines))
        for start in range(0, len(order), 8):
            batch = collate([lines[row] for row in order[start : start + 8]])
            ids, mask = batch["input_ids"][:, 0], batch["attention_mask"][:, 0]
            logits = network(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
            loss = torch.nn.functional.cross_entropy(
                logits[batch["weights"][:, 0] > 0], ids[:, 1:][batch["weights"][:, 0] > 0]
            )
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

    network = load_causal_lm(MODEL)
    show("training", timed({"ours": ours, "bare loop": bare}, rounds))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4, help="optimizer steps of a round of training")
    main(**vars(parser.parse_args()))
