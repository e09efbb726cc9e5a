"""The three tiny models of the world `facts`, pretrained from scratch in about a minute.

The strong model reads documents of several questions about different facts, all answered in one style. Supervisors read
single questions, answered by their beliefs in the target style. Only answers count in the loss.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from outgrow.errors import StoreError
from outgrow.optimize import minimize
from outgrow.progress import Reporter, SilentReporter
from outgrow.worlds.facts import BLOCK, HEADING, World, make_world, write_rows

Size = Literal["demo", "tiny"]

END, UNKNOWN = "<end>", "<unknown>"
CONTEXT = 512
"""Context length of the models, in tokens."""

NAMED = (0.5, 0.25, 0.25)
"""Share of the strong model's documents that do not name their style, name it before their questions, or after them."""

_IGNORED = -100
_PIECES = r" ?\w+|[^\w\s]|\s"
"""A word with the space before it, a punctuation mark, or one space."""


@dataclass(frozen=True)
class Recipe:
    """Size and pretraining of a model."""

    tokenizer: Literal["bytes", "words", "characters"]
    """Tokens: byte pairs merged up to words, words, or characters."""
    width: int
    """Hidden size; heads are 32 wide."""
    layers: int
    steps: int
    documents: int
    """Documents per step."""
    questions: int
    """Questions per document."""
    learning_rate: float
    """Peak learning rate of AdamW: warm-up over a twentieth of the steps, then linear decay to zero."""


RECIPES: dict[Size, dict[str, Recipe]] = {
    "demo": {
        "strong": Recipe("bytes", 192, 2, 450, 16, 8, 3e-3),
        "words": Recipe("words", 64, 2, 250, 48, 1, 4e-3),
        "characters": Recipe("characters", 64, 2, 300, 48, 1, 4e-3),
    },
    "tiny": {
        "strong": Recipe("bytes", 64, 2, 250, 8, 6, 5e-3),
        "words": Recipe("words", 32, 2, 120, 24, 1, 6e-3),
        "characters": Recipe("characters", 32, 2, 160, 24, 1, 6e-3),
    },
}

_WORLDS: dict[Size, tuple[int, int]] = {"demo": (30, 8), "tiny": (8, 3)}
"""Numbers of entities and of relations."""


@dataclass(frozen=True)
class Block:
    """One question with its answer, as tokens."""

    asked: tuple[int, ...]
    """The question, up to and with `Answer:`."""
    said: tuple[int, ...]
    """The answer with the space before it."""
    gap: tuple[int, ...]
    """Separator to the next question; its first token ends the answer and counts in the loss."""


Draw = Callable[[np.random.Generator], list[Block]]
"""Draws the blocks of one document."""


def build(folder: str | Path, *, seed: int = 0, reporter: Reporter | None = None, size: Size = "demo") -> Path:
    """Make a world and pretrain its three models; return the folder.

    Writes `world.json`, `rows.jsonl.gz` (id, prompt, gold, part) and the model folders `models/strong`, `models/words`
    and `models/characters`. Each model folder is renamed into place when it is complete, and kept by a later call, so a
    killed build continues with the model it was at. The same seed gives the same files on the same machine. The size
    `demo` takes about a minute on two cores; `tiny` is for tests.

    Raises:
        StoreError: The folder cannot be written, or something else has the name of a model folder.
    """
    folder, reporter = Path(folder), reporter or SilentReporter()
    entities, relations = _WORLDS[size]
    world = make_world(seed=seed, entities=entities, relations=relations)
    models = folder / "models"
    try:
        models.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            (folder / "world.json").write_text(world.to_json(), encoding="utf-8")
            write_rows(world.rows(seed), folder / "rows.jsonl.gz")
            for name, recipe in RECIPES[size].items():
                _build_model(models / name, world, recipe, seed, reporter)
    except OSError as error:
        raise StoreError(f"The world cannot be written to {folder}.", found=str(error)) from error
    return folder


