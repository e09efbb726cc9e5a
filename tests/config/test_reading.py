"""What is no YAML, or too much of it, is an error of ours, soon."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.config.loading import load_config, parse_settings
from outgrow.config.reading import NotYamlError, read_mapping, read_yaml
from outgrow.errors import ConfigError

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "YAML_VALUES"),
        (MERGES, "YAML_VALUES"),
        ("[" * 100_000, "YAML_DEPTH"),
        ("- " * 5_000 + "x", "YAML_DEPTH"),
        ("x" * 300_000, "YAML_CHARS"),
        ("&a [*a]", "what it is part of"),
        ("a: &a {b: *a}", "what it is part of"),
        ("*nothing", "names nothing"),
        ("!!int x", "not of the type"),
        ("!!int ''", "not of the type"),
        ("!!bool x", "not of the type"),
        ("!!timestamp x", "not of the type"),
        ("2024-13-45", "not of the type"),
        ("9" * 5000, "not of the type"),
        ("2024-01-01", "a date"),
        ("!!binary aGk=", "a bytes"),
        ("!!set {a, b}", "a set"),
        ('"a\\0b"', "a zero"),
        ('"\\ud800"', "surrogate"),
        ("{[a]: 1}", "unhashable"),
    ],
)
def test_what_no_setting_is_or_too_much_of_it_is_refused_at_once(text, said):
    started = time.perf_counter()
    with pytest.raises(NotYamlError, match=said):
        read_yaml(text)
    assert time.perf_counter() - started < 5


@given(st.text(max_size=200) | st.text(alphabet="-:[]{}&*!|>%@`'\"#, \n\tax1.<=", max_size=60))
def test_any_text_is_yaml_or_an_error_of_ours(text):
    with contextlib.suppress(NotYamlError):
        read_yaml(text)


def test_an_error_shows_the_place_and_not_the_line_which_may_hold_a_secret(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("trainer:\n  hub_token: hf_SECRET: x\n")
    with pytest.raises(ConfigError, match="line 2") as caught:
        read_mapping(path)
    assert "hf_SECRET" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_pipe_is_no_experiment_file_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(ConfigError, match="not a regular file"):
        load_config(tmp_path / "pipe.yaml")


@pytest.mark.parametrize("name", ["a\0b.yaml", "x" * 300 + ".yaml", "y/" * 3000])
def test_a_path_that_none_can_have_is_said(tmp_path, name):
    with pytest.raises(ConfigError):
        load_config(Path(f"{tmp_path}/{name}"))


@pytest.mark.parametrize(
    "override",
    [
        "a..b=1",
        ".=1",
        "a.=1",
        ".a=1",
        "supervisors.²=1",
        "supervisors.-1=2",
        "supervisors." + "9" * 5000 + "=1",
        "x=&a [*a]",
        "a." * 100 + "b=1",
        "x=\ud800",
        "x=a\0b",
        "strong.model=" + "x/" * 3000,
        "strong.model=~nobody-of-that-name/x",
    ],
)
def test_an_odd_override_is_an_error_of_ours(tmp_path, override):
    path = tmp_path / "x.yaml"
    path.write_text("{task: {path: x.csv}, supervisors: [{votes: v.csv}], strong: {model: m}}")
    with pytest.raises(ConfigError):
        load_config(path, [override])


@given(st.text(alphabet="a.b0-=[]{}&*:\n", max_size=20))
def test_any_setting_is_read_or_an_error_of_ours(text):
    with contextlib.suppress(ConfigError):
        parse_settings([text])
