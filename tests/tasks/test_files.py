from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from outgrow.config import TaskConfig
from outgrow.errors import ConfigError, DataError, OutgrowError
from outgrow.labels import Rows
from outgrow.tasks import load_task, read_tests
from outgrow.tasks.files import FileTask, choice_index, read_rows


def write(folder: Path, rows: list[dict[str, Any]]) -> str:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def twenty(**changed: Any) -> list[dict[str, Any]]:
    """Twenty rows of alternating labels; `changed` goes into the last."""
    rows = [{"text": f"row {index}", "label": index % 2, "name": f"r{index}"} for index in range(20)]
    return [*rows[:-1], {**rows[-1], **changed}]


def read(folder: Path, rows: list[dict[str, Any]], **settings: Any) -> Rows:
    settings = {"choices": ["no", "yes"], **settings}
    return read_rows(TaskConfig.model_validate({"path": write(folder, rows), **settings}))


def test_rows_are_read_by_column_names(tmp_path: Path) -> None:
    rows = [{"q": row["text"], "a": row["label"], "key": row["name"]} for row in twenty()]
    made = read(tmp_path, rows, columns={"prompt": "q", "gold": "a", "id": "key"})
    assert dict(zip(made.ids, zip(made.prompts, made.gold, strict=True), strict=True))["r7"] == ("row 7", 1)


def test_without_ids_rows_are_numbered(tmp_path: Path) -> None:
    made = read(tmp_path, twenty())
    assert all(prompt == f"row {name}" for name, prompt in zip(made.ids, made.prompts, strict=True))


def test_a_template_makes_prompts_of_several_columns(tmp_path: Path) -> None:
    made = read(tmp_path, twenty(), template="{name}: {text} {{really}}?")
    assert "r7: row 7 {really}?" in made.prompts


@pytest.mark.parametrize("template", ["{text", "{}", "{text:{width}}", "{text:d}", "{text!q}"])
def test_a_template_that_is_none_is_refused(tmp_path: Path, template: str) -> None:
    with pytest.raises(OutgrowError, match="template"):
        read(tmp_path, twenty(), template=template)


