"""No secret of a file or of the environment goes into an experiment."""

from __future__ import annotations

import traceback

import pytest

from outgrow.config import load_config
from outgrow.errors import ConfigError
from outgrow.models.server import check_url

SECRET = "wJalrXUtnFEMI-planted"
FILE = "{task: {path: x.csv}, supervisors: [{votes: v.csv}], strong: {model: m}}"


def refusal(tmp_path, text: str, *overrides: str) -> str:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "section",
    [
        "trainer: {hub_token: %s}",
        "trainer: {hub_token: %s: 5}",
        "supervisors: [{votes: v.csv, api_key: %s}]",
        "strong: {model: m, Authorization: %s}",
        "task: {path: x.csv, password: %s}",
    ],
)
def test_a_secret_in_a_file_is_refused_and_not_shown(tmp_path, section):
    shown = refusal(tmp_path, section % SECRET)
    assert SECRET not in shown


def test_a_secret_in_an_override_is_refused_and_not_shown(tmp_path):
    for override in (f"trainer.hub_token={SECRET}", f"trainer={{hub_token: {SECRET}}}"):
        assert SECRET not in refusal(tmp_path, FILE, override)


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "HF_TOKEN", "OPENAI_API_KEY", "DB_PASSWORD"])
@pytest.mark.parametrize(
    "section", ["strong: {model: '%s'}", "strong: {server: 'http://h/%s/v1', model: m}", "name: '%s'"]
)
def test_a_variable_that_holds_a_secret_by_its_name_is_never_expanded(tmp_path, monkeypatch, name, section):
    monkeypatch.setenv(name, SECRET)
    shown = refusal(tmp_path, section % f"${{{name}}}")
    assert name in shown
    assert SECRET not in shown


@pytest.mark.parametrize(
    "section",
    [
        "name: '%s'",
        "task: {path: x, template: '%s'}",
        "strong: {server: 'http://h/%s', model: m}",
        "methods: {a: {x: ['%s']}}",
        "strong: {server: 'http://h/v1', model: m, parameters: {path: '%s', user: '%s', more: [{model: '%s'}]}}",
        "strong: {server: '%s%s', model: m}",
        "strong: {server: 'http://h/v1', model: m, system: '%s'}",
    ],
)
def test_a_variable_is_expanded_in_paths_models_and_whole_addresses_only(tmp_path, monkeypatch, section):
    monkeypatch.setenv("INNOCENT", SECRET)
    shown = refusal(tmp_path, section.replace("%s", "${INNOCENT}"))
    assert "INNOCENT is not expanded here" in shown
    assert SECRET not in shown


def test_a_variable_may_be_the_address_and_the_model_of_a_server(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1")
    monkeypatch.setenv("SERVED_MODEL", "org/small")
    path = tmp_path / "x.yaml"
    path.write_text(FILE)
    server = "strong={server: '${OPENAI_BASE_URL}', model: '${SERVED_MODEL}'}"
    strong = load_config(path, [server]).strong
    assert (strong.server, strong.model) == ("http://localhost:8000/v1", "org/small")


@pytest.mark.parametrize(
    "url",
    ["http://[::1", "http://host:99999/v1", "http://host:x", f"postgres://me:{SECRET}@db/x", "http://h\x1b[31m/v1"],
)
def test_an_address_that_is_none_is_said_without_its_password(url):
    with pytest.raises(ConfigError, match="base URL") as caught:
        check_url(url)
    assert SECRET not in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seeds=1000000000", "SEEDS"),
        ("seeds=[-1]", "SEED "),
        ("seeds=[1099511627776]", "SEED "),
        ("task.split.seed=-1", "0"),
        ("task.split.gold=.nan", "fraction"),
        ("task.split.test=.inf", "fraction"),
        ("name=../../x", "outgrow-runs"),
        ("name=/etc", "outgrow-runs"),
        ("task.split.unlabelled=1e300", "fraction"),
    ],
)
def test_numbers_and_names_that_nothing_can_be_done_with_are_refused(tmp_path, override, said):
    assert said in refusal(tmp_path, FILE, override)
