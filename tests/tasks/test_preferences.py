"""Files of preference pairs."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from outgrow.config import TaskConfig
from outgrow.errors import DataError
from outgrow.labels import PreferencePairs
from outgrow.tasks.preferences import read_preferences, without_prompts_of, write_preferences
from outgrow.tasks.slots import Home

ASSISTANT = "\n\nAssistant:"
DIALOGUE = "\n\nHuman: One?\n\nAssistant: Two.\n\nHuman: Sure?\n\nAssistant:"


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    pairs = PreferencePairs(("x", "y"), ("ä\n", "b"), (" 1", " 2"), (" 2", " 3"), (0.75, 1.0), (1.0, 0.25))
    write_preferences(tmp_path / "pairs.jsonl", pairs)
    assert read_preferences(tmp_path / "pairs.jsonl") == (pairs, 0)


def test_pairs_of_equal_texts_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [{"prompt": "p", "chosen": chosen, "rejected": "no"} for chosen in ("yes", "no", "perhaps")]
    pairs, equal = read_preferences(written(tmp_path, *rows))
    assert (pairs.chosen, pairs.ids, equal) == (("yes", "perhaps"), ("0", "2"), 1)


def test_a_prompt_that_both_texts_begin_with_ends_where_the_last_answer_begins(tmp_path: Path) -> None:
    path = written(tmp_path, {"chosen": f"{DIALOGUE} I think so.", "rejected": f"{DIALOGUE} I doubt it."})
    pairs, _ = read_preferences(path, answer_after=ASSISTANT)
    assert (pairs.prompts, pairs.chosen, pairs.rejected) == ((DIALOGUE,), (" I think so.",), (" I doubt it.",))


def test_without_such_a_mark_the_prompt_ends_before_the_last_shared_word(tmp_path: Path) -> None:
    pairs, _ = read_preferences(written(tmp_path, {"chosen": "so it is there", "rejected": "so it is that"}))
    assert (pairs.prompts, pairs.chosen, pairs.rejected) == (("so it is",), (" there",), (" that",))


def test_texts_that_share_no_prompt_are_refused_by_line(tmp_path: Path) -> None:
    rows = [{"chosen": f"{DIALOGUE} a", "rejected": f"{DIALOGUE} b"}, {"chosen": "x", "rejected": f"{DIALOGUE} b"}]
    with pytest.raises(DataError, match="preference pair 1 do not share a prompt"):
        read_preferences(written(tmp_path, *rows), answer_after=ASSISTANT)


def test_a_file_without_pairs_and_conversations_as_lists_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'rejected'"):
        read_preferences(written(tmp_path, {"prompt": "p", "chosen": "a"}))
    talk = [{"role": "user", "content": "a"}]
    with pytest.raises(DataError, match="conversations are to be written out"):
        read_preferences(written(tmp_path, {"chosen": talk, "rejected": talk}))


def test_prompts_of_other_files_are_left_out_whatever_their_case_and_spacing() -> None:
    ours = PreferencePairs(("a", "b"), ("Is it so?", "Is it not?"), ("1", "1"), ("2", "2"), (1.0, 1.0), (1.0, 1.0))
    theirs = PreferencePairs(("c",), ("is it  SO?",), ("2",), ("1",), (1.0,), (1.0,))
    assert without_prompts_of(ours, theirs).ids == ("b",)


def test_the_harmlessness_data_are_read_and_their_halves_made_disjoint(real_data: Path) -> None:
    folder = real_data / "hh_harmless"
    with gzip.open(folder / "weak_half.jsonl.gz", "rt") as file:
        lines = sum(1 for _ in file)
    weak, equal = read_preferences(folder / "weak_half.jsonl.gz", answer_after=ASSISTANT)
    test, _ = read_preferences(folder / "test.jsonl.gz", answer_after=ASSISTANT)
    assert len(weak) + equal == lines
    assert all(prompt.startswith("\n\nHuman:") and prompt.endswith(ASSISTANT) for prompt in weak.prompts)
    overlap = len(weak) - len(without_prompts_of(weak, test))
    assert 40 <= overlap <= 160


def test_slots_that_are_no_json_cannot_be_used() -> None:
    config = TaskConfig(name="home", path="any")
    answers = ['{"room": ["hall"]}', "{}", '{"nonsense": ["x"]}', '{"room": ["ha', ""]
    assert Home().usable(config, answers) == [True, True, True, False, False]