def test_a_template_reaches_columns_only(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column 'text\.__class__'"):
        read(tmp_path, twenty(), template="{text.__class__}")


def test_a_row_with_nothing_to_put_into_the_template_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing in 'text'"):
        read(tmp_path, twenty(text=None), template="{text}")


def test_a_row_without_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 rows of .* have no text in 'text'"):
        read(tmp_path, twenty(text=None))


def test_auto_choices_are_the_labels_in_order(tmp_path: Path) -> None:
    rows = [{**row, "label": ["maybe", "no", "yes"][index % 3]} for index, row in enumerate(twenty())]
    made = read(tmp_path, rows, choices="auto")
    assert made.choices == ("maybe", "no", "yes")
    assert made.gold[made.ids.index("4")] == 1


def test_an_empty_label_is_none_rather_than_a_choice(tmp_path: Path) -> None:
    rows = [{**row, "label": ["", "no", "yes"][index % 3]} for index, row in enumerate(twenty())]
    made = read(tmp_path, rows, choices="auto", split={"gold": 0.2, "unlabelled": 0.5, "test": 0.2})
    assert made.choices == ("no", "yes")
    assert None in made.gold


def test_without_choices_it_is_a_text_task(tmp_path: Path) -> None:
    made = read(tmp_path, twenty(), choices=None)
    assert made.choices is None
    assert set(made.gold) == {"0", "1"}


def test_given_parts_are_kept_and_rows_without_one_are_left_out(tmp_path: Path) -> None:
    parts = ["gold", "unlabelled", "test", None]
    rows = [{**row, "part": parts[index % 4]} for index, row in enumerate(twenty())]
    made = read(tmp_path, rows, columns={"part": "part"})
    assert len(made) == 15
    assert all(part == parts[int(name) % 4] for name, part in zip(made.ids, made.parts, strict=True))


def test_a_part_of_an_unknown_name_is_refused(tmp_path: Path) -> None:
    rows = [{**row, "part": "train"} for row in twenty()]
    with pytest.raises(
        DataError, match=r"unknown parts(.|\n)*found:  train(.|\n)*wanted: gold, validation, unlabelled, test"
    ):
        read(tmp_path, rows, columns={"part": "part"})


def test_a_limit_takes_rows_at_random_and_always_the_same(tmp_path: Path) -> None:
    made = read(tmp_path, twenty(), limit=10)
    assert len(made) <= 10
    assert made == read(tmp_path, twenty(), limit=10)
    assert set(made.ids) != {str(index) for index in range(10)}


def test_rows_keep_their_numbers_under_a_limit(tmp_path: Path) -> None:
    """Votes made elsewhere know rows by their numbers in the whole file."""
    made = read(tmp_path, twenty(), limit=10)
    assert all(prompt == f"row {name}" for name, prompt in zip(made.ids, made.prompts, strict=True))


@pytest.mark.parametrize(
    ("value", "index"), [("yes", 1), (1, 1), ("1", 1), (0.0, 0), (True, 1), (None, None), ("", None)]
)
def test_a_label_is_a_choices_name_or_its_index(value: object, index: int | None) -> None:
    assert choice_index(value, ("no", "yes"), where="x") == index


def test_a_name_goes_before_an_index() -> None:
    assert choice_index("1", ("1", "0"), where="x") == 0
    assert choice_index(1, ("1", "0"), where="x") == 0
    assert choice_index(1.0, ("1", "0"), where="x") == 0


@pytest.mark.parametrize("spelt", [str, str.lower, str.upper])
def test_true_and_false_in_any_spelling_are_the_second_and_the_first_of_two_choices(spelt: Any) -> None:
    assert [choice_index(spelt(value), ("no", "yes"), where="x") for value in ("False", "True")] == [0, 1]
    with pytest.raises(DataError, match="outside the choices"):
        choice_index(spelt("True"), ("no", "yes", "perhaps"), where="x")


@pytest.mark.parametrize("value", ["perhaps", 2, -1, 0.5, float("nan"), "-1"])
def test_a_label_outside_the_choices_is_refused(value: object) -> None:
    with pytest.raises(DataError, match=r"outside the choices(.|\n)*one of no, yes, or an index from 0 to 1"):
        choice_index(value, ("no", "yes"), where="x")


def test_a_choice_named_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="names a choice twice"):
        read(tmp_path, twenty(), choices=["no", "no"])


def test_exact_match_ignores_white_space_around_an_answer(tmp_path: Path) -> None:
    config = TaskConfig(path="unused")
    rows = Rows(("a", "b"), ("x", "y"), ("test",) * 2, ("Paris", "Rome"))
    scores = FileTask().score(config, rows, [" Paris\n", "Roma"])
    assert scores["exact_match"].tolist() == [1.0, 0.0]


def test_texts_are_scored_by_the_metrics_that_are_named_the_first_first(tmp_path: Path) -> None:
    config = TaskConfig.model_validate({"path": "unused", "metric": ["rouge_l", {"name": "chrf", "order": 1}]})
    rows = Rows(("a",), ("x",), ("test",), ("ab c",))
    scores = FileTask().score(config, rows, ["ba c"])
    assert {name: values.tolist() for name, values in scores.items()} == {"rouge_l": [0.5], "chrf": [1.0]}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"metric": "rouge"}, "did you mean 'rouge_l'"),
        ({"metric": {"name": "chrf", "words": 2}}, "no parameter 'words'"),
        ({"metric": ["chrf", "chrf"]}, "names a metric twice"),
        ({"metric": "chrf", "choices": ["no", "yes"]}, "Choice tasks are scored by accuracy"),
        ({"metric": "chrf", "name": "facts"}, "has its own metrics"),
    ],
)
def test_a_metric_that_would_not_work_is_refused_before_anything_is_read(settings: dict[str, Any], said: str) -> None:
    config = TaskConfig.model_validate({"path": "unused", **settings})
    with pytest.raises(ConfigError, match=said):
        load_task(config).read(config)


