"""A GPT-2 decoder pretrained on documents of a hidden Markov world, and weak-to-strong training with it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from outgrow.errors import DataError
from outgrow.progress import Reporter, SilentReporter
from outgrow.theory.checks import Floats, Ints, at_least, probability
from outgrow.theory.hmm import HiddenMarkovWorld, sample_documents
from outgrow.theory.prompts import Prompts, answers, check_prompt_size, sample_prompts, tasks_of
from outgrow.theory.training import Schedule, Shape, check_context, decoder_config, device, fit


def pretrain_language_model(
    world: HiddenMarkovWorld,
    shape: Shape,
    schedule: Schedule,
    *,
    context: int,
    documents: int = 1000,
    length: int = 10_240,
    lists: float = 0.0,
    example: int = 3,
    seed: int,
    reporter: Reporter,
) -> Any:
    """Train a `GPT2LMHeadModel` on random windows of `context` tokens from documents of all concepts.

    The documents are longer than the context. `lists` is the share, in [0, 1], of sequences that are not windows but
    lists of examples of one task, k = `example` tokens each, laid out like a prompt.

    Source:
        Xie et al. 2021, section 4.2: 1,000 documents of 10,240 tokens. They read each five times in blocks; here
        windows begin anywhere. Lists are ours: pretraining corpora of language models hold many of them.
    """
    from transformers import GPT2LMHeadModel

    at_least("context", context, 1)
    at_least("length", length, context + 1)
    probability("lists", lists)
    check_prompt_size(0, example, None)
    corpus = sample_documents(world, count=documents, length=length, seed=seed).tokens
    tasks = tasks_of(world)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(decoder_config(shape, positions=context, vocabulary=world.vocabulary)).to(device())
    rng = np.random.default_rng([seed, schedule.steps])
    listed = round(lists * schedule.batch)

    def windows() -> Ints:
        rows = rng.integers(documents, size=(schedule.batch - listed, 1))
        first = rng.integers(length - context, size=rows.shape)
        task = rng.choice(tasks.concepts, size=listed, p=tasks.prior)
        shown = sample_prompts(tasks, task, demonstrations=context // (example + 1) + 1, length=example, seed=rng)
        return np.concatenate([corpus[rows, first + np.arange(context + 1)], shown.tokens[:, : context + 1]])

    def loss() -> Tensor:
        window = torch.from_numpy(windows()).to(model.device)
        logits = model(input_ids=window[:, :-1]).logits
        return functional.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten())

    fit(model, loss, schedule, reporter=reporter, name="pretrain the language model")
    return model


def fine_tune(model: Any, inputs: Ints, labels: Ints, schedule: Schedule, *, seed: int, reporter: Reporter) -> Any:
    """Return a copy of the model, trained to answer single inputs (N, k − 1) with the given labels (N,).

    Raises:
        DataError: There are no inputs.
    """
    if not len(inputs):
        raise DataError("A student needs at least one labelled input.")
    student = copy.deepcopy(model)
    asked, said = torch.from_numpy(inputs).to(student.device), torch.from_numpy(labels).to(student.device)
    rng = np.random.default_rng([seed, schedule.steps])

    def loss() -> Tensor:
        rows = torch.from_numpy(rng.integers(len(inputs), size=schedule.batch))
        logits = student(input_ids=asked[rows], logits_to_keep=1).logits[:, -1]
        return functional.cross_entropy(logits, said[rows])

    fit(student, loss, schedule, reporter=reporter, name="train a student")
    return student


@torch.no_grad()
def answer_distribution(model: Any, tokens: Ints, *, batch: int = 500) -> Floats:
    """Return the model's probabilities of the next token, shape (N, V), after sequences of shape (N, T), T ≥ 1."""
    check_context(tokens.shape[1], model.config.n_positions)
    found = []
    for part in torch.split(torch.from_numpy(tokens), batch):
        logits = model(input_ids=part.to(model.device), logits_to_keep=1).logits[:, -1]
        found.append(logits.double().softmax(-1).cpu().numpy())
    return np.concatenate(found)


@torch.no_grad()
def language_model_loss(model: Any, tokens: Ints, *, batch: int = 100) -> Floats:
    """Return the mean negative log-probability in nats, shape (N,), of sequences (N, T) without their first token."""
    check_context(tokens.shape[1] - 1, model.config.n_positions)
    found = []
    for part in torch.split(torch.from_numpy(tokens).to(model.device), batch):
        logits = model(input_ids=part[:, :-1]).logits
        losses = functional.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten(), reduction="none")
        found.append(losses.view(len(part), -1).double().mean(1).cpu().numpy())
    return np.concatenate(found)


def weak_to_strong(
    model: Any,
    tasks: HiddenMarkovWorld,
    task: int,
    memory: Ints,
    schedule: Schedule,
    *,
    rows: int = 200,
    test: int = 400,
    demonstrations: int = 16,
    length: int = 3,
    seed: int,
) -> dict[str, float]:
    """Return accuracies on one task: base, weak supervisor, naive student, refined labels, refined student, ceiling.

    The weak supervisor labels `rows` inputs from its faulty `memory`; the strong model is left unchanged, and all
    students are trained by the schedule. Refined labels are scored on the rows, everything else on `test` inputs; a
    task has few distinct inputs, so the two overlap. k is `length`.

    Source:
        [TL] Algorithm 1 in the world of Xie et al. 2021: ours.
    """
    for name, count in (("rows", rows), ("test", test), ("demonstrations", demonstrations)):
        at_least(name, count, 1)
    rng = np.random.default_rng(seed)
    everything = np.full(rows + test, task)
    inputs = sample_prompts(tasks, everything, demonstrations=0, length=length, seed=rng).query
    gold, weak = answers(tasks, everything, inputs), answers(tasks, everything, inputs, memory=memory)
    asked, tested, truth = inputs[:rows], inputs[rows:], gold[rows:]
    shown = demonstrations_for(asked, demonstrations, rng)
    refined = _answer(model, Prompts(asked[shown], weak[:rows][shown], asked).tokens)
    scores = {
        "base": _answer(model, tested) == truth,
        "weak supervisor": weak[rows:] == truth,
        "refined labels": refined == gold[:rows],
    }
    for name, labels in (("naive student", weak[:rows]), ("refined student", refined), ("ceiling", gold[:rows])):
        student = fine_tune(model, asked, labels, schedule, seed=seed, reporter=SilentReporter())
        scores[name] = _answer(student, tested) == truth
    return {name: float(right.mean()) for name, right in scores.items()}


def demonstrations_for(rows: Ints, count: int, rng: np.random.Generator) -> Ints:
    """Return indices, shape (N, n), of n random rows to show with each row; none has that row's own input.

    So no row is shown its own weak answer. Inputs have shape (N, k − 1).

    Raises:
        DataError: Some row has fewer than n rows with another input.
    """
    other = (rows[:, None] != rows).any(axis=2)
    if (other.sum(axis=1) < count).any():
        raise DataError(
            "There are too few other rows to be shown as demonstrations.",
            found=f"{other.sum(axis=1).min()} rows with another input",
            wanted=f"at least {count}",
            fix="Label more rows, or show fewer.",
        )
    order = np.where(other, rng.random(other.shape), np.inf).argsort(axis=1)
    return np.asarray(order[:, :count])


def _answer(model: Any, tokens: Ints) -> Ints:
    return np.asarray(answer_distribution(model, tokens).argmax(axis=1))
