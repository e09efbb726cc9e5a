"""The models of examples/slurp, made from nothing: three fresh supervisors, and a student that has read plain text.

    python examples/slurp/make_models.py            # into outgrow-runs/slurp-models; interrupted, it goes on

All have Llama's architecture, and each its own tokenizer. The supervisors stay as they are drawn: the experiment trains
them. The student reads stories and the utterances of SLURP, never a slot of theirs and nothing of the test file, and
after each utterance it copies stretches of it, each named by the word before it:

    remind me to call mum at ten => {"to": ["call mum"], "at": ["ten"]}
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from outgrow.config import Split, TaskConfig
from outgrow.progress import Reporter, reporter_for
from outgrow.tasks import load_task
from outgrow.tasks.slots import Slurp

ROOT = Path(__file__).resolve().parents[2]
END = "<end>"
ASKED = "{utterance} =>"
"""How slurp.yaml asks for slots (`generate.template`)."""
CONTEXT = 384
"""Longest text in tokens: the longest utterance has 365 characters, 119 of them in the longest JSON of slots."""
PIECE = 96
"""Tokens in a piece of a story, and in short documents read together."""
_PIECES = r"\w+|[^\w\s]+(?: [^\w\s]+)*|\s"
"""Words without the space before them, so that a word is the same tokens in an utterance and in JSON; `": ["`."""


@dataclass(frozen=True)
class Shape:
    """Size of a model."""

    vocabulary: int
    """Tokens at most; byte pairs are merged until there are so many."""
    width: int
    """Size of the residual stream; heads are 32 wide."""
    layers: int
    """Number of transformer blocks."""


SHAPES = {
    "bytes": Shape(257, 96, 4),
    "bpe512": Shape(512, 96, 4),
    "bpe4k": Shape(4096, 96, 3),
    "student": Shape(4096, 256, 5),
}
"""All models; the first three are the supervisors."""


def utterances(folder: Path) -> list[str]:
    """What was said in all files but the test file, without what was also said there."""
    task = TaskConfig(name="slurp", path=str(folder), template="{utterance}", split=Split(gold=0.5, unlabelled=0.5))
    rows = load_task(task).read(task)
    return [str(prompt) for prompt, part in zip(rows.prompts, rows.parts, strict=True) if part != "test"]


def stories(path: Path) -> list[str]:
    """The stories of a file in which `<|endoftext|>` parts them."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [story.strip() for story in file.read().split("<|endoftext|>") if story.strip()]


def copied(utterance: str, rng: np.random.Generator) -> str | None:
    """JSON of one or two stretches of one to three words, each named by the word before it; None of a single word.

    Example:
        >>> copied("wake me", np.random.default_rng(0))
        '{"wake": ["me"]}'
    """
    words = utterance.split()
    if len(words) < 2:
        return None
    found: dict[str, list[str]] = {}
    start = 1
    for _ in range(int(rng.integers(1, 3))):
        if start >= len(words):
            break
        start = int(rng.integers(start, len(words)))
        end = start + int(rng.integers(1, 4))
        found.setdefault(words[start - 1], []).append(" ".join(words[start:end]))
        start = end + 1
    return json.dumps(found, ensure_ascii=False)


def make_tokenizer(vocabulary: int, corpus: Sequence[str]) -> Any:
    """Byte pairs with the names of SLURP's slots among the corpus; decoding gives any text back."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(_PIECES), "isolated"), to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, initial_alphabet=alphabet, special_tokens=[END], show_progress=False
    )
    names = [f"=> {json.dumps({name: ['a', 'b'], 'date': ['c']})}" for name in Slurp.schema]
    tokenizer.train_from_iterator([*corpus, *names * (len(corpus) // 200)], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=CONTEXT, eos_token=END)


def new_model(shape: Shape, tokenizer: Any, *, seed: int) -> Any:
    """A fresh `LlamaForCausalLM`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        intermediate_size=3 * shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.width // 32,
        max_position_embeddings=CONTEXT,
        initializer_range=shape.width**-0.5,  # the customary 0.02 is made for wide models
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(seed)
    return LlamaForCausalLM(config)


