"""Load transformers models from a folder or the hub: fp32 weights, safetensors only."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outgrow.errors import ModelError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

_SHARDS = ("*.safetensors", "model.safetensors.index.json")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
_TOKENIZERS = ("tokenizer*", "vocab*", "*.model", "*.tiktoken")
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def load_tokenizer(model: str) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a model folder or hub id; a ModelError if there is none."""
    from transformers import AutoTokenizer

    check_model(model)
    folder = Path(model)
    if folder.is_dir() and not _has(folder, _TOKENIZERS):
        # Otherwise some architectures get a tokenizer without a vocabulary.
        raise ModelError(f"{folder} has no tokenizer.", wanted="tokenizer.json", fix="Copy the whole model folder.")
    tokenizer: PreTrainedTokenizerBase = _load(AutoTokenizer, "tokenizer", model)
    return tokenizer


def load_encoder(model: str) -> PreTrainedModel:
    """Load a network without head (encoder or decoder), fp32, in evaluation mode."""
    from transformers import AutoModel

    return _load_network(AutoModel, model)


def load_causal_lm(model: str) -> PreTrainedModel:
    """Load a causal language model, fp32, in evaluation mode."""
    from transformers import AutoModelForCausalLM

    return _load_network(AutoModelForCausalLM, model)


def load_masked_lm(model: str) -> PreTrainedModel:
    """Load a masked language model, fp32, in evaluation mode; a missing head is initialized at random."""
    from transformers import AutoModelForMaskedLM

    return _load_network(AutoModelForMaskedLM, model, fresh_head=True)


def is_masked_lm(model: str) -> bool:
    """Return whether a model is pretrained on masked tokens rather than next tokens."""
    from transformers import AutoConfig

    check_model(model)
    return is_bidirectional(_load(AutoConfig, "configuration", model))


def is_bidirectional(config: PretrainedConfig) -> bool:
    """Return whether attention is bidirectional."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    config = config.get_text_config()
    return config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False)


def short_name(model: str) -> str:
    """Return a name for tables: the last part of a path or hub id other than `model`."""
    parts = Path(model).parts
    return parts[-2] if parts[-1] == "model" and len(parts) > 1 else parts[-1]


def check_model(model: str) -> None:
    """Raise a ModelError if a folder is missing, or has no configuration, no weights or pickled weights only.

    Hub ids are left to the hub. A folder may hold a LoRA adapter alone (`adapter_config.json`).
    """
    folder = Path(model)
    if not folder.is_dir():
        if folder.is_absolute() or not _HUB_ID.fullmatch(model):
            raise ModelError(
                f"There is no model folder {model}.", wanted="a folder with config.json and *.safetensors, or a hub id"
            )
        return
    if not any((folder / name).is_file() for name in ("config.json", "adapter_config.json")):
        raise ModelError(
            f"{folder} is not a model folder.",
            found=", ".join(sorted(path.name for path in folder.iterdir())[:6]) or "an empty folder",
            wanted="config.json and *.safetensors",
        )
    if _has(folder, _SHARDS):
        return
    if not (pickled := _has(folder, _PICKLES)):
        raise ModelError(f"{folder} has no weights.", wanted="*.safetensors", fix="Copy the whole model folder.")
    raise ModelError(
        f"{folder} has pickled weights only, which can run code when loaded.",
        found=", ".join(pickled),
        wanted="*.safetensors",
        fix="Convert them on a machine you trust: load the model there and call save_pretrained.",
    )


def _has(folder: Path, patterns: Sequence[str]) -> list[str]:
    return [path.name for pattern in patterns for path in folder.glob(pattern)]


def model_identity(model: str) -> str:
    """Return the content hash of a model folder, or `id@commit` of a hub model."""
    check_model(model)
    folder = Path(model)
    if folder.is_dir():
        files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        about = tuple((path.relative_to(folder).as_posix(), path.stat()) for path in files)
        return _folder_hash(folder.resolve(), tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in about))
    from transformers.utils.hub import cached_file

    try:
        config = Path(cached_file(model, "config.json"))
    except (OSError, ValueError) as error:
        raise _hub_error(model, error) from error
    return f"{model}@{config.parent.name}"


@lru_cache(maxsize=64)
def _folder_hash(folder: Path, files: tuple[tuple[str, int, int], ...]) -> str:
    # Cached by size and time of change too, so that replaced weights are hashed again.
    digest = hashlib.sha256()
    for name, size, _ in files:
        digest.update(f"{name}\0{size}\0".encode())
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def context_length(network: PreTrainedModel) -> int | None:
    """Return the context length in tokens, or None if the configuration has none."""
    config = network.config.get_text_config()
    for name in ("max_position_embeddings", "n_positions", "n_ctx", "seq_length"):
        length = getattr(config, name, None)
        if isinstance(length, int) and length > 0:
            # RoBERTa reserves the positions up to and including the padding index.
            reserved = getattr(getattr(network.base_model, "embeddings", None), "padding_idx", None)
            return length if reserved is None else length - reserved - 1
    return None


def _load_network(auto: Any, model: str, *, fresh_head: bool = False) -> PreTrainedModel:
    import torch

    check_model(model)
    options = {"dtype": torch.float32, "use_safetensors": True, "output_loading_info": True}
    network, about = _load(auto, "weights", model, **options)
    # A pooler is never used; other missing weights would stay random.
    needed = f"{network.base_model_prefix}." if fresh_head else ""
    missing = sorted(name for name in about["missing_keys"] if name.startswith(needed) and "pooler" not in name)
    if missing:
        raise ModelError(
            f"The weights in {model} are not those of the model that its config.json describes.",
            found=f"no weights for {len(missing)} parameters, such as {missing[0]}",
            fix="Copy the whole model folder.",
        )
    return network.eval()


def _load(auto: Any, part: str, model: str, **options: Any) -> Any:
    from safetensors import SafetensorError
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        return auto.from_pretrained(model, **options)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        if Path(model).is_dir():
            raise ModelError(f"The {part} in {model} cannot be read: {_first_line(error)}") from error
        raise _hub_error(model, error) from error


def _hub_error(model: str, error: Exception) -> ModelError:
    return ModelError(
        f"The model {model!r} is neither a folder nor available from the hub.",
        found=_first_line(error),
        wanted="a folder, or a hub id that is in the local cache or can be downloaded",
        fix="Check the name; offline, give the path of a folder.",
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
