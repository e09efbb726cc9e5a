"""Load transformers models from a folder or the hub, on a device and in a precision: safetensors only."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outgrow.config import HERE, Local
from outgrow.errors import ConfigError, MissingExtraError, ModelError
from outgrow.models.foreign import check_numbers, check_padding, first_line, read_about

if TYPE_CHECKING:
    import torch
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
    if folder.is_dir():
        check_padding(folder)
    tokenizer: PreTrainedTokenizerBase = _load(AutoTokenizer, "tokenizer", model)
    try:
        if not isinstance(tokenizer.model_max_length, int | float):
            raise TypeError(f"model_max_length is {tokenizer.model_max_length!r}")
        tokenizer("any word \u2603")
    except Exception as error:  # whatever its files make of it
        raise ModelError(f"The tokenizer in {model} reads no text: {first_line(error)}") from error
    return tokenizer


def load_encoder(model: str, local: Local = HERE) -> PreTrainedModel:
    """Load a network without head (encoder or decoder) in evaluation mode."""
    from transformers import AutoModel

    return _load_network(AutoModel, model, local)


def load_causal_lm(model: str, local: Local = HERE) -> PreTrainedModel:
    """Load a causal language model in evaluation mode."""
    from transformers import AutoModelForCausalLM

    return _load_network(AutoModelForCausalLM, model, local)


def load_masked_lm(model: str, local: Local = HERE) -> PreTrainedModel:
    """Load a masked language model in evaluation mode; a missing head is initialized at random."""
    from transformers import AutoModelForMaskedLM

    return _load_network(AutoModelForMaskedLM, model, local, fresh_head=True)


def has_chat_template(model: str) -> bool:
    """Return whether the tokenizer of a model folder or hub id has a chat template; without loading that of a folder.

    Raises:
        ModelError: As `load_tokenizer`.
    """
    check_model(model)
    folder = Path(model)
    if not folder.is_dir():
        return load_tokenizer(model).chat_template is not None
    own = read_about(folder, "tokenizer_config.json")
    return (folder / "chat_template.jinja").is_file() or own.get("chat_template") is not None


def device_of(local: Local) -> torch.device:
    """Return the device that a model is loaded on; with `spread`, the one that reads its input.

    Raises:
        ConfigError: It is not there.
    """
    import torch

    if local.device in ("auto", "spread"):
        mps = local.device == "auto" and torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    device = torch.device(local.device)
    there = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available()), "cpu": 1}[device.type]
    if (device.index or 0) >= there:
        found = f"{there} of this kind" if there else "none of this kind"
        raise ConfigError(f"There is no device {local.device} here.", found=found, fix="Set `device: auto`.")
    return device


def dtype_of(local: Local) -> torch.dtype:
    """Return the precision of the weights.

    Raises:
        ConfigError: The device has no bfloat16, or is not there.
    """
    import torch

    device = device_of(local)
    bfloat16 = device.type != "cuda" or torch.cuda.is_bf16_supported()
    if local.dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" and bfloat16 else torch.float32
    if local.dtype == "bfloat16" and not bfloat16:
        fix = "Set `dtype: float16`, or `float32`."
        raise ConfigError(f"The device {device} does not compute in bfloat16.", found="dtype: bfloat16", fix=fix)
    dtype: torch.dtype = getattr(torch, local.dtype)
    return dtype


@lru_cache
def _built_for_cpu() -> bool:
    return version("torch").endswith("+cpu")


def _plain_dtype(local: Local) -> str | None:
    """Name of the precision on a CPU, where that can be seen without torch; else None."""
    on_cpu = local.device == "cpu" or (local.device == "auto" and _built_for_cpu())
    return {"auto": "float32"}.get(local.dtype, local.dtype) if on_cpu else None


def check_local(local: Local) -> None:
    """Refuse a device, a precision or a quantization that cannot be had here, before anything is computed."""
    from importlib.util import find_spec

    if _plain_dtype(local) is None:
        dtype_of(local)
    if local.quantization and find_spec("bitsandbytes") is None:
        raise MissingExtraError("Quantization", "quantization")


def trainable(local: Local, *, frozen: bool) -> Local:
    """Return how a model is loaded for training: what trains is fp32; a `frozen` base may keep its precision.

    Raises:
        ConfigError: Quantized weights would have to train.
    """
    if frozen:
        return local
    if local.quantization:
        fix = "Set `adapter: lora`, or leave `quantization` out."
        raise ConfigError("Quantized weights cannot be trained.", found=f"quantization: {local.quantization}", fix=fix)
    return local.model_copy(update={"dtype": "float32"})


def load_config(model: str) -> PretrainedConfig:
    """Load the configuration of a model folder or hub id."""
    from transformers import AutoConfig

    check_model(model)
    config: PretrainedConfig = _load(AutoConfig, "configuration", model)
    return config


def is_masked_lm(model: str) -> bool:
    """Return whether a model is pretrained on masked tokens rather than next tokens."""
    return is_bidirectional(load_config(model))


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
    check_numbers(read_about(folder, "config.json"), folder)
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


def weights_identity(model: str, local: Local = HERE) -> Any:
    """Return `model_identity`; with precision and quantization where the model is not computed in plain fp32."""
    whole, dtype = model_identity(model), _plain_dtype(local) or str(dtype_of(local)).removeprefix("torch.")
    if dtype == "float32" and not local.quantization:
        return whole
    return {"model": whole, "dtype": dtype, "quantization": local.quantization}


def asks_in_chat(model: str, local: Local) -> bool:
    """Return whether a model is asked through its chat template."""
    return local.chat is not False and (local.chat != "auto" or has_chat_template(model))


def text_identity(model: str, local: Local) -> Any:
    """Return `weights_identity`, with the chat of a model that is asked through its template, said or found."""
    weights = weights_identity(model, local)
    if not asks_in_chat(model, local):
        return weights
    return {"weights": weights, "chat": local.chat if isinstance(local.chat, dict) else {}, "system": local.system}


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


def _load_network(auto: Any, model: str, local: Local, *, fresh_head: bool = False) -> PreTrainedModel:
    check_model(model)
    device, options = device_of(local), {"dtype": dtype_of(local), "use_safetensors": True, "output_loading_info": True}
    if local.attention:
        options["attn_implementation"] = local.attention
    if local.quantization:
        options["quantization_config"] = _quantization(local)
    if local.device == "spread" or local.quantization:
        options["device_map"] = "auto" if local.device == "spread" else {"": device}
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
    network.eval()
    if "device_map" in options or device.type == "cpu":
        return network
    with _enough_memory(model):
        return network.to(device)


@contextmanager
def _enough_memory(model: str) -> Iterator[None]:
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"The memory of the device is too small for {model}.",
            found=first_line(error),
            fix="Set `device: spread`, `dtype: bfloat16` or `quantization: 4bit`, or take a smaller model.",
        ) from error


def _quantization(local: Local) -> Any:
    from transformers import BitsAndBytesConfig

    check_local(local)
    if local.quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype_of(local))


def _load(auto: Any, part: str, model: str, **options: Any) -> Any:
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with _enough_memory(model):
            return auto.from_pretrained(model, **options)
    except ModelError:
        raise
    except BaseException as error:  # the files may hold anything, and tokenizers panic with an exception of Rust
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        if Path(model).is_dir():
            raise ModelError(f"The {part} in {model} cannot be read: {first_line(error)}") from error
        raise _hub_error(model, error) from error


def _hub_error(model: str, error: BaseException) -> ModelError:
    return ModelError(
        f"The model {model!r} is neither a folder nor available from the hub.",
        found=first_line(error),
        wanted="a folder, or a hub id that is in the local cache or can be downloaded",
        fix="Check the name; offline, give the path of a folder.",
    )
