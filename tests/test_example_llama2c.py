"""Models in llama2.c's format, converted for the example hh_harmless."""

from __future__ import annotations

import doctest
import gzip
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from example_scripts import load_script
from outgrow.errors import ModelError
from outgrow.models.loading import check_model
from outgrow.models.local import LocalLanguageModel
from outgrow.models.protocols import GenerateOptions

llama2c = load_script("hh_harmless/llama2c.py")
Shape, convert, load_network, load_tokenizer, read_pieces = (
    llama2c.Shape,
    llama2c.convert,
    llama2c.load_network,
    llama2c.load_tokenizer,
    llama2c.read_pieces,
)

SMALL = Shape(dim=12, hidden=10, layers=2, heads=3, kv_heads=1, vocabulary=9, context=8)


def write_model(path: Path, shape: llama2c.Shape, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    arrays = {name: random.normal(scale=0.5, size=size).astype("<f4") for name, size in shape.weights()}
    header = struct.pack("<7i", *vars(shape).values())
    path.write_bytes(header + b"".join(array.tobytes() for array in arrays.values()))
    return arrays


def write_tokenizer(path: Path, pieces: list[tuple[bytes, float]]) -> None:
    entries = b"".join(struct.pack("<fi", score, len(piece)) + piece for piece, score in pieces)
    path.write_bytes(struct.pack("<i", max(len(piece) for piece, _ in pieces)) + entries)


def by_the_book(shape: llama2c.Shape, w: dict[str, np.ndarray], tokens: list[int]) -> np.ndarray:
    """The forward pass as llama2.c states it, position by position, in double precision."""

    def norm(x: np.ndarray, gain: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x * x).mean() + 1e-5) * gain

    def turned(x: np.ndarray, position: int) -> np.ndarray:
        heads = x.reshape(-1, shape.head // 2, 2)
        angle = position / 10000 ** (np.arange(0, shape.head, 2) / shape.head)
        turn = np.exp(1j * angle)
        both = (heads[..., 0] + 1j * heads[..., 1]) * turn
        return np.stack([both.real, both.imag], axis=-1).reshape(-1, shape.head)

    keys: list[list[np.ndarray]] = [[] for _ in range(shape.layers)]
    values: list[list[np.ndarray]] = [[] for _ in range(shape.layers)]
    logits = []
    for position, token in enumerate(tokens):
        x = w["embedding"][token].astype(np.float64)
        for layer in range(shape.layers):
            h = norm(x, w["attention_norm"][layer])
            query = turned(w["query"][layer] @ h, position)
            keys[layer].append(turned(w["key"][layer] @ h, position))
            values[layer].append((w["value"][layer] @ h).reshape(-1, shape.head))
            heads = []
            for head in range(shape.heads):
                own = head // (shape.heads // shape.kv_heads)
                scores = np.array([query[head] @ key[own] for key in keys[layer]]) / np.sqrt(shape.head)
                weights = np.exp(scores - scores.max())
                weights /= weights.sum()
                heads.append(sum(weight * value[own] for weight, value in zip(weights, values[layer], strict=True)))
            x = x + w["attention_out"][layer] @ np.concatenate(heads)
            h = norm(x, w["feed_norm"][layer])
            gate = w["gate"][layer] @ h
            x = x + w["down"][layer] @ (gate / (1 + np.exp(-gate)) * (w["up"][layer] @ h))
        logits.append(w.get("output", w["embedding"]) @ norm(x, w["norm"]))
    return np.array(logits)


@pytest.mark.parametrize("vocabulary", [9, -9])
def test_a_converted_model_gives_the_logits_of_the_original(tmp_path: Path, vocabulary: int) -> None:
    shape = Shape(**{**vars(SMALL), "vocabulary": vocabulary})
    arrays = write_model(tmp_path / "model.bin", shape)
    tokens = [1, 5, 3, 8, 3]
    with torch.no_grad():
        logits = load_network(tmp_path / "model.bin")(torch.tensor([tokens])).logits[0].numpy()
    assert logits == pytest.approx(by_the_book(shape, arrays, tokens), abs=1e-4)


def merged_by_score(text: str, pieces: list[tuple[str, float]]) -> list[int]:
    """The tokenizer as llama2.c states it: a space in front, then always the adjacent pair with the highest score."""
    ids = {piece: (index, score) for index, (piece, score) in enumerate(pieces)}
    tokens: list[str] = []
    for character in "▁" + text.replace(" ", "▁"):
        tokens += [character] if character in ids else [f"<0x{byte:02X}>" for byte in character.encode()]
    while True:
        pairs = [(ids[a + b][1], -place) for place, (a, b) in enumerate(pairwise(tokens)) if a + b in ids]
        if not pairs:
            return [ids[token][0] for token in tokens]
        place = -max(pairs)[1]
        tokens[place : place + 2] = [tokens[place] + tokens[place + 1]]


@pytest.fixture(scope="module")
def stories(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = real_data / "models/stories260K"
    return convert(source / "stories260K.bin", source / "tok512.bin", tmp_path_factory.mktemp("stories") / "model")


@pytest.fixture(scope="module")
def texts(real_data: Path) -> list[str]:
    with gzip.open(real_data / "corpora/tinystories.txt.gz", "rt", encoding="utf-8") as file:
        return [text.strip() for text in file.read(60_000).split("<|endoftext|>")][:-1]


def test_the_real_tokenizer_cuts_texts_as_the_original_does(real_data: Path, texts: list[str]) -> None:
    path = real_data / "models/stories260K/tok512.bin"
    tokenizer, pieces = load_tokenizer(path), read_pieces(path)
    for text in [*texts[:10], "naïve 🙂 今日", "Lily's  two\nspaces"]:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert ids == merged_by_score(text, pieces)
        assert tokenizer.decode(ids) == text


def test_the_real_model_knows_the_stories_it_has_read(stories: Path, texts: list[str]) -> None:
    check_model(str(stories))
    model = LocalLanguageModel.load(str(stories))
    assert model.tokenizer("Once")["input_ids"][0] == 1
    total = count = 0.0
    with torch.no_grad():
        for text in texts[:30]:
            ids = torch.tensor([model.tokenizer(text)["input_ids"][:512]])
            total += float(model.model(ids, labels=ids).loss) * (ids.shape[1] - 1)
            count += ids.shape[1] - 1
    assert total / count == pytest.approx(1.26, abs=0.05)


def test_the_real_model_tells_a_story(stories: Path) -> None:
    model = LocalLanguageModel.load(str(stories))
    told = model.generate(["Once upon a time, there was a little girl named"], GenerateOptions(max_new_tokens=8))[0][0]
    assert told.text.startswith((" Lily", " Lucy", " L"))


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "model.bin", SMALL)
    write_tokenizer(tmp_path / "tok.bin", [(piece, 0.0) for piece in (b"<unk>", b"\n<s>\n", b"\n</s>\n", b"a")])
    with pytest.raises(ModelError, match=r"is not the tokenizer of(.|\n)*4 tokens(.|\n)*9 tokens"):
        convert(tmp_path / "model.bin", tmp_path / "tok.bin", tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-4], lambda data: data + b"1234", lambda data: data[:10], lambda data: b"42ka" + data[4:]],
)
def test_a_damaged_model_is_refused(tmp_path: Path, damage: object) -> None:
    write_model(tmp_path / "model.bin", SMALL)
    assert callable(damage)
    (tmp_path / "model.bin").write_bytes(damage((tmp_path / "model.bin").read_bytes()))
    with pytest.raises(ModelError, match="is not a file of llama2"):
        load_network(tmp_path / "model.bin")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01\0\0\0" + struct.pack("<fi", 0.0, 9) + b"abc",
        b"\x01\0\0\0abc",
        b"\x01\0\0\0" + struct.pack("<fi", 0.0, -8),  # goes back to where it was, for ever
    ],
)
def test_a_damaged_tokenizer_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "tok.bin").write_bytes(data)
    with pytest.raises(ModelError, match="is not a file of llama2"):
        load_tokenizer(tmp_path / "tok.bin")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nothing\.bin cannot be read"):
        load_network(tmp_path / "nothing.bin")


def test_the_examples_in_docstrings_run() -> None:
    assert doctest.testmod(llama2c).failed == 0