def test_votes_on_none_of_the_rows_are_refused(tmp_path: Path) -> None:
    (tmp_path / "votes.csv").write_text("task,label\nq1,0\n")
    with pytest.raises(DataError, match=r"None of the rows(.|\n)*task='q1'(.|\n)*ids such as '0'"):
        read(tmp_path, twenty(), split={"voted": {"path": str(tmp_path / "votes.csv")}})


def test_a_table_of_its_own_is_the_test_part_and_training_rows_that_are_in_it_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    test_path = write(tmp_path / "tests", [{"text": f"test {index}", "label": 1} for index in range(3)])
    rows = [*twenty(), {"text": "TEST 1!", "label": 0}]
    made = read(tmp_path, rows, test_path=test_path, split={"gold": 10, "unlabelled": 10})
    assert made.part("test").prompts == ("test 0", "test 1", "test 2")
    assert made.part("test").ids == ("test/0", "test/1", "test/2")
    assert (len(made.part("gold")), len(made.part("unlabelled"))) == (10, 10)
    assert "TEST 1!" not in made.prompts


def test_groups_of_the_test_table_are_kept_out_of_training(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    test_path = write(tmp_path / "tests", [{"text": "test", "label": 1, "name": "r3"}])
    made = read(tmp_path, twenty(), test_path=test_path, split={"group": "name", "gold": 9, "unlabelled": 10})
    assert "row 3" not in made.prompts
    assert len(made) == 20


def test_a_number_draws_from_the_test_table(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    test_path = write(tmp_path / "tests", [{"text": f"test {index}", "label": 1} for index in range(9)])
    assert len(read(tmp_path, twenty(), test_path=test_path, split={"test": 4}).part("test")) == 4


def test_two_ways_to_say_which_rows_are_test_rows_are_refused(tmp_path: Path) -> None:
    rows = [{**row, "part": "test"} for row in twenty()]
    with pytest.raises(ConfigError, match=r"task.columns.part(.|\n)*task.test_path"):
        read(tmp_path, rows, columns={"part": "part"}, test_path=write(tmp_path, rows))


def quiz(**changed: Any) -> list[dict[str, Any]]:
    """Ten questions with three choices each; `changed` goes into the last."""
    rows = [{"text": f"q{index}", "choices": [f"a{index}", f"b{index}", "none"], "label": 1} for index in range(10)]
    return [*rows[:-1], {**rows[-1], **changed}]


@pytest.mark.parametrize("label", [1, "1", "B", "b9"])
def test_gold_of_a_row_with_its_own_choices_is_an_index_a_letter_or_a_text(tmp_path: Path, label: object) -> None:
    rows = [{**row, "label": str(row["label"])} for row in quiz()[:-1]] + [quiz(label=str(label))[-1]]
    made = read(tmp_path, rows, columns={"choices": "choices"}, choices=None)
    last = made.prompts.index("q9")
    assert made.choices == ("A", "B", "C")
    assert (made.gold[last], made.choices_of(last)) == (1, ("a9", "b9", "none"))
    assert Rows.from_arrow(made.to_arrow()) == made


def test_choices_of_a_row_may_be_in_columns(tmp_path: Path) -> None:
    rows = [{"text": f"q{index}", "right": f"a{index}", "wrong": "b", "label": 0} for index in range(10)]
    made = read(tmp_path, rows, columns={"choices": ["right", "wrong"]}, choices=None)
    assert made.texts[:2] == (f"{made.prompts[0]}\na{made.prompts[0][1:]}", f"{made.prompts[0]}\nb")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"choices": ["x", "y"]}, r"do not have one number of choices(.|\n)*9 rows with 3, 1 rows with 2"),
        ({"choices": ["x", "y", "x"]}, r"same choice twice(.|\n)*row 9"),
        ({"choices": None}, r"no list of choices(.|\n)*row 9"),
        ({"label": 3}, r"outside the choices(.|\n)*a9, b9, none"),
    ],
)
def test_bad_choices_of_a_row_are_said(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(tmp_path, quiz(**changed), columns={"choices": "choices"}, choices=None)


def test_choices_for_all_rows_and_for_each_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"every row its own choices(.|\n)*task.choices"):
        read(tmp_path, quiz(), columns={"choices": "choices"})


