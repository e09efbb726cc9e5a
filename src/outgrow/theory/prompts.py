"""In-context prompts in a hidden Markov world, weak labels for them, and exact inference on them.

```
M 17 │ 4 │ 0 │ 31 17 │ 22 │ 0 │ … │ 8 17 │ ?
└──┬─┘ └┬┘ └┬┘                      └──┬─┘
 input  │ delimiter                  query
     output
```

A *task* is a concept and the property at which every example starts. All H = C·(P − 1) tasks are the concepts of
another hidden Markov world, `tasks_of(world)`, so one forward algorithm serves documents and prompts. Inputs and
queries have shape (N, k − 1), outputs (N,).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from outgrow.errors import ConfigError, DataError
from outgrow.theory.checks import Floats, Ints, at_least, probability
from outgrow.theory.forward import forward, mixed, token_probabilities
from outgrow.theory.hmm import DELIMITER, HiddenMarkovWorld, sample_documents


@dataclass(frozen=True, eq=False)
class Prompts:
    """N prompts of n demonstrations and a query; an example is k tokens, of which the last is its output."""

    inputs: Ints
    """Inputs of the demonstrations, shape (N, n, k − 1)."""
    outputs: Ints
    """Outputs of the demonstrations, shape (N, n)."""
    query: Ints
    """Input to be answered, shape (N, k − 1)."""

    @property
    def tokens(self) -> Ints:
        """The prompts as sequences, shape (N, n(k + 1) + k − 1)."""
        delimiter = np.full_like(self.outputs[:, :, None], DELIMITER)
        examples = np.concatenate([self.inputs, self.outputs[:, :, None], delimiter], axis=2)
        # Not reshaped to -1: there may be no prompts, or no demonstrations in them.
        count, shots, length = examples.shape
        return np.concatenate([examples.reshape(count, shots * length), self.query], axis=1)


def tasks_of(world: HiddenMarkovWorld) -> HiddenMarkovWorld:
    """Return the world of tasks: task c·(P − 1) + s − 1 is concept c started at property s, with a uniform entity.

    Source:
        Xie et al. 2021, section 4.1 and released generator.
    """
    starts = world.properties - 1
    start = np.zeros((starts, world.entities, world.properties))
    start[np.arange(starts), :, np.arange(1, world.properties)] = 1 / world.entities
    return dataclasses.replace(
        world,
        property_transition=world.property_transition.repeat(starts, axis=0),
        start=np.tile(start, (world.concepts, 1, 1)),
        prior=world.prior.repeat(starts) / starts,
    )


def sample_prompts(
    tasks: HiddenMarkovWorld,
    task: Ints,
    *,
    demonstrations: int,
    length: int,
    corruption: float = 0.0,
    seed: int | np.random.Generator,
) -> Prompts:
    """Draw prompts as GINC does: examples of k = `length` tokens, with outputs from the chain that are then corrupted.

    `task` has shape (N,), or (N, n + 1) for one task per example. `corruption` is the probability that an output is
    replaced by a random token other than the delimiter.
    """
    probability("corruption", corruption)
    check_prompt_size(demonstrations, length, None)
    rng = np.random.default_rng(seed)
    each = np.broadcast_to(task[:, None] if task.ndim == 1 else task, (len(task), demonstrations + 1))
    drawn = sample_documents(tasks, count=each.size, length=length, seed=rng, concept=each.ravel())
    examples = drawn.tokens.reshape(*each.shape, length)
    outputs = examples[:, :-1, -1]
    noise = rng.integers(1, tasks.vocabulary, size=outputs.shape)
    outputs = np.where(rng.random(outputs.shape) < corruption, noise, outputs)
    return Prompts(examples[:, :-1, :-1], outputs, examples[:, -1, :-1])


def answers(tasks: HiddenMarkovWorld, task: Ints, inputs: Ints, *, memory: Ints | None = None) -> Ints:
    """Return the most probable output of each input (N, k − 1), shape (N,), under its task (N,): GINC's gold label.

    With the `faulty_memory` of a weak supervisor it is the weak label; inputs are always read with the true memory.

    Raises:
        DataError: An input is impossible under its task.

    Source:
        Gold labels: Xie et al. 2021, released generator. Weak ones: ours.
    """
    distinct, row = np.unique(inputs, axis=0, return_inverse=True)
    filtered = forward(tasks, distinct)
    if not np.isfinite(filtered.log_likelihood[row, task]).all():
        raise DataError("An input is impossible under its task.", fix="Draw the inputs from the same task.")
    speaker = tasks if memory is None else dataclasses.replace(tasks, memory=memory)
    return np.asarray(token_probabilities(speaker, filtered.ahead[row, task]).argmax(axis=1))


def task_log_likelihoods(
    tasks: HiddenMarkovWorld, inputs: Ints, outputs: Ints, *, corruption: float = 0.0, jump: float = 0.0
) -> Floats:
    """Return the log-probability in nats of single examples under every task, shape (N, H); −inf where impossible.

    `corruption` is the assumed probability that an output is a random token; for `jump` see `forward`.
    """
    probability("corruption", corruption)
    distinct, row = np.unique(np.column_stack([inputs, outputs]), axis=0, return_inverse=True)
    with np.errstate(divide="ignore"):
        kept, drawn = np.log1p(-corruption), np.log(corruption / (tasks.vocabulary - 1))
    clean = forward(tasks, distinct, jump=jump).log_likelihood + kept
    noise = forward(tasks, distinct[:, :-1], jump=jump).log_likelihood + drawn
    noise[distinct[:, -1] == DELIMITER] = -np.inf
    return np.asarray(np.logaddexp(clean, noise)[row])


def task_posterior(tasks: HiddenMarkovWorld, prompts: Prompts, *, corruption: float = 0.0, jump: float = 0.0) -> Floats:
    """Return the probability of each task given a prompt's demonstrations and query, shape (N, H).

    Unlike `concept_posterior` of the whole sequence it uses the layout: examples are independent given the task.
    `corruption` is the assumed one; demonstrations of several tasks in one prompt need a `jump`, see `forward`.

    Raises:
        DataError: A prompt is impossible under every task.
    """
    count, shots, _ = prompts.inputs.shape
    evidence = forward(tasks, prompts.query, jump=jump).log_likelihood
    if shots:
        single = task_log_likelihoods(
            tasks,
            prompts.inputs.reshape(count * shots, prompts.query.shape[1]),
            prompts.outputs.ravel(),
            corruption=corruption,
            jump=jump,
        )
        evidence = evidence + single.reshape(count, shots, -1).sum(axis=1)
    total = mixed(tasks, evidence)
    if not np.isfinite(total).all():
        raise DataError(
            f"Prompt {np.flatnonzero(~np.isfinite(total))[0]} is impossible under every task.",
            fix="Allow corrupted outputs (corruption above 0) or, if tasks are mixed, jumps (jump above 0).",
        )
    return np.asarray(tasks.prior * np.exp(evidence - total[:, None]))


def answer_probabilities(tasks: HiddenMarkovWorld, query: Ints, posterior: Floats) -> Floats:
    """Return the probability of each answer to a query, shape (N, V), averaged over the tasks with weights (N, H).

    With the `task_posterior` this is refinement by exact inference.
    """
    distinct, row = np.unique(query, axis=0, return_inverse=True)
    states = forward(tasks, distinct).ahead[row]
    return token_probabilities(tasks, np.einsum("nh,nhep->nep", posterior, states))


def check_prompt_size(demonstrations: int, length: int, context: int | None) -> None:
    """Refuse examples without an input, a negative number of them, and prompts longer than the context."""
    if length < 2:
        raise ConfigError("An example needs an input and an output.", found=f"length {length}", wanted="at least 2")
    at_least("demonstrations", demonstrations, 0)
    needed = demonstrations * (length + 1) + length
    if context is not None and needed > context:
        raise DataError(
            "The prompts are longer than the context.",
            found=f"{needed} tokens with the answer: {demonstrations} demonstrations of {length} tokens",
            wanted=f"at most {context}",
            fix=f"Use at most {(context - length) // (length + 1)} demonstrations.",
        )
