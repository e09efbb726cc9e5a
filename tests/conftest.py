"""What every test shares: no network, one thread, a store and a cache of its own; tiny models, and the real data."""

from __future__ import annotations

import gc
import itertools
import os
import sys
from pathlib import Path

# Read when libraries are imported, and inherited by subprocesses. With more threads, the workers of pytest-xdist would
# fight for the cores.
os.environ.update(
    HF_HUB_OFFLINE="1",
    OMP_NUM_THREADS="1",
    OPENBLAS_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    TOKENIZERS_PARALLELISM="false",
)

import hypothesis
import pytest

from outgrow import registry

hypothesis.settings.register_profile("outgrow", deadline=None, max_examples=40)
hypothesis.settings.load_profile("outgrow")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> None:
    os.fsync = lambda handle: None  # what only a power cut would lose, no test looks for


@pytest.fixture(autouse=True)
def _imports_kept_from_the_garbage_collector() -> None:
    # accelerate collects garbage before every training, which takes .3 s with all that torch and transformers hold.
    global _frozen
    if len(sys.modules) > _frozen + 100:
        gc.collect()
        gc.freeze()
        _frozen = len(sys.modules)


_frozen = 0


@pytest.fixture(autouse=True)
def _own_store(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path_factory.getbasetemp() / f"own-{next(_numbers)}"  # made by those that write into it
    monkeypatch.setenv("OUTGROW_STORE", str(root / "store"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(root / "cache"))


_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _plugins_of_this_test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_PLUGINS", [*registry._PLUGINS])  # results name those that are loaded


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random BERT with a tokenizer of a dozen words; to be left as it is."""
    from tiny_models import make_encoder

    return make_encoder(tmp_path_factory.mktemp("models") / "encoder")


@pytest.fixture(scope="session")
def decoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama whose tokenizer has no padding token; to be left as it is."""
    from tiny_models import make_decoder

    return make_decoder(tmp_path_factory.mktemp("models") / "decoder")


@pytest.fixture(scope="session")
def worlds_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's cache with the tiny world of facts, made once for all test processes; to be left as it is."""
    from outgrow.worlds import facts_models

    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "worlds-cache"
    facts_models.build(root / "outgrow" / "worlds" / "facts-tiny", size="tiny")
    return root


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data beside or inside the checkout."""
    root = Path(__file__).parents[1]
    for folder in (root.parent / "shared/data", root / "shared/data"):
        if folder.is_dir():
            return folder
    pytest.skip(f"the real data folder shared/data is neither beside nor inside {root}")
