"""The model of examples/choices, made from nothing in minutes: a small decoder that has read how texts are sorted.

    python examples/choices/make_model.py           # into outgrow-runs/choices-model

At first it reads single sentences of ten files, each followed by its kind, then documents in which sentences are sorted
under two names, some of them wrongly:

    the battery is dead after a day . => subjective
    the dog ran home to his mother . => objective

Of the rows that it is to judge (`subj`) it has read the words, and groups of them found by k-means, but no label.
"""

from __future__ import annotations

import argparse
import gzip
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from outgrow.progress import Reporter, reporter_for
from outgrow.tasks.tables import read_records
from outgrow.worlds.facts_models import Block, collate, make_tokenizer, new_model

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "memories": ("cosmosqa/valid.csv.gz", "context"),
    "sums": ("gsm8k/train.jsonl.gz", "question"),
    "news": ("crowd_rte/pairs.tsv.gz", "text"),
    "talk": ("hh_harmless/gold_half.jsonl.gz", "chosen"),
    "science": ("sciq/qa_pairs.jsonl.gz", "question"),
    "commands": ("snips/train.jsonl.gz", "text"),
    "stories": ("corpora/tinystories.txt.gz", None),
    "plays": ("corpora/tinyshakespeare.txt.gz", None),
}
"""Kinds of text: a file each, and the column of a table. `mr` is not among them: 4,167 of its texts are in `subj`."""
REVIEWS, REVIEW_KINDS = "sentiment/cr.jsonl.gz", ("faults", "praise")
"""Reviews of products; by their label they are of one kind or the other."""
SORTED, GROUPS = "sentiment/subj.jsonl.gz", 4
"""Rows to be judged: of these sentences only the words are read. By k-means they become so many kinds."""
CONCEPTS = {
    ("negative", "positive"): (("faults",), ("praise",)),
    ("subjective", "objective"): (("faults", "praise"), ("stories", "news", "sums")),
}
"""The two names that a document sorts under, and the kinds that belong under each. The second is our own judgement."""
ASKED, GAP = " =>", "\n"
"""What follows a text, and what separates it from the next."""
PIECES = r" ?\w+| ?[^\w\s]+|\s"
"""A word or marks, with the space before them."""
MOST = 9000
"""Sentences of a kind."""


@dataclass(frozen=True)
class Recipe:
    """Size of the model, and the length of its three lessons."""

    width: int = 128
    """Size of the residual stream; heads are 32 wide."""
    layers: int = 3
    """Number of transformer blocks."""
    vocabulary: int = 4096
    """Tokens; byte pairs are merged until there are so many."""
    kinds: int = 250
    """Steps in which single sentences are followed by their kind."""
    documents: int = 350
    """Steps in which documents sort sentences."""
    learning_rate: float = 3e-3
    """Peak learning rate of AdamW."""


def sentences(text: str) -> Iterator[str]:
    """Sentences of 5 to 40 words and marks as the files of `sentiment` write them: small letters, all between spaces.

    Example:
        >>> list(sentences("It rained. Lily went home, and it rained."))
        ['lily went home , and it rained .']
    """
    for sentence in re.split(r"(?<=[.!?])\s+", re.sub(r"\s+|Human:|Assistant:|<\|endoftext\|>", " ", text)):
        words = re.findall(r"\w+(?:'\w+)?|[^\w\s]", sentence.lower())
        if 5 <= len(words) <= 40:
            yield " ".join(words)


def read_kinds(data: Path) -> dict[str, list[str]]:
    """Distinct sentences of every kind, in random order; last come the groups of the sentences to be judged."""
    rng = np.random.default_rng(0)
    found = {}
    for kind, (name, column) in FILES.items():
        texts = read_records(str(data / name))[column].to_pylist() if column else [plain_text(data / name)]
        distinct = sorted({one for text in texts for one in sentences(text)})
        found[kind] = [distinct[place] for place in rng.permutation(len(distinct))[:MOST]]
    reviews = read_records(str(data / REVIEWS))
    for text, label in zip(reviews["text"].to_pylist(), reviews["label"].to_pylist(), strict=True):
        found.setdefault(REVIEW_KINDS[label], []).append(one_line(text))
    films = [one_line(text) for text in read_records(str(data / SORTED))["text"].to_pylist()]
    for group, text in zip(groups(films), films, strict=True):
        found.setdefault(f"films{group}", []).append(text)
    return found


def plain_text(path: Path) -> str:
    """A whole file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read()


def one_line(text: str) -> str:
    """Single spaces between words."""
    return " ".join(text.split())


def groups(texts: Sequence[str]) -> list[int]:
    """Groups of texts whose words are alike: k-means in the space of the 16 main components of TF-IDF."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    counted = TfidfVectorizer(min_df=3, sublinear_tf=True).fit_transform(texts)
    points = normalize(TruncatedSVD(16, random_state=0).fit_transform(counted))
    found = KMeans(GROUPS, n_init=4, random_state=0).fit_predict(normalize(points - points.mean(axis=0)))
    return [int(group) for group in found]


def word_vectors(texts: Sequence[Sequence[int]], vocabulary: int, size: int) -> NDArray[np.float64]:
    """Directions of tokens that occur in the same texts lie close: main components of who occurs where.

    Returns:
        Shape (vocabulary, size), rows of length one.
    """
    from scipy.sparse import csr_matrix
    from sklearn.decomposition import TruncatedSVD

    places = np.concatenate([np.unique(text) for text in texts])
    owners = np.repeat(np.arange(len(texts)), [len(set(text)) for text in texts])
    seen = csr_matrix((np.ones(len(places)), (places, owners)), shape=(vocabulary, len(texts)))
    seen = csr_matrix(seen.multiply(1 / np.sqrt(1 + seen.sum(axis=1))))
    points: NDArray[np.float64] = TruncatedSVD(size, random_state=0).fit_transform(seen)
    points = points - points.mean(axis=0)
    return points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-6)


