from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from outgrow.config import ExperimentConfig, load_config, parse_config
from outgrow.errors import ConfigError

SMALL: dict[str, Any] = {
    "task": {"path": "rows.csv"},
    "supervisors": [{"votes": "votes.csv"}, {"features": "tfidf"}, {"model": "gpt2", "train": {}}],
    "strong": {"model": "big"},
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**SMALL, **changes}


def write(folder: Path, settings: object = SMALL) -> Path:
    path = folder / "trial.yaml"
    path.write_text(settings if isinstance(settings, str) else yaml.safe_dump(settings))
    return path


def test_what_is_left_out_has_a_default() -> None:
    config = parse_config(SMALL)
    assert (config.seeds, config.ceiling, list(config.methods)) == ((0, 1, 2), True, ["naive"])
    assert config.methods["naive"].objective.name == "cross_entropy"


def test_a_name_stands_for_a_mapping_with_that_name() -> None:
    short = parse_config(changed(methods={"m": {"objective": "confidence"}}))
    long = parse_config(changed(methods={"m": {"objective": {"name": "confidence"}}}))
    assert short == long


def test_parameters_of_a_named_thing_are_kept() -> None:
    config = parse_config(changed(methods={"m": {"objective": {"name": "confidence", "maximum": 0.75}}}))
    assert config.methods["m"].objective.params == {"maximum": 0.75}


def test_a_number_of_seeds_stands_for_the_first_ones() -> None:
    assert parse_config(changed(seeds=4)).seeds == (0, 1, 2, 3)
    assert parse_config(changed(seeds=[7, 3])).seeds == (7, 3)


