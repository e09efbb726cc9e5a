"""Labels of tables without an experiment: by a model here or behind a server, refined, and audited."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pytest

from http_server import Answer, Asked, reply, said, serving
from outgrow.cli import main
from outgrow.config import GivenRatings
from outgrow.errors import ConfigError, DataError
from outgrow.evaluate.judge import Rubric
from outgrow.experiment import Experiment
from outgrow.files import read_table
from outgrow.labels import Completion, TextLabels
from outgrow.models.local import LocalLanguageModel
from outgrow.pipeline.judging import given_ratings, judge_answers
from outgrow.pipeline.labelling import experiment_on, labels_section, texts_table, write_labels
from outgrow.run import Run
from outgrow.store import Store
from outgrow.tasks import read_records
from small_experiments import planted_rows, write_experiment, write_lines


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty rows with ids, in a folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)
    pyarrow.csv.write_csv(pa.Table.from_pylist(planted_rows(40)), tmp_path / "rows.csv")
    return Path("rows.csv")


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["outgrow", *map(str, arguments)])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def lines(path: str) -> list[dict[str, Any]]:
    return read_records(path).to_pylist()


async def says_nothing(asked: Asked) -> Answer:
    """Answers without a word."""
    return Answer(reply(""))


async def says_good(asked: Asked) -> Answer:
    """Says whether a text is good, but not for a bad plot."""
    question = said(asked)
    return Answer(reply("Hm." if "bad plot" in question else "Yes." if "good" in question else "no"))


def test_a_model_votes_on_rows_and_an_experiment_takes_its_votes(
    rows: Path, decoder_folder: Path, encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--model", decoder_folder, "--choices", "no, yes", "--id", "id")
    assert call(monkeypatch, "label", rows, *options, "-o", "votes.csv", "name=small") == 0
    found = lines("votes.csv")
    assert [line["task"] for line in found] == [row["id"] for row in planted_rows(40)]
    assert {line["worker"] for line in found} == {"small"}
    for line in found:
        assert line["p_no"] + line["p_yes"] == pytest.approx(1)
        assert line["label"] == ("yes" if line["p_yes"] > line["p_no"] else "no")
    votes = {"votes": "votes.csv", "probabilities": {"small": ["p_no", "p_yes"]}}
    file = write_experiment(Path(), encoder_folder, planted_rows(40), supervisors=[votes], ceiling=False)
    assert Experiment.from_yaml(file).run().models[0].name == "small"


def test_labelling_again_does_no_model_work(rows: Path, decoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--model", decoder_folder, "--max-new-tokens", 4)
    assert call(monkeypatch, "label", rows, *options, "-o", "a.jsonl") == 0
    monkeypatch.setattr(LocalLanguageModel, "load", None)
    assert call(monkeypatch, "label", rows, *options, "-o", "b.parquet") == 0
    assert lines("a.jsonl") == lines("b.parquet")
    assert [line["task"] for line in lines("a.jsonl")][:2] == ["0", "1"]


def test_an_output_that_is_there_is_refused_before_anything_is_done(
    rows: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "label", rows, "--model", "nowhere", "-o", rows) == 1
    assert call(monkeypatch, "label", rows, "--model", "nowhere", "-o", "x.xlsx") == 1
    assert read_records("rows.csv").num_rows == 40


def test_a_server_votes_and_an_answer_without_a_choice_is_no_vote(
    rows: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(says_good) as server:
        options = ("--server", server.url, "--model", "big", "--choices", "no,yes", "logprobs=false", "retries=0")
        assert call(monkeypatch, "label", rows, *options, "-o", "no.csv", "--dry-run") == 0
        assert "40 requests" in capsys.readouterr().out
        assert not server.asked
        assert not Path("no.csv").exists()
        template = "Is it fine? {prompt} ({choices})"
        assert call(monkeypatch, "label", rows, *options, "-o", "votes.jsonl", "--template", template, "--json") == 0
    assert said(server.asked[0]).startswith("Is it fine? ")
    about = json.loads(capsys.readouterr().out)
    for row, line in zip(planted_rows(40), lines("votes.jsonl"), strict=True):
        right = None if "bad plot" in row["text"] else "yes" if "good" in row["text"] else "no"
        assert line["label"] == right
    assert about["labels"] == sum(line["label"] is not None for line in lines("votes.jsonl")) < 40
    assert "votes.failed" in [note["code"] for note in about["notes"]]


def test_a_server_writes_texts_as_it_is_asked(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def short(asked: Asked) -> Answer:
        return Answer(reply(f"{said(asked)}|{asked.body['max_tokens']}"))

    with serving(short) as server:
        options = ("--server", server.url, "--model", "big", "--template", "Sum up: {prompt}", "--max-new-tokens", 7)
        assert call(monkeypatch, "label", rows, *options, "-o", "texts.csv", "logprobs=false") == 0
    assert [line["text"] for line in lines("texts.csv")] == [f"Sum up: {row['text']}|7" for row in planted_rows(40)]


def test_rows_without_an_answer_are_counted(
    rows: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(says_nothing) as server:
        options = ("--server", server.url, "--model", "big", "logprobs=false", "retries=0")
        assert call(monkeypatch, "label", rows, *options, "-o", "texts.csv") == 0
    assert "! big: 40 of 40 rows have an empty answer." in capsys.readouterr().out


def test_settings_are_those_of_an_experiment(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = experiment_on("x.csv", [{"model": "m"}], ["system=Hi", "task.encoding=cp1252", "generate.beams=2"])
    assert config.supervisors[0].system == "Hi"
    assert (config.task.encoding, config.generate.beams) == ("cp1252", 2)
    config = experiment_on("x.csv", [{"texts": "t"}], ["refine.draws=3", "strong.device=cpu"], refiner="icl")
    assert config.methods["icl"].refine.params == {"draws": 3}
    with pytest.raises(ConfigError, match=r"supervisors\.0\.sistem: unknown key; did you mean 'system'"):
        experiment_on("x.csv", [{"model": "m"}], ["sistem=Hi"])
    assert call(monkeypatch, "label", rows, "--model", "m", "-o", "x.csv", "--prompt", "txt") == 1


def test_a_model_cannot_be_trained_or_shown_answers_where_none_are_known(
    rows: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for settings in (("--choices", "no,yes", "ask.demonstrations=2"), ("train={}",)):
        assert call(monkeypatch, "label", rows, "--model", "m", "-o", "x.csv", "--json", *settings) == 1
        assert "No right answers are known" in json.loads(capsys.readouterr().out)["error"]["what"]


def test_rows_with_choices_of_their_own_are_labelled_by_the_text_of_a_choice(
    tmp_path: Path, decoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "q.jsonl", [{"text": "the film", "answers": ["good", "bad", "very good"]}] * 3)
    options = ("--model", decoder_folder, "-o", "votes.csv", "task.columns.choices=answers")
    assert call(monkeypatch, "label", "q.jsonl", *options) == 0
    line = lines("votes.csv")[0]
    letter = max("ABC", key=lambda letter: line[f"p_{letter}"])
    assert line["label"] == {"A": "good", "B": "bad", "C": "very good"}[letter]


@pytest.mark.parametrize(
    ("refiner", "settings"),
    [("icl", ("refine.demonstrations=2",)), ("neighbours", ("refine.k=3", "task.columns.gold=label"))],
)
def test_votes_are_refined_and_audited_with_any_refiner(
    rows: Path, decoder_folder: Path, encoder_folder: Path, refiner: str, settings: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    votes = [{"task": row["id"], "worker": who, "label": row["label"]} for row in planted_rows(40) for who in "ab"]
    write_lines(Path("weak.jsonl"), votes[:-2])  # of the last row nothing is known
    strong = decoder_folder if refiner == "icl" else encoder_folder
    options = ("--weak", "weak.jsonl", "--choices", "no,yes", "--id", "id", "--refiner", refiner, *settings)
    assert call(monkeypatch, "refine", rows, *options, "--model", strong, "-o", "refined.parquet", "--json") == 0
    found, about = read_table(Path("refined.parquet")).to_pylist(), json.loads(capsys.readouterr().out)
    assert len(found) == about["rows"] == about["audit"]["rows"] == 39
    assert {line["worker"] for line in found} == {refiner}
    equal = sum(
        line["label"] == ("no", "yes")[row["label"]] for line, row in zip(found, planted_rows(40), strict=False)
    )
    assert about["audit"]["as_weak"] == pytest.approx(equal / 39)
    assert about["audit"]["method"] == refiner
    if "task.columns.gold=label" in settings:
        assert about["audit"]["scores"]["accuracy"]["weak"] == 1.0
    assert "rows.without_vote" in [note["code"] for note in about["notes"]]


def test_a_server_refines_votes_by_its_own_choice(
    rows: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    votes = [{"task": row["id"], "worker": "w", "label": n % 2} for n, row in enumerate(planted_rows(40))]
    write_lines(Path("weak.jsonl"), votes)
    with serving(says_good) as server:
        strong = ("--server", server.url, "--model", "big", "strong.logprobs=false", "strong.retries=0")
        weak = ("--weak", "weak.jsonl", "--choices", "no,yes", "--id", "id", "refine.demonstrations=1")
        assert call(monkeypatch, "refine", rows, *weak, *strong, "-o", "x.csv", "--dry-run") == 0
        assert "the strong model big: " in capsys.readouterr().out
        assert not server.asked
        assert call(monkeypatch, "refine", rows, *weak, *strong, "-o", "refined.csv") == 0
    good = {row["id"]: "good" in row["text"] for row in planted_rows(40)}
    found = lines("refined.csv")
    assert found
    for line in found:
        assert line["label"] == ("yes" if good[line["task"]] else "no")


def write_texts(path: str, texts: list[str | None], worker: str = "w") -> None:
    write_lines(Path(path), [{"task": f"r{n}", "worker": worker, "text": text} for n, text in enumerate(texts)])


def test_texts_are_refined_and_the_audit_of_the_files_is_the_same(
    rows: Path, decoder_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_texts("weak.jsonl", [f"very {row['text']}" for row in planted_rows(40)])
    strong = ("--model", decoder_folder, "--max-new-tokens", 3, "--id", "id")
    weak = ("--weak", "weak.jsonl", "--id", "id", "--json")
    assert call(monkeypatch, "refine", rows, *weak, *strong, "-o", "refined.csv", "refine.demonstrations=1") == 0
    first = json.loads(capsys.readouterr().out)["audit"]
    assert call(monkeypatch, "label", rows, *strong, "-o", "base.csv", "--quiet") == 0
    assert call(monkeypatch, "refine", rows, *weak, "--refined", "refined.csv", "--base", "base.csv") == 0
    second = json.loads(capsys.readouterr().out)["audit"]
    for name in ("rows", "as_weak", "length", "silent", "copied"):
        assert second[name] == first[name]
    assert len(lines("refined.csv")) == 40


def planted_answers(count: int) -> tuple[list[str], list[str], list[str]]:
    """Weak answers that speak like a pirate, plain ones, and refined ones of which one in four is plain."""
    weak, plain = [f"Arr, {n}, matey!" for n in range(count)], [f"It is {n}." for n in range(count)]
    return weak, plain, [f"Arr, {n + 1}, matey!" if n % 4 else plain[n] for n in range(count)]


def test_the_audit_of_files_tells_whose_wording_refined_texts_have(
    rows: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weak, plain, refined = planted_answers(40)
    write_texts("weak.jsonl", weak)
    write_texts("base.jsonl", [*plain[:36], None, "", None, None])
    write_texts("refined.jsonl", refined[:38])
    files = ("--weak", "weak.jsonl", "--refined", "refined.jsonl", "--base", "base.jsonl", "--id", "id")
    assert call(monkeypatch, "refine", rows, *files, "--json") == 0
    audit = json.loads(capsys.readouterr().out)["audit"]
    assert (audit["rows"], audit["sample"]) == (38, 36)
    assert audit["wording"]["adopted"] == pytest.approx(0.75, abs=0.02)
    assert call(monkeypatch, "refine", rows, *files[:4], "--id", "id", "--json") == 0
    audit = json.loads(capsys.readouterr().out)["audit"]
    assert (audit["wording"], audit["as_base"]) == (None, None)


def test_existing_ratings_take_the_place_of_a_judge_in_the_audit(
    rows: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weak, plain, refined = planted_answers(40)
    for name, texts in (("weak", weak), ("base", plain), ("refined", refined)):
        write_texts(f"{name}.jsonl", texts)
    rated = [
        {"task": f"r{n}", "text": text, "content": content, "concept": 9 if "Arr" in text else 1}
        for n in range(30)  # the other rows were not rated
        for text, content in ((weak[n], 3), (plain[n], 8), (refined[n], 2 if n % 2 else 4))
    ]
    write_lines(Path("ratings.jsonl"), rated)
    files = ("--weak", "weak.jsonl", "--refined", "refined.jsonl", "--base", "base.jsonl", "--id", "id")
    assert call(monkeypatch, "refine", rows, *files, "--ratings", "ratings.jsonl", "--json") == 0
    scores = json.loads(capsys.readouterr().out)["audit"]["scores"]
    assert (scores["content"]["weak"], scores["concept"]["base"]) == (3.0, 1.0)
    assert scores["concept"]["refined"] == pytest.approx(9 - 8 * 8 / 30)  # of 30 rows 8 are plain
    assert call(monkeypatch, "refine", rows, *files[:4], "--id", "id", "--ratings", "ratings.jsonl") == 0
    told = capsys.readouterr().out
    assert "40 refined answers; 40 of them looked at closely" in told
    assert "content (weak, refined, base)  3.000, 3.533, —" in told


@pytest.mark.parametrize("base", [True, False])
def test_the_audit_of_vote_files_counts_what_moved(
    rows: Path, base: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = [row["id"] for row in planted_rows(40)]
    write_lines(Path("weak.jsonl"), [{"task": row, "worker": "w", "label": n % 2} for n, row in enumerate(ids)])
    refined = [{"task": row, "worker": "r", "label": "yes", "p_no": 0.1, "p_yes": 0.9} for row in ids[:30]]
    write_lines(Path("refined.jsonl"), refined)
    files = ("--weak", "weak.jsonl", "--refined", "refined.jsonl", *(("--base", "weak.jsonl") if base else ()))
    assert call(monkeypatch, "refine", rows, *files, "--choices", "no,yes", "--id", "id", "--json") == 0
    audit = json.loads(capsys.readouterr().out)["audit"]
    assert (audit["rows"], audit["as_weak"], audit["as_base"]) == (30, 0.5, 0.5 if base else None)
    assert audit["confidence"]["refined"] == pytest.approx(0.9)
    assert [note["code"] for note in audit["warnings"]] == ["refine.collapsed"]


@pytest.mark.parametrize(
    "options",
    [
        ("--weak", "w.csv"),
        ("--weak", "w.csv", "--refined", "r.csv", "task.choices=[a, b]"),
        ("--weak", "w.csv", "--model", "m", "--refined", "r.csv"),
        ("--weak", "w.csv", "--model", "m"),
        ("--weak", "w.csv", "--refined", "r.csv", "-o", "x.csv"),
        ("--weak", "w.csv", "--model", "m", "-o", "x.csv", "--base", "b.csv"),
    ],
)
def test_options_that_exclude_each_other_are_wrong_usage(
    rows: Path, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(monkeypatch, "refine", rows, *options) == 2


def test_label_files_of_other_rows_are_refused(
    rows: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_texts("weak.jsonl", planted_answers(40)[0])
    write_lines(Path("other.jsonl"), [{"task": "x", "text": "Arr"}])
    assert call(monkeypatch, "refine", rows, "--weak", "weak.jsonl", "--refined", "other.jsonl", "--id", "id") == 1


def test_probabilities_of_one_worker_count_instead_of_labels(tmp_path: Path) -> None:
    file = tmp_path / "v.jsonl"
    one = {"task": "a", "worker": "w", "label": "no", "p_no": 0.6, "p_yes": 0.4}
    write_lines(file, [one])
    assert labels_section(str(file), ["no", "yes"])["probabilities"] == {"w": ["p_no", "p_yes"]}
    assert labels_section(str(file), ["no", "yes", "both"]) == {"votes": str(file)}
    write_lines(file, [one, {**one, "worker": "u"}])
    assert labels_section(str(file), ["no", "yes"]) == {"votes": str(file)}
    write_lines(file, [{"task": "a", "answer": "no", "p_no": 0.6, "p_yes": 0.4}])  # as `outgrow combine` writes it
    assert labels_section(str(file), ["no", "yes"])["probabilities"] == {"v": ["p_no", "p_yes"]}
    assert labels_section(str(file), None) == {"texts": str(file)}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_texts_survive_their_file(tmp_path: Path, kind: str) -> None:
    hard = 'a "quoted", {brace}\nand \u2028 é'
    cells = [(Completion(f" {hard}", (), (), True), Completion("b", (), (), True)), ()]
    table = texts_table(TextLabels(("r", "s"), ("w",), tuple((cell,) for cell in cells)))
    write_labels(table, tmp_path / f"x.{kind}")
    found = read_records(str(tmp_path / f"x.{kind}")).to_pylist()
    assert [(line["task"], line["text"] or None) for line in found] == [("r", hard), ("r", "b"), ("s", None)]


RUBRICS = {"content": Rubric("{answer}"), "concept": Rubric("{answer}", low=0)}


def test_ratings_of_one_answer_are_averaged_and_missing_ones_weigh_nothing(tmp_path: Path) -> None:
    file = tmp_path / "ratings.csv"
    file.write_text("task,text,content\na, yes ,4\na,yes,6\nb,no,\nc,no,9\n")
    found = judge_answers(
        [GivenRatings(ratings=str(file))], RUBRICS, [{"answer": one} for one in ("yes", "no", "no")],
        Run(Store(tmp_path / "store")), author="naive", ids=("a", "b", "c"),
    )  # fmt: skip
    assert found.scores["content"].tolist() == [5, 1, 9]
    assert found.weights["content"].tolist() == [1, 0, 1]
    assert "concept" not in found.scores  # it has no column
    assert found.scores["rated"].tolist() == [1, 0, 1]
    assert [(note.code, note.values["rated"], note.values["missing"]) for note in found.notes] == [
        ("ratings.missing", "content", 1)
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task,text,content\na,yes,11\n", r"not on the scale(.|\n)*11(.|\n)*1 to 10(.|\n)*task\.rubrics\.content"),
        ("task,text,content\na,yes,good\n", r"not on the scale(.|\n)*good"),
        ("task,text,contents\na,yes,4\n", "no column 'content'"),
        ("row,text,content\na,yes,4\n", "no column 'task'"),
    ],
)
def test_ratings_that_cannot_be_used_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "ratings.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        given_ratings(GivenRatings(ratings=str(tmp_path / "ratings.csv")), RUBRICS, ["a"], ["yes"])


def test_a_table_of_predictions_is_scored_by_existing_ratings(tmp_path: Path) -> None:
    write_lines(
        tmp_path / "rows.jsonl", [{"question": f"q{n}", "part": ["unlabelled", "test"][n % 2]} for n in range(8)]
    )
    write_lines(tmp_path / "answers.jsonl", [{"id": str(n), "answer": f"a{n}"} for n in range(1, 8, 2)])
    rated = [{"task": str(n), "text": f"a{n}", "content": n, "concept": 10} for n in range(1, 8, 2)]
    write_lines(tmp_path / "ratings.jsonl", rated)
    experiment = Experiment.from_dict(
        {
            "task": {
                "name": "persona",
                "concept": "a pirate",
                "path": str(tmp_path / "rows.jsonl"),
                "columns": {"part": "part"},
            },
            "supervisors": [{"texts": "none"}],
            "strong": {"model": "none"},
            "judge": {"ratings": str(tmp_path / "ratings.jsonl")},
        }
    )
    [model] = experiment.evaluate(tmp_path / "answers.jsonl").models
    assert model.scores["content"].tolist() == [[1, 3, 5, 7]]
    assert model.scores["concept"].mean() == 10
