"""What is known of a saved student besides its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from outgrow._version import __version__
from outgrow.config.base import Choice, Frozen
from outgrow.config.schema import Generate
from outgrow.config.task import Columns
from outgrow.errors import ModelError, nearest_file
from outgrow.files import read_json, write_json

_FILE = "student.json"


class Student(Frozen):
    """How a saved student is asked, and where it comes from: `student.json`."""

    format: Literal[1] = 1
    """Raised when the form of saved students changes."""
    outgrow: str = __version__
    """Version that saved it."""
    experiment: str
    """Name of the experiment."""
    method: str
    """Method that trained it."""
    seed: int
    """Training seed."""
    base: str
    """Name of the model before training."""
    adapter: str
    """`none`, `lora`, `probe` or a plug-in's."""
    separate: bool
    """Whether the folder holds an adapter, which needs the base model."""
    objective: Choice
    """What it minimised; of a choice student, it turns logits into probabilities."""
    columns: Columns
    """Columns of the tables that it was trained on."""
    template: str | None
    """The prompt from several columns."""
    encoding: str | None = None
    """Encoding of the table that it was trained on; None for UTF-8."""
    max_length: int | None
    """Prompts of choices are cut to this many tokens."""
    choices: tuple[str, ...] | None
    """Names of the K choices; None for a text student."""
    by_row: bool = False
    """Whether every row has choices of its own, each scored by a head of one class."""
    pooling: Literal["mean", "last"] | None = None
    """How the states of a choice student's tokens become one vector."""
    generate: Generate = Generate()
    """How a text student generates."""
    chat: Literal["auto"] | bool | dict[str, Any] = "auto"
    """Whether it is asked through its chat template; see `outgrow.config.Local`."""
    system: str | None = None
    """Its system message."""
    asked: str | None = None
    """What a text student reads, word for word, with `{prompt}` in it."""

    @classmethod
    def load(cls, folder: Path) -> Student:
        """Read it from the folder of a saved student.

        Raises:
            ModelError: The folder holds no student, or one of another version.
            StoreError: The file is damaged.
        """
        if not (folder / _FILE).is_file():
            found = "no student.json" if folder.is_dir() else "no such folder"
            fix = (
                None if folder.is_dir() else nearest_file(folder)
            ) or "Give a folder written by `outgrow save`, or name a method of the run."
            raise ModelError(f"There is no saved student in {folder}.", found=found, fix=fix)
        about = read_json(folder / _FILE)
        try:
            return cls(**about)
        except (TypeError, ValidationError) as error:
            found = f"outgrow {about['outgrow']}" if isinstance(about, dict) and "outgrow" in about else "other content"
            raise ModelError(
                f"The student in {folder} was saved by another version of outgrow.",
                found=found,
                wanted=f"the form of outgrow {__version__}",
                fix="Save it again with this version, or predict with that one.",
            ) from error

    def save(self, folder: Path) -> None:
        """Write it to the folder of a saved student."""
        write_json(folder / _FILE, self.model_dump(mode="json"))