class Lessons:
    """Documents for the model, each drawn as it is needed.

    Args:
        tokenizer: The model's.
        kinds: Sentences by kind.
    """

    def __init__(self, tokenizer: Any, kinds: Mapping[str, Sequence[str]]) -> None:
        def tokens(texts: Sequence[str]) -> list[list[int]]:
            return [list(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]]

        self.texts = {kind: tokens([f" {one}" for one in texts]) for kind, texts in kinds.items()}
        said = [*self.texts, *(name for names in CONCEPTS for name in names)]
        self._said = dict(zip(said, tokens([f" {one}" for one in said]), strict=True))
        self._asked, self._gap = (tuple(ids) for ids in tokens([ASKED, GAP]))

    def kind(self, rng: np.random.Generator, length: int) -> list[Block]:
        """One text and its kind."""
        kind = str(rng.choice(list(self.texts)))
        return [self._block(rng, kind, length, kind)]

    def document(self, rng: np.random.Generator, count: int, length: int) -> list[Block]:
        """So many sentences, at most `length` tokens of each, sorted by one concept.

        How many belong under the first name, and how many are under the wrong one, is drawn for every document.
        """
        names = list(CONCEPTS)[int(rng.integers(len(CONCEPTS)))]
        share, wrong = rng.uniform(0.2, 0.8), float(rng.choice([0.0, 0.1, 0.3]))
        found = []
        for _ in range(count):
            side = int(rng.random() >= share)
            kind = str(rng.choice(CONCEPTS[names][side]))
            found.append(self._block(rng, kind, length, names[side ^ int(rng.random() < wrong)]))
        return found

    def step(self, rng: np.random.Generator, at: int, recipe: Recipe) -> list[list[list[Block]]]:
        """What is read in one step, in groups of like length: at first kinds alone, then documents."""
        if at < recipe.kinds:
            return [[self.kind(rng, 24) for _ in range(64)]]
        count = int(rng.integers(2, 14))
        return [[self.kind(rng, 24) for _ in range(16)], [self.document(rng, count, 28) for _ in range(96 // count)]]

    def _block(self, rng: np.random.Generator, kind: str, length: int, said: str) -> Block:
        text = self.texts[kind][int(rng.integers(len(self.texts[kind])))]
        start = int(rng.integers(max(1, len(text) - length + 1)))
        return Block((*text[start : start + length], *self._asked), tuple(self._said[said]), self._gap)


def teach(model: Any, steps: Iterable[list[list[list[Block]]]], recipe: Recipe, end: int, reporter: Reporter) -> None:
    """Trains in place; loss falls on what is said of the texts."""
    import torch
    from torch.nn import functional

    total = recipe.kinds + recipe.documents
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda at: min((at + 1) / 50, 1.0, (total - at) / (0.3 * total))
    )
    with reporter.step("teach the model", total) as progress:
        for groups_of_documents in steps:
            loss, count = torch.zeros(()), 0
            for documents in groups_of_documents:
                inputs, targets = collate(documents, end)
                states = model.model(input_ids=inputs, use_cache=False).last_hidden_state
                learned = targets != -100
                loss = loss + functional.cross_entropy(
                    model.lm_head(states[learned]), targets[learned], reduction="sum"
                )
                count += int(learned.sum())
            (loss / count).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            progress.advance()


def make(data: Path, folder: Path, recipe: Recipe, reporter: Reporter, *, seed: int) -> None:
    """Makes the model folder."""
    import torch

    kinds = read_kinds(data)
    corpus = [f" {text}" for texts in kinds.values() for text in texts[:4000]]
    names = [f" {name}" for name in (*kinds, *(one for pair in CONCEPTS for one in pair))]
    corpus += [f"{ASKED}{name}{GAP}" for name in names] * 300  # so often that every name is one token
    tokenizer = make_tokenizer("bytes", corpus, vocabulary=recipe.vocabulary, pieces=PIECES)
    lessons = Lessons(tokenizer, kinds)
    model = new_model(tokenizer, width=recipe.width, layers=recipe.layers, seed=seed)
    half = recipe.width // 2
    known = word_vectors([text for texts in lessons.texts.values() for text in texts[:4000]], len(tokenizer), half)
    with torch.no_grad():
        # As long as what was drawn for these components; the other half stays as it was drawn.
        model.model.embed_tokens.weight[:, :half] = torch.tensor(known * (half / recipe.width) ** 0.5)
    rng = np.random.default_rng(seed)
    steps = (lessons.step(rng, at, recipe) for at in range(recipe.kinds + recipe.documents))
    teach(model, steps, recipe, tokenizer.eos_token_id, reporter)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    partial.rename(folder)
    reporter.note(f"{folder}: {model.num_parameters():,} parameters, {len(tokenizer)} tokens")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Makes the model of examples/choices.")
    parser.add_argument(
        "--data", type=Path, default=ROOT / "../shared/data", help="holds sentiment/, corpora/ and others"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "outgrow-runs/choices-model", help="folder of the model")
    parser.add_argument("--seed", type=int, default=0, help="of weights and documents")
    given = parser.parse_args()
    given.output.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(given.output.with_suffix(".lock")), reporter_for(sys.stderr) as reporter:
        if not given.output.exists():
            make(given.data, given.output, Recipe(), reporter, seed=given.seed)


if __name__ == "__main__":
    main()