@pytest.mark.parametrize("seeds", [0, [], [1, 1], True, "many"])
def test_seeds_that_make_no_sense_are_refused(seeds: object) -> None:
    with pytest.raises(ConfigError, match="seeds"):
        parse_config(changed(seeds=seeds))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"strong": {"model": "m", "adaptor": "lora"}}, "strong.adaptor: unknown key; did you mean 'adapter'?"),
        (
            {"task": {"path": "x", "columns": {"prompts": "q"}}},
            "task.columns.prompts: unknown key; did you mean 'prompt'?",
        ),
        (
            {"task": {"path": "x", "rubrics": {"content": {"hihg": 5}}}},
            "task.rubrics.content.hihg: unknown key; did you mean 'high'?",
        ),
        ({"methods": {"m": {"objectve": "x"}}}, "methods.m.objectve: unknown key; did you mean 'objective'?"),
        ({"methods": {"filter": {"filtr": 1}}}, "methods.filter.filtr: unknown key; did you mean 'filter'?"),
        (
            {"methods": {"m": {"chain": [{"model": "x", "fold": 2}]}}},
            "methods.m.chain.0.fold: unknown key; did you mean 'folds'?",
        ),
        ({"metods": {}}, "metods: unknown key; did you mean 'methods'?"),
        ({"supervisors": [{"features": "tfidf", "row": 3}]}, "supervisors.0.row: unknown key; did you mean 'rows'?"),
        (
            {"supervisors": [{"votes": "v", "workers": "w"}]},
            "supervisors.0.workers: unknown key; did you mean 'worker'?",
        ),
        (
            {"supervisors": [{"modle": "v"}]},
            "a supervisor has one of the keys 'model', 'server', 'features', 'function', 'rules', 'texts' or 'votes'",
        ),
        ({"supervisors": []}, "supervisors: "),
        ({"methods": {}}, "methods: "),
        ({"methods": {"base": {}}}, "a method cannot be named 'base'"),
        ({"strong": {}}, "strong.model: Field required"),
        ({"task": {"path": "x", "limit": 0}}, "task.limit: "),
        ({"ceiling": "perhaps"}, "ceiling: wanted true or false"),
    ],
)
def test_a_wrong_key_or_value_is_named_and_put_right(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(changed(**settings))
    assert said in str(refused.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(changed(metods={}, strong={"modell": "m"}))
    assert len(str(refused.value).splitlines()) == 3


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse_config(SMALL).seeds = (1,)  # type: ignore[misc]


def test_a_configuration_survives_being_written_and_read(tmp_path: Path) -> None:
    config = parse_config(changed(methods={"m": {"objective": {"name": "confidence", "maximum": 0.75}}}, seeds=2))
    assert parse_config(yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json")))) == config


def test_an_experiment_is_named_after_its_file(tmp_path: Path) -> None:
    assert load_config(write(tmp_path)).name == "trial"
    assert load_config(write(tmp_path, changed(name="mine"))).name == "mine"


def test_paths_in_a_file_are_relative_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "big").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = load_config(write(tmp_path, changed(output="results", store="../store")))
    assert config.task.path == str(tmp_path / "rows.csv")
    assert config.supervisors[0].votes == str(tmp_path / "votes.csv")
    assert config.strong.model == str(tmp_path / "big")
    assert config.output == str(tmp_path / "results")
    assert config.store == str(tmp_path.parent / "store")


def test_paths_in_an_override_are_relative_to_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere/other").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = load_config(write(tmp_path), ["task.path=mine.csv", "strong.model=other", "output=here"])
    assert config.task.path == str(tmp_path / "elsewhere/mine.csv")
    assert config.strong.model == str(tmp_path / "elsewhere/other")
    assert config.output == str(tmp_path / "elsewhere/here")


@pytest.mark.parametrize("hub_id", ["gpt2", "EleutherAI/pythia-160m"])
def test_a_hub_id_stays_one(tmp_path: Path, hub_id: str) -> None:
    assert load_config(write(tmp_path, changed(strong={"model": hub_id}))).strong.model == hub_id


@pytest.mark.parametrize("path", ["./big", "../a/big", "/a/big", "a/b/c", "rows/part-*"])
def test_what_is_spelt_like_a_path_is_one(tmp_path: Path, path: str) -> None:
    assert Path(load_config(write(tmp_path, changed(strong={"model": path}))).strong.model).is_absolute()


def test_a_variable_stands_for_its_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_FOLDER", "/models")
    config = load_config(write(tmp_path, changed(strong={"model": "${SOME_FOLDER}/big"})))
    assert config.strong.model == "/models/big"


def test_an_unset_variable_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_FOLDER", raising=False)
    with pytest.raises(ConfigError, match=r"variable SOME_FOLDER, which is not set(.|\n)*export SOME_FOLDER="):
        load_config(write(tmp_path, changed(strong={"model": "${SOME_FOLDER}/big"})))


@pytest.mark.parametrize(("value", "model"), [(None, "org/big"), ("", "org/big"), ("/models/big", "/models/big")])
def test_a_variable_may_have_a_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, model: str
) -> None:
    monkeypatch.delenv("SOME_FOLDER", raising=False)
    if value is not None:
        monkeypatch.setenv("SOME_FOLDER", value)
    config = load_config(write(tmp_path, changed(strong={"model": "${SOME_FOLDER:-org/big}"})))
    assert config.strong.model == model


def test_an_override_makes_an_unset_variable_unneeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_FOLDER", raising=False)
    settings = changed(strong={"model": "${SOME_FOLDER}/big"})
    assert load_config(write(tmp_path, settings), ["strong.model=gpt2"]).strong.model == "gpt2"


def test_overrides_reach_into_lists_names_and_what_is_not_there_yet(tmp_path: Path) -> None:
    settings = changed(methods={"m": {"objective": "confidence"}})
    overrides = [
        "supervisors.1.rows=100",
        "methods.m.objective.maximum=0.75",
        "trainer.learning_rate=1e-4",
        "seeds=[4]",
    ]
    config = load_config(write(tmp_path, settings), overrides)
    assert config.supervisors[1].rows == 100
    assert config.methods["m"].objective.model_dump() == {"name": "confidence", "maximum": 0.75}
    assert config.trainer == {"learning_rate": 1e-4}
    assert config.seeds == (4,)


def test_an_override_of_an_alias_leaves_its_anchor_as_it_is(tmp_path: Path) -> None:
    text = yaml.safe_dump(SMALL).replace("train: {}", "train: &fast {max_steps: 9}") + "trainer: *fast\n"
    config = load_config(write(tmp_path, text), ["trainer.max_steps=3", "supervisors.2.train.seed=1"])
    assert (config.trainer, config.supervisors[2].train) == ({"max_steps": 3}, {"max_steps": 9, "seed": 1})


def test_a_file_of_overrides_says_what_the_same_assignments_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    small = tmp_path / "small.yaml"
    small.write_text("supervisors.1.rows: 100\ntask.path: ../mine.csv\nstrong: {model: gpt2}\nseeds: 1\n")
    path = write(tmp_path)
    assigned = [
        "supervisors.1.rows=100",
        f"task.path={tmp_path.parent / 'mine.csv'}",
        "strong={model: gpt2}",
        "seeds=1",
    ]
    assert load_config(path, [str(small)]) == load_config(path, assigned)
    assert load_config(path, [str(small), "seeds=[7]"]).seeds == (7,)
    assert load_config(path, ["seeds=[7]", str(small)]).seeds == (0,)


@pytest.mark.parametrize(
    ("text", "said"), [(None, "no experiment file"), ("- seeds", "not an experiment"), ("sedes: 3", "'seeds'")]
)
def test_a_bad_file_of_overrides_is_said(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "small.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_config(write(tmp_path), [str(tmp_path / "small.yaml")])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seeds", "not key=value"),
        ("=3", "not key=value"),
        ("seeds=[1", "not YAML"),
        ("supervisors.9.rows=3", "names no item"),
        ("supervisors.first.rows=3", "names no item"),
        ("sedes=3", "did you mean 'seeds'"),
        ("list.0.x=3", "holds no settings"),
    ],
)
def test_a_bad_override_is_said(tmp_path: Path, override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config(write(tmp_path, changed(list=[1, 2]) if "list" in override else SMALL), [override])


@pytest.mark.parametrize(("text", "value"), [("1e-4", 1e-4), ("5E+2", 500.0), ("1.5e3", 1500.0), (".5e1", 5.0)])
def test_a_number_with_an_exponent_is_a_number(tmp_path: Path, text: str, value: float) -> None:
    path = write(tmp_path, yaml.safe_dump(SMALL) + f"trainer: {{learning_rate: {text}}}\n")
    assert load_config(path).trainer["learning_rate"] == value


@pytest.mark.parametrize("text", ["1e", "e5", "1e5x", "deadbeef"])
def test_a_text_that_only_looks_like_a_number_stays_a_text(tmp_path: Path, text: str) -> None:
    assert load_config(write(tmp_path, yaml.safe_dump(SMALL) + f"name: {text}\n")).name == text


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not YAML"):
        load_config(write(tmp_path, "task: !!python/object/apply:os.getcwd []"))


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    write(tmp_path)
    for missing in (tmp_path / "no.yaml", tmp_path, tmp_path / "trial.yaml/x.yaml"):
        with pytest.raises(ConfigError, match="There is no experiment file"):
            load_config(missing)


@pytest.mark.parametrize("text", ["a: [1", "a: b: c", "\t"])
def test_a_file_that_is_not_yaml_is_said(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="is not YAML"):
        load_config(write(tmp_path, text))


@pytest.mark.parametrize("text", ["", "- a\n", "just text"])
def test_a_file_that_is_no_mapping_is_said(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="is not an experiment"):
        load_config(write(tmp_path, text))


def test_the_schema_documents_every_setting() -> None:
    schema = ExperimentConfig.model_json_schema()
    models = [schema, *schema["$defs"].values()]
    missing = [name for model in models for name, field in model["properties"].items() if "description" not in field]
    # A description equal to that of the model it refers to is said there only.
    assert set(missing) <= {"task", "generate"}


def test_a_number_stands_for_the_share_that_a_filter_keeps() -> None:
    short = parse_config(changed(methods={"m": {"filter": 0.5}}))
    assert short == parse_config(changed(methods={"m": {"filter": {"keep": 0.5, "per_class": False}}}))


@pytest.mark.parametrize("share", [0, -0.1, 1.5, True, "half", {"per_class": True}])
def test_a_filter_that_makes_no_sense_is_refused(share: object) -> None:
    with pytest.raises(ConfigError, match=r"methods\.m\.filter"):
        parse_config(changed(methods={"m": {"filter": share}}))


def test_a_key_is_not_written_into_an_experiment(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    path = tmp_path / "trial.yaml"
    path.write_text("task: {path: x.csv, template: '${OPENAI_API_KEY}'}")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY does not belong") as caught:
        load_config(path)
    assert "sk-secret" not in str(caught.value)


def test_a_list_with_a_wrong_item_is_not_said_to_be_too_short_too() -> None:
    rules = {"rules": [{"patern": "x", "label": "a"}]}
    with pytest.raises(ConfigError) as refused:
        parse_config({"task": {"path": "x.csv"}, "supervisors": [rules], "strong": {"model": "m"}})
    assert "supervisors.0.rules.0.patern: unknown key; did you mean 'pattern'?" in str(refused.value)
    assert "at least one" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"supervisors": [{"votes": "v.csv"}]}, (0, 1.0)),
        ({"supervisors": [{"votes": "v.csv"}, {"features": "tfidf"}]}, (0.4, 0.4)),
        ({"supervisors": [{"model": "m", "ask": {}}]}, (0, 1.0)),
        ({"supervisors": [{"model": "m", "ask": {"demonstrations": 4}}]}, (0.4, 0.4)),
        ({"supervisors": [{"votes": "v.csv"}], "gold_only": True}, (0.4, 0.4)),
        ({"supervisors": [{"votes": "v.csv"}], "methods": {"naive": {"proportions": "gold"}}}, (0.4, 0.4)),
        ({"supervisors": [{"votes": "v.csv"}], "task": {"path": "x", "split": {"gold": 50}}}, (50, 0.4)),
        ({"supervisors": [{"votes": "v.csv"}], "task": {"path": "x", "split": {"unlabelled": 50}}}, (0, 50)),
    ],
)
def test_gold_rows_are_kept_back_only_where_something_learns_from_them(
    changes: dict[str, Any], kept: tuple[float, float]
) -> None:
    split = parse_config(changed(**changes)).task.split
    assert (split.gold, split.unlabelled) == kept
    assert parse_config(parse_config(changed(**changes)).model_dump(mode="json")).task.split == split


