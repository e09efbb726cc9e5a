"""What this installation has, and whether it works: the checks behind `outgrow doctor`."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from outgrow.errors import OutgrowError
from outgrow.files import translate_os_errors
from outgrow.store import Store

_SWITCHES = ("HF_HUB_OFFLINE", "HF_HOME", "OUTGROW_STORE", "CUDA_VISIBLE_DEVICES")
_SECRETS = ("OPENAI_BASE_URL", "OPENAI_API_KEY")
"""Variables whose values are not shown: an address may hold a password."""
_MODELS = ("ENCODER", "WEAK", "MODEL")
"""Variables of the starters that may name a folder with a model."""
_LEAST_FREE = 2.0
"""Gigabytes of disk or memory below which a run is likely to fail."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: Literal["ok", "note", "broken"]
    """`note`: something is missing that not every experiment needs."""
    found: str
    fix: str | None = None
    """What to do about it."""


def examine() -> Iterator[Check]:
    """Yield the checks one by one, the self-test last; one that fails unexpectedly is `broken`."""
    yield Check("Python", "ok", f"{platform.python_version()} on {platform.platform()}")
    for check in (_packages, _extras, _devices, _memory, _switches, _models, _store, _self_test):
        try:
            yield from check()
        except Exception as error:
            yield _broken(check.__name__.strip("_").replace("_", "-"), error)


def _broken(name: str, error: Exception) -> Check:
    if isinstance(error, OutgrowError):
        return Check(name, "broken", error.what, error.fix)
    return Check(name, "broken", f"{type(error).__name__}: {error}", "Install outgrow again, or report this.")


def _required() -> Iterator[tuple[str | None, str, str | None]]:
    """Extra, requirement and what is wrong with it, of each requirement of outgrow."""
    from packaging.requirements import Requirement

    for line in importlib.metadata.requires("outgrow") or ():
        need = Requirement(line)
        extra = re.search(r"""extra == ['"]([\w-]+)""", line)
        try:
            version = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            yield extra and extra[1], need.name, "is not installed"
        else:
            right = need.specifier.contains(version, prereleases=True)
            yield extra and extra[1], f"{need.name} {version}", None if right else f"is not {need.specifier}"


def _packages() -> Iterator[Check]:
    needed = [(name, wrong) for extra, name, wrong in _required() if extra is None]
    wrong = [f"{name} {problem}" for name, problem in needed if problem]
    if wrong:
        yield Check("packages", "broken", "; ".join(wrong), "pip install --upgrade outgrow")
    else:
        shown = [name for name, _ in needed if name.partition(" ")[0] in ("torch", "transformers")]
        yield Check("packages", "ok", ", ".join(shown))


def _extras() -> Iterator[Check]:
    by_extra: dict[str, list[str]] = {}
    for extra, name, problem in _required():
        if extra and extra != "dev":
            by_extra.setdefault(extra, []).extend([f"{name} {problem}"] if problem else [])
    for extra, missing in by_extra.items():
        if missing:
            yield Check(f"extra {extra}", "note", "; ".join(missing), f"pip install 'outgrow[{extra}]', if you need it")
        else:
            yield Check(f"extra {extra}", "ok", "installed")


def _devices() -> Iterator[Check]:
    import torch

    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        yield Check(f"device cuda:{index}", "ok", f"{about.name}, {about.total_memory / 1e9:.0f} GB")
    if torch.backends.mps.is_available():
        yield Check("device mps", "ok", "Apple GPU")
    yield Check("device cpu", "ok", f"{os.cpu_count()} cores, {torch.get_num_threads()} threads of torch")


def _memory() -> Iterator[Check]:
    if "SC_AVPHYS_PAGES" not in getattr(os, "sysconf_names", ()):  # not on every system
        return
    page = os.sysconf("SC_PAGE_SIZE")
    total, free = (page * os.sysconf(name) / 1e9 for name in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES"))
    yield _room("memory", total, free, "Close other programs, or take smaller models.")


def _room(name: str, total: float, free: float, fix: str) -> Check:
    found = f"{free:.1f} of {total:.0f} GB free"
    return Check(name, "note", found, fix) if free < _LEAST_FREE else Check(name, "ok", found)


def _switches() -> Iterator[Check]:
    for name in _SWITCHES:
        if name in os.environ:
            yield Check(name, "ok", os.environ[name])
    for name in _SECRETS:
        yield Check(name, "ok", "set" if os.environ.get(name) else "not set")


def _models() -> Iterator[Check]:
    from outgrow.models.loading import check_model

    for name in _MODELS:
        model = os.environ.get(name)
        if model:
            try:
                check_model(model)
                yield Check(name, "ok", f"{model}{'' if Path(model).is_dir() else ' (a hub id)'}")
            except OutgrowError as error:
                yield _broken(name, error)


def _store() -> Iterator[Check]:
    root = Store.default().root
    with translate_os_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            usage = shutil.disk_usage(root)
    about = _room("store", usage.total / 1e9, usage.free / 1e9, "Free some space, or set OUTGROW_STORE.")
    yield Check("store", about.state, f"{root}, {about.found}", about.fix)


def _self_test() -> Iterator[Check]:
    """From made-up votes to labels for new rows, in a temporary folder."""
    from outgrow.experiment import Experiment
    from outgrow.starters import write_starter
    from outgrow.students import predict

    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        file = write_starter("crowd", folder / "test")
        places = [f"store={folder / 'store'}", f"output={folder / 'run'}", f"strong.model={folder / 'test/encoder'}"]
        results = Experiment.from_yaml(file, [*places, "methods={naive: {}}", "task.limit=100"]).run()
        results.save_student("naive", folder / "student")
        count = predict(folder / "student", folder / "test/new.csv", folder / "labels.csv")
    seconds = time.perf_counter() - begin
    yield Check("self-test", "ok", f"votes, training, a saved student and {count} predictions in {seconds:.1f} s")