def test_a_further_test_part_takes_what_it_leaves_out_from_the_task(tmp_path: Path) -> None:
    (tmp_path / "hard").mkdir()
    other = write(tmp_path / "hard", [{"q": f"hard {index}", "label": 1} for index in range(5)])
    path = write(tmp_path, [{"q": row["text"], "label": row["label"]} for row in twenty()])
    columns, choices = {"prompt": "q"}, ["no", "yes"]
    config = TaskConfig.model_validate(
        {"path": path, "columns": columns, "choices": choices, "limit": 9, "tests": {"hard": {"path": other}}}
    )
    _, rows = read_tests(config, read_rows(config))["hard"]
    assert rows.ids == ("hard/0", "hard/1", "hard/2", "hard/3", "hard/4")
    assert (rows.prompts[0], rows.gold[0], set(rows.parts)) == ("hard 0", 1, {"test"})


def test_a_test_part_with_other_choices_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, twenty())
    tests = {"other": {"name": "file", "path": path, "choices": "auto"}}
    config = TaskConfig.model_validate({"path": path, "choices": ["no", "yes"], "tests": tests})
    with pytest.raises(ConfigError, match=r"'other' has other choices(.|\n)*found:  0, 1(.|\n)*wanted: no, yes"):
        read_tests(config, read_rows(config))


@pytest.mark.parametrize(
    "tests", [{"../up": {"path": "x"}}, {"test": {"path": "x"}}, {"a": {"path": "x", "tests": {"b": {"path": "y"}}}}]
)
def test_names_and_test_parts_that_cannot_be_are_refused(tests: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="test part"):
        TaskConfig.model_validate({"path": "x", "tests": tests})


def test_a_resolved_configuration_says_the_same_when_it_is_read_again() -> None:
    settings = {
        "path": "a",
        "columns": {"prompt": "q"},
        "limit": 3,
        "tests": {"b": {"path": "b"}, "c": {"name": "sciq"}},
    }
    config = TaskConfig.model_validate(settings)
    assert TaskConfig.model_validate(config.model_dump(mode="json")) == config
    assert (config.tests["b"].columns.prompt, config.tests["b"].limit) == ("q", None)
    assert (config.tests["c"].columns.prompt, config.tests["c"].path) == ("text", None)


@pytest.mark.parametrize(
    "template",
    [
        "{text:>2000000000}",
        "{text:{text}}",
        "{text:.2000000000}",
        "{text.__class__}",
        "{0}",
        "{}",
        "{text[0]}",
        "{text:d}",
    ],
)
def test_a_template_that_fills_memory_or_looks_into_values_is_refused(tmp_path, template):
    (tmp_path / "rows.jsonl").write_text('{"text": "a", "label": "b"}\n' * 3)
    config = TaskConfig.model_validate({"path": str(tmp_path / "rows.jsonl"), "template": template})
    with pytest.raises((ConfigError, DataError)):
        read_rows(config)


@pytest.mark.parametrize(
    "change",
    [
        {"split": {"group": "many"}},
        {"columns": {"part": "many"}},
        {"columns": {"gold": "digits"}, "choices": ["x", "y"]},
    ],
)
def test_lists_and_endless_digits_in_a_column_are_taken_or_refused_in_words(tmp_path, change):
    lines = [{"text": f"t{row}", "label": "x", "many": [row], "digits": "9" * 5000} for row in range(10)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = TaskConfig.model_validate({"path": str(tmp_path / "rows.jsonl"), **change})
    if "split" in change:
        assert len(read_rows(config))
    else:
        with pytest.raises(DataError):
            read_rows(config)