def lessons(said: Sequence[str], told: Sequence[str], tokenizer: Any, *, copies: int, seed: int) -> list[Any]:
    """What the student reads, every token of it learned: utterances with copied stretches, and pieces of stories.

    Args:
        said: Utterances.
        told: Stories.
        tokenizer: The student's.
        copies: How often every utterance is read, each time with other stretches.
        seed: Draws the stretches and the order.
    """
    from outgrow.train.answers import certain_line

    rng = np.random.default_rng(seed)
    documents = []
    for utterance in [one for one in said for _ in range(copies)]:
        stretches = copied(utterance, rng)
        answer = [] if stretches is None else tokenizer(f" {stretches}")["input_ids"]
        documents.append([*tokenizer(ASKED.format(utterance=utterance))["input_ids"], *answer, tokenizer.eos_token_id])
    for ids in tokenizer(list(told), verbose=False)["input_ids"]:
        ids.append(tokenizer.eos_token_id)
        documents += [ids[start : start + PIECE] for start in range(0, len(ids), PIECE)]
    return [certain_line(ids) for ids in packed([documents[place] for place in rng.permutation(len(documents))])]


def packed(documents: Sequence[list[int]]) -> list[list[int]]:
    """Neighbours joined as long as they are no longer than `PIECE` together: little is lost to padding.

    Example:
        >>> [len(each) for each in packed([[1] * 60, [2] * 30, [3] * 40, [4] * 100])]
        [90, 40, 100]
    """
    joined: list[list[int]] = []
    for each in documents:
        if joined and len(joined[-1]) + len(each) <= PIECE:
            joined[-1] = joined[-1] + each
        else:
            joined.append(each)
    return joined


def pretrain(model: Any, rows: Sequence[Any], folder: Path, reporter: Reporter, *, seed: int) -> None:
    """Language modelling on all rows once, in place; checkpoints in the folder, from which it goes on."""
    from outgrow.objectives import TokenCrossEntropy
    from outgrow.train.answers import collate
    from outgrow.train.arguments import training_arguments
    from outgrow.train.supervised import fit
    from outgrow.train.text import TokenLosses

    settings = {
        "num_train_epochs": 1,
        "per_device_train_batch_size": 16,
        "learning_rate": 2e-3,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 50,
        "save_steps": 0.1,
    }
    arguments = training_arguments(folder, settings, seed=seed)
    fit(model, rows, collate, TokenLosses(TokenCrossEntropy()), arguments, reporter=reporter, name="pretrain student")


def build(
    data: Path, output: Path, reporter: Reporter, *, only: Sequence[str], copies: int, share: float, seed: int
) -> None:
    """Makes every model folder, or only some, that is not there yet."""
    said, told = utterances(data / "slurp"), stories(data / "corpora/tinystories.txt.gz")
    told = told[: round(share * len(told))]
    for number, (name, shape) in enumerate(SHAPES.items()):
        folder = output / name
        if name not in only or folder.exists():
            continue
        tokenizer = make_tokenizer(shape.vocabulary, [*said, *told] if name == "student" else said)
        model = new_model(shape, tokenizer, seed=seed + number)
        checkpoints = output / f".{name}.checkpoints"
        if name == "student":
            pretrain(model, lessons(said, told, tokenizer, copies=copies, seed=seed), checkpoints, reporter, seed=seed)
        partial = output / f".{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        partial.rename(folder)
        shutil.rmtree(checkpoints, ignore_errors=True)
        reporter.note(f"{folder}: {model.num_parameters():,} parameters, {len(tokenizer)} tokens")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Makes the models of examples/slurp.")
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data", help="holds slurp/ and corpora/")
    parser.add_argument("--output", type=Path, default=ROOT / "outgrow-runs/slurp-models", help="folder of the models")
    parser.add_argument("--only", nargs="+", choices=SHAPES, default=list(SHAPES), help="models to make; default: all")
    parser.add_argument("--copies", type=int, default=3, help="how often the student reads every utterance")
    parser.add_argument("--stories", type=float, default=0.3, help="share of the stories that it reads, once")
    parser.add_argument("--seed", type=int, default=0, help="of weights, copied stretches and order")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    with FileLock(given.output / ".lock"), reporter_for(sys.stderr) as reporter:
        chosen = {"only": given.only, "copies": given.copies, "share": given.stories, "seed": given.seed}
        build(given.data, given.output, reporter, **chosen)


if __name__ == "__main__":
    main()
