"""A GPT-2 decoder pretrained on documents of a hidden Markov world, and fine-tuned to answer single inputs."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from outgrow.errors import DataError
from outgrow.progress import Reporter
from outgrow.theory.checks import at_least, probability
from outgrow.theory.hmm import HiddenMarkovWorld, sample_documents
from outgrow.theory.prompts import check_prompt_size, sample_prompts, tasks_of
from outgrow.theory.training import Schedule, Shape, decoder_config, device, fit


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
    """Trains a decoder on random windows of documents of all concepts.

    Args:
        world: Where documents come from.
        shape: Of the decoder.
        schedule: Of its training.
        context: Most tokens that it reads, and the length of the windows.
        documents: Number of documents.
        length: Tokens in each, more than `context`.
        lists: Share of the sequences that are lists of examples of one task, laid out like a prompt, in [0, 1].
        example: k: tokens of an example in them.
        seed: Of weights, documents and windows.
        reporter: Told of every step.

    Returns:
        A `GPT2LMHeadModel` in evaluation mode.

    Raises:
        ConfigError: The documents are no longer than the context, or a share or size is out of range.

    Source:
        Xie et al. 2021, section 4.2: 1,000 documents of 10,240 tokens. They read each five times in blocks; here
        windows begin anywhere. Lists are ours: texts on which language models are trained hold many of them.

    Example:
        >>> from outgrow.progress import SilentReporter
        >>> from outgrow.theory.hmm import make_ginc
        >>> options = {"context": 6, "documents": 3, "length": 20, "seed": 0, "reporter": SilentReporter()}
        >>> shape, schedule = Shape(width=8, layers=1, heads=1), Schedule(steps=2, batch=2, learning_rate=1e-3)
        >>> model = pretrain_language_model(make_ginc(seed=0), shape, schedule, **options)
        >>> answer_distribution(model, np.zeros((4, 5), dtype=np.int64)).shape
        (4, 50)
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

    def windows() -> NDArray[np.int64]:
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


def fine_tune(
    model: Any,
    inputs: NDArray[np.int64],
    labels: NDArray[np.int64],
    schedule: Schedule,
    *,
    seed: int,
    reporter: Reporter,
) -> Any:
    """A student: a copy of the model that is trained to answer single inputs as somebody labelled them.

    Args:
        model: The strong model; it stays as it is.
        inputs: Inputs, shape (N, k − 1).
        labels: Tokens, shape (N,).
        schedule: Of its training.
        seed: Of the batches.
        reporter: Told of every step.

    Returns:
        Another `GPT2LMHeadModel` in evaluation mode.

    Raises:
        DataError: There is nothing to learn from.

    Example:
        >>> from outgrow.progress import SilentReporter
        >>> from transformers import GPT2LMHeadModel
        >>> model = GPT2LMHeadModel(decoder_config(Shape(8, 1, 1), positions=4, vocabulary=5)).eval()
        >>> schedule, inputs = Schedule(steps=50, batch=4, learning_rate=0.01), np.array([[1, 2], [3, 4]])
        >>> student = fine_tune(model, inputs, np.array([4, 0]), schedule, seed=0, reporter=SilentReporter())
        >>> answer_distribution(student, inputs).argmax(axis=1).tolist()
        [4, 0]
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
def answer_distribution(model: Any, tokens: NDArray[np.int64], *, batch: int = 500) -> NDArray[np.float64]:
    """The model's probabilities of the token after each sequence.

    Args:
        model: What `pretrain_language_model` or `fine_tune` returned.
        tokens: Sequences, shape (N, T), T ≥ 1.
        batch: Sequences at a time.

    Returns:
        Shape (N, V).

    Raises:
        DataError: The sequences are longer than the model's context.

    Example:
        >>> from transformers import GPT2LMHeadModel
        >>> model = GPT2LMHeadModel(decoder_config(Shape(8, 1, 1), positions=4, vocabulary=5)).eval()
        >>> answer_distribution(model, np.array([[1, 2, 3]])).sum().round(6).item()
        1.0
    """
    _check_context(model, tokens)
    found = []
    for first in range(0, len(tokens), batch):
        part = torch.from_numpy(tokens[first : first + batch]).to(model.device)
        logits = model(input_ids=part, logits_to_keep=1).logits[:, -1]
        found.append(logits.double().softmax(-1).cpu().numpy())
    return np.concatenate(found)


@torch.no_grad()
def language_model_loss(model: Any, tokens: NDArray[np.int64], *, batch: int = 100) -> NDArray[np.float64]:
    """Mean negative log-probability of the tokens of each sequence but its first, in nats.

    Args:
        model: What `pretrain_language_model` returned.
        tokens: Sequences, shape (N, T), T ≥ 2.
        batch: Sequences at a time.

    Returns:
        Shape (N,).

    Raises:
        DataError: The sequences are longer than the model's context.

    Example:
        >>> from transformers import GPT2LMHeadModel
        >>> model = GPT2LMHeadModel(decoder_config(Shape(8, 1, 1), positions=4, vocabulary=5)).eval()
        >>> language_model_loss(model, np.array([[1, 2, 3], [4, 0, 1]])).shape
        (2,)
    """
    _check_context(model, tokens[:, 1:])
    found = []
    for first in range(0, len(tokens), batch):
        part = torch.from_numpy(tokens[first : first + batch]).to(model.device)
        logits = model(input_ids=part[:, :-1]).logits
        losses = functional.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten(), reduction="none")
        found.append(losses.view(len(part), -1).double().mean(1).cpu().numpy())
    return np.concatenate(found)


def _check_context(model: Any, tokens: NDArray[np.int64]) -> None:
    if tokens.shape[1] > model.config.n_positions:
        raise DataError(
            "The prompts are longer than the model's context.",
            found=f"{tokens.shape[1]} tokens",
            wanted=f"at most {model.config.n_positions}",
            fix="Use fewer demonstrations, or pretrain with a longer context.",
        )
