from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import outgrow

HEAVY = {"torch", "numpy", "transformers", "pydantic", "pyarrow", "sklearn", "matplotlib", "scipy", "datasets", "peft"}


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after running some code."""
    report = f"import sys\n{code}\nprint('\\n' + ' '.join({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_public_names_are_sorted_and_each_can_be_imported() -> None:
    assert outgrow.__all__ == sorted(outgrow.__all__)
    for name in outgrow.__all__:
        assert getattr(outgrow, name) is not None


def test_nothing_else_is_public() -> None:
    """Asked of a fresh interpreter: every room that is imported becomes an attribute of its package."""
    code = "import outgrow; print(*(name for name in vars(outgrow) if not name.startswith('_')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) - {"annotations", "lazy", "TYPE_CHECKING"} <= set(outgrow.__all__)
    assert dir(outgrow) == outgrow.__all__


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Experimant'"):
        outgrow.Experimant  # noqa: B018


@pytest.mark.parametrize(
    "room",
    ["combine", "evaluate", "models", "objectives", "refine", "report", "supervisors", "tasks", "theory", "train"],
)
def test_a_room_exports_what_it_lists(room: str) -> None:
    module = getattr(outgrow, room)
    assert all(getattr(module, name) is not None for name in module.__all__)


def test_importing_outgrow_imports_nothing_heavy() -> None:
    assert loaded_by("import outgrow") & HEAVY == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"]])
def test_the_command_line_helps_without_importing_anything_heavy(arguments: list[str]) -> None:
    code = f"import sys; sys.argv = ['outgrow', *{arguments}]"
    code += "\nfrom outgrow.cli import main\ntry: main()\nexcept SystemExit: pass"
    assert loaded_by(code) & (HEAVY - {"pydantic"}) == set()


def test_evaluation_and_combination_work_without_torch() -> None:
    assert "torch" not in loaded_by("import outgrow.evaluate, outgrow.combine, outgrow.bridge, outgrow.results")


def test_the_theory_lab_works_without_torch() -> None:
    topics = ("regression", "decay", "hull", "deconvolution", "phase")
    found = loaded_by(f"from outgrow.registry import lookup; [lookup('topic', name) for name in {topics}]")
    assert not {"torch", "matplotlib", "transformers"} & found


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(outgrow.__file__).parent / "py.typed").is_file()
