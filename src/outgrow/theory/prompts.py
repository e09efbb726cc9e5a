"""In-context prompts in a hidden Markov world, weak answers to them, and what exact inference makes of them.

```
M 17 │ 4 │ 0 │ 31 17 │ 22 │ 0 │ … │ 8 17 │ ?
└──┬─┘ └┬┘ └┬┘                      └──┬─┘
 input  │ delimiter                  query
     output
```

A *task* is a concept and the property at which every example starts; examples differ in their entity. All C·(P − 1)
tasks are the concepts of another hidden Markov world, so one forward algorithm serves documents and prompts.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import ConfigError, DataError
from outgrow.theory.checks import at_least, probability
from outgrow.theory.forward import forward, mixed, spoken
from outgrow.theory.hmm import DELIMITER, HiddenMarkovWorld, sample_documents


@dataclass(frozen=True, eq=False)
class Prompts:
    """N prompts of n demonstrations and a query; an example is k tokens, the last of which is its output."""

    inputs: NDArray[np.int64]
    """Inputs of the demonstrations, shape (N, n, k − 1)."""
    outputs: NDArray[np.int64]
    """Outputs of the demonstrations, as the supervisor gives them, shape (N, n)."""
    query: NDArray[np.int64]
    """Input to be answered, shape (N, k − 1)."""

    @property
    def tokens(self) -> NDArray[np.int64]:
        """The prompts as sequences, shape (N, n(k + 1) + k − 1).

        Example:
            >>> Prompts(np.array([[[3, 4]]]), np.array([[5]]), np.array([[6, 7]])).tokens.tolist()
            [[3, 4, 5, 0, 6, 7]]
        """
        delimiter = np.full_like(self.outputs[:, :, None], DELIMITER)
        examples = np.concatenate([self.inputs, self.outputs[:, :, None], delimiter], axis=2)
        # Not reshaped to -1: there may be no prompts, or no demonstrations in them.
        count, shots, length = examples.shape
        return np.concatenate([examples.reshape(count, shots * length), self.query], axis=1)


def prompt_length(demonstrations: int, length: int) -> int:
    """Tokens of a prompt up to where its answer belongs.

    Example:
        >>> prompt_length(64, 3)
        258
    """
    return demonstrations * (length + 1) + length - 1


def tasks_of(world: HiddenMarkovWorld) -> HiddenMarkovWorld:
    """The world whose concepts are the tasks of another; task c·(P − 1) + s − 1 is concept c started at property s.

    Entities start uniformly, and no example starts at the delimiter.

    Source:
        Xie et al. 2021, section 4.1 and released generator.

    Example:
        >>> from outgrow.theory.hmm import make_ginc
        >>> tasks_of(make_ginc(seed=0)).concepts
        45
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
    task: NDArray[np.int64],
    *,
    demonstrations: int,
    length: int,
    corruption: float = 0.0,
    context: int | None = None,
    seed: int | np.random.Generator,
) -> Prompts:
    """Draws prompts as GINC does: examples of one task, their outputs drawn from the chain and then corrupted.

    Args:
        tasks: What `tasks_of` returns.
        task: Task of each prompt, shape (N,).
        demonstrations: Number n of examples with an output; 0 leaves the query alone.
        length: Tokens k of an example, its output among them, at least 2.
        corruption: Probability in [0, 1] with which an output is replaced by a token drawn uniformly from all but the
            delimiter.
        context: Most tokens that whoever answers can read.
        seed: Seed, or a generator that goes on.

    Raises:
        ConfigError: A size is too small, or the corruption out of range.
        DataError: The prompts are longer than the context.

    Example:
        >>> from outgrow.theory.hmm import make_ginc
        >>> tasks = tasks_of(make_ginc(seed=0))
        >>> sample_prompts(tasks, np.array([3, 7]), demonstrations=2, length=3, seed=0).tokens.shape
        (2, 10)
    """
    probability("corruption", corruption)
    check_prompt_size(demonstrations, length, context)
    rng = np.random.default_rng(seed)
    per_prompt = demonstrations + 1
    examples = sample_documents(
        tasks, count=len(task) * per_prompt, length=length, seed=rng, concept=task.repeat(per_prompt)
    ).tokens.reshape(len(task), per_prompt, length)
    outputs = examples[:, :-1, -1]
    noise = rng.integers(1, tasks.vocabulary, size=outputs.shape)
    outputs = np.where(rng.random(outputs.shape) < corruption, noise, outputs)
    return Prompts(examples[:, :-1, :-1], outputs, examples[:, -1, :-1])


