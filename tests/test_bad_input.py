"""What a user can get wrong: each ends in one clear message, exit code 1, and nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from outgrow import cli, files
from small_experiments import noisy_votes, planted_rows, write_experiment, write_lines

ROWS = planted_rows(80)
TASK = {"path": "rows.jsonl", "columns": {"id": "id"}, "choices": ["no", "yes"]}
TFIDF = [{"features": "tfidf"}]


class Trial:
    """An experiment in a folder of its own, spoiled and then run from the command line."""

    def __init__(self, folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
        self.folder, self.model = folder, Path(shutil.copytree(model, folder / "model"))
        self._monkeypatch, self._capsys = monkeypatch, capsys
        write_lines(folder / "votes.jsonl", noisy_votes(ROWS))

    def run(self, *overrides: str, rows: list[dict[str, Any]] | None = None, **changed: Any) -> tuple[int, str]:
        """Exit code and what was said on standard error."""
        path = write_experiment(self.folder, self.model, ROWS if rows is None else rows, **changed)
        self._monkeypatch.setattr("sys.argv", ["outgrow", "run", str(path), *overrides])
        code: Any = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
        return code, self._capsys.readouterr().err

    def fails(self, *said: str, overrides: tuple[str, ...] = (), **changed: Any) -> str:
        """Checks that a run fails as a user should see it; gives the message."""
        code, error = self.run(*overrides, **changed)
        assert code == 1, error
        assert "Traceback" not in error
        message = error[error.index("Error: ") :]
        assert len(message.splitlines()) <= 6
        for pattern in said:
            assert re.search(pattern, message), message
        assert not (self.folder / "output/results.json").exists()
        assert not list(self.folder.rglob("*.tmp"))
        return message


@pytest.fixture
def trial(
    tmp_path: Path, encoder_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Trial:
    monkeypatch.chdir(tmp_path)
    return Trial(tmp_path, encoder_folder, monkeypatch, capsys)


def untouched(trial: Trial) -> bool:
    """Whether no artefact was made."""
    return not list((trial.folder / "store").rglob("manifest.json"))


def with_last(**changed: Any) -> list[dict[str, Any]]:
    """The rows, with some fields of the last changed."""
    return [*ROWS[:-1], {**ROWS[-1], **changed}]


def test_the_experiment_runs_while_nothing_is_wrong(trial: Trial) -> None:
    assert trial.run()[0] == 0
    assert (trial.folder / "output/results.json").exists()


@pytest.mark.parametrize(
    "section", [{"task": {**TASK, "path": "mising.jsonl"}}, {"supervisors": [{"votes": "mising.jsonl"}]}]
)
def test_a_missing_file(trial: Trial, section: dict[str, Any]) -> None:
    trial.fails("There is no data file .*mising.jsonl", "wanted: a file of kind", **section)


def test_a_missing_experiment_file(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["outgrow", "run", "mising.yaml"])
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    assert "There is no experiment file mising.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("columns", "found", "setting"),
    [
        ({"prompt": "txt"}, "no column 'txt'", "task.columns.prompt; did you mean 'text'"),
        ({"gold": "labels"}, "no column 'labels'", "task.columns.gold; did you mean 'label'"),
        ({"id": "idd"}, "no column 'idd'", "task.columns.id; did you mean 'id'"),
        ({"part": "zone"}, "no column 'zone'", "task.columns.part; known: "),
    ],
)
def test_a_wrong_column(trial: Trial, columns: dict[str, str], found: str, setting: str) -> None:
    trial.fails(found, "found:  id, text, label", f"Set {setting}", task={**TASK, "columns": columns})


@pytest.mark.parametrize(
    ("changed", "found", "meant"),
    [
        ({"methods": {"m": {"objective": "confidense"}}}, "no objective named 'confidense'", "confidence"),
        ({"methods": {"m": {"combine": "maen"}}}, "no combiner named 'maen'", "mean"),
        ({"task": {**TASK, "name": "sciqq"}}, "no task named 'sciqq'", "sciq"),
        ({"supervisors": [{"features": "tfid"}]}, "no features named 'tfid'", "tfidf"),
        ({"strong": {"model": "model", "adapter": "lorra"}}, "no adapter named 'lorra'", "lora"),
        ({"methods": {"m": {"objectiv": "x"}}}, "methods.m.objectiv: unknown key", "objective"),
        ({"methods": {"m": {"objective": {"name": "confidence", "maximun": 1}}}}, "no parameter 'maximun'", "maximum"),
        ({"strongg": {}}, "strongg: unknown key", "strong"),
        ({"strong": {"model": "model"}, "trainer": {"learning_rat": 1}}, "no such field", "learning_rate"),
    ],
)
def test_an_unknown_name(trial: Trial, changed: dict[str, Any], found: str, meant: str) -> None:
    trial.fails(found, f"did you mean '{meant}'", **changed)
    assert untouched(trial)


@pytest.mark.parametrize("key", ["output_dir", "seed", "remove_unused_columns"])
def test_a_trainer_setting_that_is_not_the_users(trial: Trial, key: str) -> None:
    trial.fails(f"trainer.{key} is set by outgrow itself", "Remove it", strong={"model": "model"}, trainer={key: 1})
    assert untouched(trial)


def test_a_label_outside_the_choices(trial: Trial) -> None:
    said = ("A label in .*rows.jsonl is outside the choices", "found:  2", "one of no, yes", "Correct the file")
    trial.fails(*said, rows=with_last(label=2))


def test_labels_of_several_kinds(trial: Trial) -> None:
    trial.fails("rows.jsonl cannot be read: the values of 'label' are not all of one kind", rows=with_last(label="yes"))


def test_a_vote_outside_the_choices(trial: Trial) -> None:
    write_lines(trial.folder / "votes.jsonl", [{"task": "r1", "worker": "al", "label": 7}])
    trial.fails("A label in .*votes.jsonl is outside the choices", "found:  7", "index from 0 to 1")


@pytest.mark.parametrize("part", ["unlabelled", "test"])
def test_an_empty_part(trial: Trial, part: str) -> None:
    split = {"gold": 0.4, "unlabelled": 0.3, "test": 0.3, part: 0.0}
    trial.fails(
        f"The {part} part of .* is empty", "found:  gold: 32", "Change task.split", task={**TASK, "split": split}
    )


def test_no_gold_rows_for_a_supervisor_that_learns(trial: Trial) -> None:
    split = {"gold": 0.0, "unlabelled": 0.5, "test": 0.5}
    trial.fails(
        "The supervisor tfidf has too few gold rows",
        "found:  0",
        "Raise task.split.gold",
        task={**TASK, "split": split},
        supervisors=TFIDF,
    )


def test_more_rows_asked_for_than_there_are(trial: Trial) -> None:
    trial.fails("more rows than there are", "found:  80 rows", task={**TASK, "split": {"gold": 60, "unlabelled": 30}})


def test_one_class_only(trial: Trial) -> None:
    rows = [{**row, "label": "yes"} for row in ROWS]
    trial.fails(
        "has one class only", "found:  yes", "at least two choices", rows=rows, task={**TASK, "choices": "auto"}
    )


@pytest.mark.parametrize(
    "supervisor", [{"features": "tfidf"}, {"model": "model", "train": {}, "adapter": {"name": "probe"}}]
)
def test_one_class_only_among_the_gold_rows(trial: Trial, supervisor: dict[str, Any]) -> None:
    rows = [{**row, "label": 1, "part": ("gold", "unlabelled", "test")[index % 3]} for index, row in enumerate(ROWS)]
    task = {**TASK, "columns": {"id": "id", "part": "part"}}
    trial.fails("cannot be trained on one class only", "all yes", rows=rows, task=task, supervisors=[supervisor])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"p": float("nan"), "q": 0.5}, "is not a number"),
        ({"p": 0.5, "q": 0.6}, "no distribution over 2 choices"),
        ({"p": 1.5, "q": -0.5}, "no distribution over 2 choices"),
    ],
)
def test_probabilities_that_are_none(trial: Trial, values: dict[str, float], said: str) -> None:
    write_lines(trial.folder / "votes.jsonl", [{"task": row["id"], **values} for row in ROWS])
    supervisors = [{"votes": "votes.jsonl", "probabilities": {"al": ["p", "q"]}}]
    trial.fails(said, "of al in .*votes.jsonl", "found: ", "wanted: ", supervisors=supervisors)


def test_votes_about_other_rows(trial: Trial) -> None:
    write_lines(trial.folder / "votes.jsonl", [{"task": "q1", "worker": "al", "label": 1}])
    trial.fails("None of the rows to judge occurs", "task='q1'", "ids such as 'r", "Set task")


def test_ids_that_repeat(trial: Trial) -> None:
    trial.fails("1 row id.s. occur more than once", "found:  r0", "one id per row", rows=with_last(id="r0"))


@pytest.mark.parametrize("change", [str, str.upper, lambda text: f"  {text} !"])
def test_rows_shared_between_given_parts(trial: Trial, change: Callable[[str], str]) -> None:
    rows = [{**row, "part": ("gold", "unlabelled", "test")[index % 3]} for index, row in enumerate(ROWS)]
    rows[-1]["text"] = change(rows[0]["text"])
    task = {**TASK, "columns": {"id": "id", "part": "part"}}
    trial.fails(
        "The same prompt is in the gold and the unlabelled part",
        "found: ",
        "Remove the duplicates",
        rows=rows,
        task=task,
    )


LONG = "good " * 60


def test_a_text_longer_than_the_model(trial: Trial) -> None:
    trial.fails(
        "longer than the model can read", "'good good", "at most 32 tokens", "max_length: 32", rows=with_last(text=LONG)
    )


def test_a_text_longer_than_the_model_is_cut_if_the_user_says_so(trial: Trial) -> None:
    code, error = trial.run("strong.max_length=16", rows=with_last(text=LONG))
    assert code == 0, error


def test_a_model_folder_without_weights(trial: Trial) -> None:
    (trial.model / "model.safetensors").unlink()
    trial.fails("model has no weights", "wanted: .*safetensors", "Copy the whole model folder")
    assert untouched(trial)


def test_a_model_folder_with_pickled_weights_only(trial: Trial) -> None:
    (trial.model / "model.safetensors").rename(trial.model / "pytorch_model.bin")
    trial.fails("pickled weights only, which can run code", "pytorch_model.bin", "Convert them")
    assert untouched(trial)


def test_a_model_folder_without_configuration(trial: Trial) -> None:
    (trial.model / "config.json").unlink()
    trial.fails("is not a model folder", "found: .*model.safetensors", "wanted: config.json")


def test_a_missing_model_folder(trial: Trial) -> None:
    trial.fails("There is no model folder .*nowhere", overrides=("strong.model=./nowhere",))


def test_a_hub_model_without_a_network(trial: Trial) -> None:
    trial.fails(
        "'nobody/nothing' is neither a folder nor available from the hub",
        "offline, give the path of a folder",
        overrides=("strong.model=nobody/nothing",),
    )


def test_a_supervisor_whose_model_is_missing_is_said_before_anything_is_computed(trial: Trial) -> None:
    supervisors = [{"features": "tfidf"}, {"model": "./nowhere", "train": {}}]
    trial.fails("There is no model folder .*nowhere", supervisors=supervisors)
    assert untouched(trial)


def test_a_model_supervisor_that_is_not_trained(trial: Trial) -> None:
    trial.fails("is a model that is not trained", "Add `train: {}`", supervisors=[{"model": "model"}])


def test_two_supervisors_of_one_name(trial: Trial) -> None:
    trial.fails("Two supervisors share a name", "tfidf, tfidf", supervisors=TFIDF * 2)


def test_weights_for_a_supervisor_that_does_not_exist(trial: Trial) -> None:
    methods = {"m": {"combine": {"name": "mean", "weights": {"al": 1}}}}
    trial.fails("weights of the combiner do not fit", "each of noisy1", methods=methods)


def test_choices_to_be_refined_by_a_model_that_continues_no_text(trial: Trial) -> None:
    trial.fails("needs a causal language model", "neighbours", methods={"m": {"refine": "icl"}})
    assert untouched(trial)


def test_a_chain_with_a_model_that_is_missing(trial: Trial) -> None:
    trial.fails("There is no model folder", "nowhere", methods={"m": {"chain": [{"model": "./nowhere"}]}})
    assert untouched(trial)


def test_a_setting_of_pretuning_that_does_not_exist(trial: Trial) -> None:
    methods = {"m": {"pretune": {"trainer": {"learning_rte": 1.0e-4}}}}
    trial.fails("no such field; did you mean 'learning_rate'", methods=methods)
    assert untouched(trial)


def test_more_neighbours_than_rows(trial: Trial) -> None:
    methods = {"m": {"refine": {"name": "neighbours", "k": 1000}}}
    trial.fails("Too few rows for 1000 neighbours each", "Lower `k`", methods=methods)


def fails_with(code: int) -> Callable[..., None]:
    def write(table: object, where: Path, **options: object) -> None:
        where.write_bytes(b"half")
        raise OSError(code, os.strerror(code))

    return write


@pytest.mark.parametrize(
    ("code", "said", "advice"),
    [
        (errno.ENOSPC, "No space left on device", "Free some space"),
        (errno.EDQUOT, "quota", "quota is used up"),
        (errno.EACCES, "Permission denied", "Give yourself write permission"),
        (errno.EROFS, "Read-only", "set OUTGROW_STORE"),
    ],
)
def test_a_disk_that_does_not_take_anything_and_the_next_run_goes_on(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, code: int, said: str, advice: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(files.pq, "write_table", fails_with(code))
        trial.fails("Cannot write .*store/features/", said, advice)
    assert untouched(trial)
    assert trial.run()[0] == 0


def test_a_disk_that_is_full_when_results_are_written(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    write = files.pq.write_table

    def full_for_output(table: Any, where: Path, **options: Any) -> None:
        (fails_with(errno.ENOSPC) if "output" in Path(where).parts else write)(table, where, **options)

    monkeypatch.setattr(files.pq, "write_table", full_for_output)
    trial.fails("Cannot write .*output/", "Free some space")
    assert list((trial.folder / "output").iterdir()) == []


@pytest.mark.parametrize("place", ["store", "output"])
def test_a_file_where_a_folder_should_be(trial: Trial, place: str) -> None:
    (trial.folder / place).write_text("")
    trial.fails(f"Cannot write .*{place}", "A file lies where a folder should be")
    if place == "output":
        assert untouched(trial)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("place", ["store", "output"])
def test_a_folder_without_permission(trial: Trial, place: str) -> None:
    (trial.folder / place).mkdir(mode=0o500)
    trial.fails(f"Cannot write .*{place}", "Give yourself write permission")


def test_a_variable_that_is_not_set(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINILM_FOLDER", raising=False)
    trial.fails(
        "variable MINILM_FOLDER, which is not set", "export MINILM_FOLDER=", strong={"model": "${MINILM_FOLDER}"}
    )


@pytest.mark.parametrize(
    ("override", "said"), [("seeds", "not key=value"), ("sedes=1", "did you mean 'seeds'"), ("seeds=[1", "not YAML")]
)
def test_a_bad_override(trial: Trial, override: str, said: str) -> None:
    trial.fails(said, overrides=(override,))


def test_a_learning_rate_that_blows_up(trial: Trial) -> None:
    trainer = {"learning_rate": 1e30, "max_steps": 3, "max_grad_norm": 0, "save_strategy": "no"}
    message = trial.fails(
        "the weights became NaN", "Lower trainer.learning_rate", strong={"model": "model"}, trainer=trainer
    )
    assert "ceiling" in message


def test_a_damaged_store_is_mended_and_gives_the_same_numbers(trial: Trial) -> None:
    assert trial.run()[0] == 0
    results = trial.folder / "output/results.json"
    before = json.loads(results.read_text())["summary"]
    results.unlink()
    for file in (trial.folder / "store/predictions").rglob("*.parquet"):
        file.write_bytes(b"")
    code, said = trial.run()
    assert code == 0
    assert "It was set aside as" in said
    assert json.loads(results.read_text())["summary"] == before


def test_votes_with_none_at_all(trial: Trial) -> None:
    votes = [{**vote, "label": None} for vote in noisy_votes(ROWS)]
    write_lines(trial.folder / "votes.jsonl", votes)
    trial.fails("No supervisor has a vote")