def make_tokenizer(kind: str, corpus: Sequence[str], *, vocabulary: int = 2048, pieces: str = _PIECES) -> Any:
    """Train a tokenizer of a kind (`bytes`, `words` or `characters`) and a vocabulary of at most that size on a corpus.

    `pieces` is a regular expression; no token of `bytes` or `words` crosses the border of its matches, so a text can be
    cut there without a change of tokens. The result has no padding token, and decoding gives the text back unchanged.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    split = pre_tokenizers.Split(Regex(r"[\s\S]" if kind == "characters" else pieces), "isolated")
    special: dict[str, Any] = {"eos_token": END}
    trainer: Any
    if kind == "bytes":
        tokenizer = Tokenizer(models.BPE())
        to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary, initial_alphabet=alphabet, special_tokens=[END], show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
        tokenizer.pre_tokenizer = split
        tokenizer.decoder = decoders.Fuse()
        trainer = trainers.WordLevelTrainer(vocab_size=vocabulary, special_tokens=[END, UNKNOWN], show_progress=False)
        special["unk_token"] = UNKNOWN
    tokenizer.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=CONTEXT, **special)


def make_block(tokenizer: Any, question: str, answer: str) -> Block:
    """Tokenize one question and its answer."""
    before, after = BLOCK.replace("{prompt}", question).split(" {answer}")
    texts = (before, " " + answer, after)
    return Block(*(tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts))


def make_names(tokenizer: Any, manner: str) -> tuple[tuple[int, ...], Block]:
    """Return the tokens of a heading that names a style, and a block that asks for the style."""
    before, after = HEADING.split("{manner}")
    texts = (before.rstrip(" "), f" {manner}", after)
    asked, said, gap = (tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts)
    return (*asked, *said, *gap), Block(asked, said, gap)


def collate(documents: Sequence[Sequence[Block]], end: int) -> tuple[Tensor, Tensor]:
    """Inputs and next-token targets of documents, each of shape (documents, longest); only answers have targets.

    The last answer of a document ends with the end-of-sequence token, the others with the gap to the next question.
    """
    inputs, targets = [], []
    for blocks in documents:
        tokens: list[int] = []
        learned: list[int] = []
        for block in blocks:
            gap = (end,) if block is blocks[-1] else block.gap
            tokens += [*block.asked, *block.said, *gap]
            answer = [*block.said, gap[0]]
            learned += [_IGNORED] * len(block.asked) + answer + [_IGNORED] * (len(gap) - 1)
        inputs.append(torch.tensor(tokens[:-1]))
        targets.append(torch.tensor(learned[1:]))
    pad = torch.nn.utils.rnn.pad_sequence
    return pad(inputs, batch_first=True), pad(targets, batch_first=True, padding_value=_IGNORED)


def pretrain(recipe: Recipe, tokenizer: Any, draw: Draw, *, seed: int, reporter: Reporter, name: str) -> Any:
    """Train a new `LlamaForCausalLM` on documents drawn step by step; `seed` fixes weights and documents."""
    rng = np.random.default_rng([seed, recipe.steps])
    model = new_model(tokenizer, width=recipe.width, layers=recipe.layers, seed=seed)
    steps, warm_up = recipe.steps, max(1, recipe.steps // 20)

    def loss() -> Tensor:
        inputs, targets = collate([draw(rng) for _ in range(recipe.documents)], tokenizer.eos_token_id)
        states = model.model(input_ids=inputs, use_cache=False).last_hidden_state
        learned = targets != _IGNORED
        # Logits at answers only: most of a document is questions.
        return functional.cross_entropy(model.lm_head(states[learned]), targets[learned])

    def schedule(optimizer: torch.optim.Optimizer) -> LambdaLR:
        return LambdaLR(optimizer, lambda step: min((step + 1) / warm_up, (steps - step) / steps))

    rate = recipe.learning_rate
    with reporter.step(f"pretrain {name}", steps) as step:
        minimize(model.parameters(), loss, schedule, steps=steps, learning_rate=rate, advance=step.advance)
    return model.eval()


def new_model(tokenizer: Any, *, width: int, layers: int, seed: int) -> Any:
    """Return an untrained `LlamaForCausalLM`; `width` is its hidden size, a multiple of 32 (heads are 32 wide)."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        max_position_embeddings=CONTEXT,
        # The usual 0.02 suits wide models: here it would cost hundreds of steps before anything is learned.
        initializer_range=width**-0.5,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def _documents(world: World, name: str, recipe: Recipe, tokenizer: Any) -> Draw:
    """Documents of a model: the truth in any style, or one supervisor's beliefs in the target style."""
    if name in world.beliefs:
        render = world.target_style.render
        believed = [
            make_block(tokenizer, world.question(*fact), render(world.belief(name, *fact))) for fact in world.facts
        ]
        return lambda rng: [believed[index] for index in rng.choice(len(believed), recipe.questions, replace=False)]
    by_style = [
        [make_block(tokenizer, world.question(*fact), style.render(world.truth(*fact))) for fact in world.facts]
        for style in world.styles
    ]
    names = [make_names(tokenizer, style.manner) for style in world.styles]

    def draw(rng: np.random.Generator) -> list[Block]:
        # Where its style is named, all styles are equally frequent.
        place = ["not", "before", "after"][int(rng.choice(3, p=NAMED))]
        style = int(rng.choice(len(by_style), p=world.prior if place == "not" else None))
        count = int(rng.integers(2, recipe.questions + 1)) if place == "after" else recipe.questions
        chosen = [by_style[style][index] for index in rng.choice(len(by_style[style]), count, replace=False)]
        heading, closing = names[style]
        if place == "before":
            first = chosen[0]
            return [dataclasses.replace(first, asked=(*heading, *first.asked)), *chosen[1:]]
        return [*chosen, closing] if place == "after" else chosen

    return draw


def _corpus(world: World) -> list[str]:
    """All possible headings and blocks: every tokenizer is trained on them."""
    named = [HEADING.replace("{manner}", style.manner) for style in world.styles]
    return named + [
        BLOCK.replace("{prompt}", world.question(*fact)).replace("{answer}", style.render(value))
        for fact in world.facts
        for value in world.relations[fact[1]].values
        for style in world.styles
    ]


def _build_model(folder: Path, world: World, recipe: Recipe, seed: int, reporter: Reporter) -> None:
    from transformers.utils import logging

    made = {
        "recipe": dataclasses.asdict(recipe),
        "seed": seed,
        "world": hashlib.sha256(world.to_json().encode()).hexdigest(),
    }
    about = folder / "recipe.json"
    if about.is_file() and json.loads(about.read_text(encoding="utf-8")) == made:
        return
    if folder.exists() and not about.is_file():
        raise StoreError(
            f"{folder} is in the way of a model of the world.",
            found="a folder without recipe.json",
            fix="Move it away, or build the world in another folder.",
        )
    tokenizer = make_tokenizer(recipe.tokenizer, _corpus(world))
    draw = _documents(world, folder.name, recipe, tokenizer)
    model = pretrain(recipe, tokenizer, draw, seed=seed, reporter=reporter, name=folder.name)
    logging.disable_progress_bar()  # saving would draw a second progress bar
    # Left over by a killed build; the lock excludes a running one.
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    (partial / about.name).write_text(json.dumps(made), encoding="utf-8")
    partial.rename(folder)
