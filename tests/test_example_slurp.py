"""The scripts of examples/slurp: what the student reads, what the models are like, and how their time is estimated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from example_scripts import load_script
from outgrow.config import load_config
from outgrow.tasks import load_task

FOLDER = Path(__file__).parents[1] / "examples" / "slurp"
SAID = ["wake me up at five am", "play some jazz in the living room", "stop"]


make_models, estimate = load_script("slurp/make_models.py"), load_script("slurp/estimate.py")


@given(st.lists(st.sampled_from(["a", "to", "the", "é", "ten"]), min_size=2, max_size=12), st.integers(0, 2**32 - 1))
def test_every_copied_stretch_follows_the_word_it_is_named_by(words: list[str], seed: int) -> None:
    utterance = " ".join(words)
    found = json.loads(make_models.copied(utterance, np.random.default_rng(seed)))
    assert found
    for word, stretches in found.items():
        assert all(f" {word} {stretch} " in f" {utterance} " for stretch in stretches)


def test_a_single_word_has_nothing_to_copy() -> None:
    assert make_models.copied("stop", np.random.default_rng(0)) is None


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=120), max_size=12))
def test_packing_keeps_order_and_goes_over_the_limit_for_long_documents_only(documents: list[list[int]]) -> None:
    packed = make_models.packed(documents)
    assert [token for each in packed for token in each] == [token for each in documents for token in each]
    longest = max(map(len, documents), default=0)
    assert all(len(each) <= max(make_models.PIECE, longest) for each in packed)


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Any]:
    shapes = make_models.SHAPES
    return {name: make_models.make_tokenizer(shape.vocabulary, SAID * 300) for name, shape in shapes.items()}


@given(text=st.text())
def test_tokenizers_give_any_text_back(tokenizers: dict[str, Any], text: str) -> None:
    for tokenizer in tokenizers.values():
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_a_word_is_the_same_tokens_in_an_utterance_and_in_json(tokenizers: dict[str, Any]) -> None:
    for tokenizer in tokenizers.values():
        word = tokenizer("living")["input_ids"]
        for text in ("in the living room =>", ' {"house_place": ["living"]}'):
            ids = tokenizer(text)["input_ids"]
            assert any(ids[start : start + len(word)] == word for start in range(len(ids)))


def test_supervisors_have_at_most_a_million_parameters_and_are_drawn_by_the_seed(tokenizers: dict[str, Any]) -> None:
    for name in ("bytes", "bpe512", "bpe4k"):
        largest = make_models.SHAPES[name]
        one, again = (make_models.new_model(largest, tokenizers[name], seed=3) for _ in range(2))
        full = one.num_parameters() + (largest.vocabulary - len(tokenizers[name])) * largest.width
        assert full <= 1_000_000
        assert all((a == b).all() for a, b in zip(one.parameters(), again.parameters(), strict=True))


def test_the_student_reads_all_stories_and_every_utterance_as_often_as_asked(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["student"]
    rows = make_models.lessons(SAID, ["once upon a time"], tokenizer, copies=2, seed=0)
    text = "".join(tokenizer.decode(row["input_ids"][0]) for row in rows)
    assert all(text.count(f"{utterance} =>") == 2 for utterance in SAID)
    assert text.count("once upon a time<end>") == 1
    assert text.count("<end>") == 2 * len(SAID) + 1


@pytest.mark.usefixtures("real_data")
def test_no_utterance_of_the_test_file_is_read() -> None:
    data = FOLDER / "../../../shared/data/slurp"
    said = set(make_models.utterances(data))
    config = load_config(FOLDER / "slurp.yaml").task
    tested = load_task(config).read(config).part("test")
    assert len(said) > 10_000
    assert said.isdisjoint(map(str, tested.prompts))


@pytest.fixture
def tiny_experiment(decoder_folder: Path, tmp_path: Path) -> Path:
    rows = [{"text": f"{a} {b} {c}", "label": f"{c} {a}"} for a in ("the", "a") for b in ("film", "plot") for c in SAID]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    supervisor = {"model": str(decoder_folder), "train": {"max_steps": 4, "per_device_train_batch_size": 2}}
    settings = {
        "task": {"path": "rows.jsonl", "split": {"gold": 4, "unlabelled": 4, "test": 4}},
        "supervisors": [{**supervisor, "name": "one"}, {"model": str(decoder_folder), "name": "two"}],
        "strong": {"model": str(decoder_folder)},
        "methods": {
            "naive": {},
            "joint": {"combine": "joint_decoding"},
            "naive cdpo": {"prefer": {"name": "cdpo", "candidates": 2}},
        },
        "generate": {"max_new_tokens": 4},
        "seeds": 2,
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def test_the_estimate_counts_every_training_and_every_answer(tiny_experiment: Path) -> None:
    jobs = list(estimate.jobs(load_config(tiny_experiment)))
    assert {job.what: job.times for job in jobs} == {
        "one learns": 2,
        "one labels": 2,
        "one scores": 2,
        "one answers": 2,
        "two labels": 2,
        "two scores": 2,
        "two answers": 2,
        "naive learns": 2,
        "joint learns": 2,
        "naive cdpo samples": 2,
        "naive cdpo prefers": 2,
        "ceiling learns": 2,
        "students answer": 8,
    }
    assert all(job.seconds > 0 for job in jobs)


def test_the_estimate_knows_candidates_of_a_beam_search(tiny_experiment: Path) -> None:
    config = load_config(tiny_experiment, ["methods.naive cdpo.prefer.temperature=0"])
    times = {job.what: job.seconds for job in estimate.jobs(config)}
    assert times["naive cdpo samples"] > 0


def test_a_prompt_is_timed_with_different_texts_which_are_not_read_as_one(tiny_experiment: Path) -> None:
    config = load_config(tiny_experiment)
    gold = load_task(config.task).read(config.task).part("gold")
    batch = estimate.TimedModel(config.strong.model, 2, gold, config)._batch(1, 2, 3)
    assert [len(set(batch.prompts[start : start + 3])) for start in (0, 3)] == [1, 1]
    assert [len(set(batch.texts[start : start + 3])) for start in (0, 3)] == [3, 3]