def test_yes_and_no_are_texts_where_they_are_names(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "task: {path: x.csv, choices: [No, yes]}\n"
        "supervisors: [{rules: [{pattern: x, label: no}]}, {votes: v.csv, abstain: [off]}]\n"
        "strong: {model: m}\nmethods: {on: {proportions: {No: 0.5, yes: 0.5}}}\nceiling: no\n"
    )
    config = load_config(path)
    assert config.task.choices == ("No", "yes")
    assert config.supervisors[0].rules[0].label == "no"
    assert config.supervisors[1].abstain == ("off",)
    assert config.methods["on"].proportions == {"No": 0.5, "yes": 0.5}
    assert config.ceiling is False
    assert load_config(path, ["task.choices=[no, on]"]).task.choices == ("no", "on")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"task": {"path": "x", "choices": [False, True]}},
            "task.choices.0: wanted a text (found False); put it in quotes",
        ),
        ({"task": {"path": "x", "choices": 3}}, "task.choices: wanted a list or 'auto' (found 3)"),
        ({"task": {"path": "x", "limit": "few"}}, "task.limit: wanted a whole number (found 'few')"),
        ({"task": {"path": "x", "encoding": "utf-99"}}, "task.encoding: an encoding is one that Python knows"),
        ({"strong": "m"}, "strong: wanted a section of keys (found 'm')"),
        ({"methods": {}}, "methods: wanted at least one"),
        ({"methods": {"naive": None}}, "methods.naive: wanted a section of keys"),
        ({"ceiling": "maybe"}, "ceiling: wanted true or false (found 'maybe')"),
    ],
)
def test_a_value_of_the_wrong_type_is_said_in_plain_words(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(changed(**changes))
    assert str(refused.value).startswith(said)