def answers(
    tasks: HiddenMarkovWorld,
    task: NDArray[np.int64],
    inputs: NDArray[np.int64],
    *,
    memory: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """The most probable output of an input under a known task: GINC's right answer, or a weak supervisor's.

    Args:
        tasks: What `tasks_of` returns.
        task: Task of each row, shape (N,).
        inputs: Inputs, shape (N, k − 1).
        memory: What the speaker believes that each state says, shape (E, P), see `faulty_memory`; inputs are read
            rightly all the same. The true memory if not given.

    Returns:
        Tokens, shape (N,).

    Raises:
        DataError: An input is impossible under its task.

    Source:
        Right answers: Xie et al. 2021, released generator. Weak ones: ours.

    Example:
        >>> from outgrow.theory.hmm import faulty_memory, make_ginc
        >>> tasks = tasks_of(make_ginc(seed=0))
        >>> one = np.array([7]), tasks.memory[:1, 8:9]
        >>> bool(answers(tasks, *one) != answers(tasks, *one, memory=faulty_memory(tasks, 1.0, seed=0)))
        True
    """
    distinct, row = np.unique(inputs, axis=0, return_inverse=True)
    filtered = forward(tasks, distinct)
    if not np.isfinite(filtered.log_likelihood[row, task]).all():
        raise DataError("An input is impossible under its task.", fix="Draw the inputs from the same task.")
    speaker = tasks if memory is None else dataclasses.replace(tasks, memory=memory)
    return np.asarray(spoken(speaker, filtered.ahead[row, task]).argmax(axis=1))


def task_log_likelihoods(
    tasks: HiddenMarkovWorld,
    inputs: NDArray[np.int64],
    outputs: NDArray[np.int64],
    *,
    corruption: float = 0.0,
    jump: float = 0.0,
) -> NDArray[np.float64]:
    """Log-probability of single examples under every task, shape (N, H) in nats; −inf where impossible.

    Args:
        tasks: What `tasks_of` returns, H tasks.
        inputs: Shape (N, k − 1).
        outputs: Shape (N,).
        corruption: Probability with which an output is believed to be a token drawn from all but the delimiter.
        jump: See `forward`.

    Raises:
        ConfigError: `corruption` is out of range.

    Example:
        >>> from outgrow.theory.hmm import make_ginc
        >>> tasks = tasks_of(make_ginc(seed=0))
        >>> task_log_likelihoods(tasks, tasks.memory[:1, 1:2], tasks.memory[:1, 2]).shape
        (1, 45)
    """
    probability("corruption", corruption)
    distinct, row = np.unique(np.column_stack([inputs, outputs]), axis=0, return_inverse=True)
    with np.errstate(divide="ignore"):
        kept, drawn = np.log1p(-corruption), np.log(corruption / (tasks.vocabulary - 1))
    clean = forward(tasks, distinct, jump=jump).log_likelihood + kept
    noise = forward(tasks, distinct[:, :-1], jump=jump).log_likelihood + drawn
    noise[distinct[:, -1] == DELIMITER] = -np.inf
    return np.asarray(np.logaddexp(clean, noise)[row])


def task_posterior(
    tasks: HiddenMarkovWorld, prompts: Prompts, *, corruption: float = 0.0, jump: float = 0.0
) -> NDArray[np.float64]:
    """Probability of each task given a prompt's demonstrations and query, shape (N, H).

    Unlike `concept_posterior` of the whole sequence it knows the layout: examples are independent given the task.

    Args:
        tasks: What `tasks_of` returns, H tasks.
        prompts: The prompts.
        corruption: Corruption of outputs that is reckoned with.
        jump: See `forward`; demonstrations of several tasks in one prompt need it.

    Raises:
        DataError: A prompt is impossible under every task.

    Example:
        >>> from outgrow.theory.hmm import make_ginc
        >>> tasks = tasks_of(make_ginc(seed=0))
        >>> prompts = sample_prompts(tasks, np.array([7]), demonstrations=50, length=3, seed=0)
        >>> int(task_posterior(tasks, prompts).argmax())
        7
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
            fix="Reckon with corrupted outputs (corruption above 0) or, if tasks are mixed, with jumps (jump above 0).",
        )
    return np.asarray(tasks.prior * np.exp(evidence - total[:, None]))


def answer_probabilities(
    tasks: HiddenMarkovWorld, query: NDArray[np.int64], posterior: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Probability of each answer to a query, averaged over what the task may be: refinement by exact inference.

    Args:
        tasks: What `tasks_of` returns, H tasks.
        query: Inputs, shape (N, k − 1).
        posterior: Probability of each task for each query, shape (N, H).

    Returns:
        Probabilities, shape (N, V).

    Example:
        >>> from outgrow.theory.hmm import make_ginc
        >>> tasks = tasks_of(make_ginc(seed=0))
        >>> prompts = sample_prompts(tasks, np.array([7]), demonstrations=50, length=3, seed=0)
        >>> answer_probabilities(tasks, prompts.query, task_posterior(tasks, prompts)).shape
        (1, 50)
    """
    distinct, row = np.unique(query, axis=0, return_inverse=True)
    states = forward(tasks, distinct).ahead[row]
    return spoken(tasks, np.einsum("nh,nhep->nep", posterior, states))


def check_prompt_size(demonstrations: int, length: int, context: int | None) -> None:
    """Refuses examples without an input, a negative number of them, and more than fit."""
    if length < 2:
        raise ConfigError("An example needs an input and an output.", found=f"length {length}", wanted="at least 2")
    at_least("demonstrations", demonstrations, 0)
    needed = prompt_length(demonstrations, length) + 1
    if context is not None and needed > context:
        raise DataError(
            "The prompts are longer than the context.",
            found=f"{needed} tokens with the answer: {demonstrations} demonstrations of {length} tokens",
            wanted=f"at most {context}",
            fix=f"Use at most {(context - length) // (length + 1)} demonstrations.",
        )
