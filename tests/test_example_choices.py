"""The script that makes the model of the example choices."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from example_scripts import load_script
from outgrow.worlds.facts_models import make_tokenizer

script = load_script("choices/make_model.py")
KINDS = {
    kind: [f"{kind} number {number} here" for number in range(5)]
    for kind in ("faults", "praise", "stories", "news", "sums", "films0")
}


@pytest.fixture(scope="module")
def lessons():
    names = [name for pair in script.CONCEPTS for name in pair]
    corpus = [f" {text} => {name}\n" for texts in KINDS.values() for text in texts for name in (*KINDS, *names)] * 5
    tokenizer = make_tokenizer("bytes", corpus, vocabulary=600, pieces=script.PIECES)
    return tokenizer, script.Lessons(tokenizer, KINDS)


def test_sentences_are_written_as_the_reviews_are() -> None:
    told = "It rained. Lily went home, and it rained.<|endoftext|>Her dog's name\nwas Bob, she said!"
    assert list(script.sentences(told)) == ["lily went home , and it rained .", "her dog's name was bob , she said !"]


def test_a_document_sorts_sentences_under_two_names_and_errs_as_often_as_it_should(lessons) -> None:
    tokenizer, drawn = lessons
    rng = np.random.default_rng(0)
    belongs = {
        kind: name
        for pair, sides in script.CONCEPTS.items()
        for name, own in zip(pair, sides, strict=True)
        for kind in own
    }
    assert belongs["stories"] == "objective"
    right: Counter[bool] = Counter()
    for _ in range(200):
        document = drawn.document(rng, 6, 28)
        said = [tokenizer.decode(block.said).strip() for block in document]
        [pair] = [pair for pair in script.CONCEPTS if set(said) <= set(pair)]
        for block, name in zip(document, said, strict=True):
            asked = tokenizer.decode(block.asked)
            assert asked.endswith(" =>")
            kind = asked.split()[0]
            [meant] = [own for own, kinds in zip(pair, script.CONCEPTS[pair], strict=True) if kind in kinds]
            right[name == meant] += 1
    assert right[False] / right.total() == pytest.approx(0.4 / 3, abs=0.03)


def test_sentences_to_be_judged_are_never_sorted_under_the_names_of_choices(lessons) -> None:
    tokenizer, drawn = lessons
    rng = np.random.default_rng(1)
    documents = [drawn.document(rng, 4, 28) for _ in range(200)]
    assert not any("films" in tokenizer.decode(block.asked) for document in documents for block in document)
    kinds = [tokenizer.decode(drawn.kind(rng, 28)[0].said).strip() for _ in range(100)]
    assert set(kinds) == set(KINDS)


def test_a_stretch_is_taken_of_a_long_sentence(lessons) -> None:
    tokenizer, drawn = lessons
    [block] = drawn.kind(np.random.default_rng(2), 2)
    assert len(block.asked) == 2 + len(tokenizer(script.ASKED)["input_ids"])


def test_groups_are_those_of_the_words() -> None:
    rng = np.random.default_rng(0)
    topics = [[f"word{topic}{number}" for number in range(8)] for topic in range(script.GROUPS)]
    planted = [number % script.GROUPS for number in range(80)]
    found = script.groups([" ".join(rng.choice(topics[topic], 5)) for topic in planted])
    assert len(set(zip(planted, found, strict=True))) == script.GROUPS


def test_tokens_of_the_same_texts_have_like_directions() -> None:
    texts = [[1, 2], [2, 1], [1, 2, 5], [3, 4], [4, 3], [3, 4, 5]] * 5
    known = script.word_vectors(texts, 6, 3)
    np.testing.assert_allclose(np.linalg.norm(known[1:], axis=1), 1)
    assert known[1] @ known[2] > 0.9 > known[1] @ known[3]


def test_the_labels_of_the_rows_to_be_judged_are_not_read(tmp_path: Path) -> None:
    """The file has none here."""
    for name, column in [*script.FILES.values(), (script.REVIEWS, "text"), (script.SORTED, "text")]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        first = path.stem.partition(".")[0]
        texts = [" ".join([first, *(f"word{(number + step) % 40}" for step in range(5)), "."]) for number in range(40)]
        rows = [{column: text, **({"label": 1} if name == script.REVIEWS else {})} for text in texts]
        comma = {".csv": ",", ".tsv": "\t"}.get(Path(path.stem).suffix)
        lines = [column, *texts] if comma else texts if column is None else [json.dumps(row) for row in rows]
        with gzip.open(path, "wt") as file:
            file.write("\n".join(lines))
    found = script.read_kinds(tmp_path)
    assert sum(len(texts) for kind, texts in found.items() if kind.startswith("films")) == 40
    assert len(found["praise"]) == 40
    assert "train word0 word1 word2 word3 word4 ." in found["sums"]
