"""Models in llama2.c's float32 format as ordinary model folders, such as `stories260K` and its larger kin.

Source: the format is that of Karpathy's llama2.c, version 0 (`export.py`, `run.c`): seven 32-bit integers, then all
weights, layer after layer within each kind.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from outgrow.errors import ModelError

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

_HEADER = struct.Struct("<7i")
_ENTRY = struct.Struct("<fi")
_SPACE = "▁"
_SPECIAL = ("<unk>", "<s>", "</s>")
"""Tokens 0, 1 and 2; files call the last two what they print."""
_BEGIN, _END = 1, 2
_EPSILON = 1e-5

_Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Shape:
    """The seven numbers at the beginning of a file."""

    dim: int
    """Size of the residual stream."""
    hidden: int
    """Size of the feed-forward layers."""
    layers: int
    """Number of transformer blocks."""
    heads: int
    """Query heads of a block."""
    kv_heads: int
    """Key and value heads of a block."""
    vocabulary: int
    """Number of tokens; negative where the output has a matrix of its own."""
    context: int
    """Longest text, in tokens."""

    @property
    def head(self) -> int:
        """Size of a head."""
        return self.dim // self.heads

    def weights(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name and shape of every array of the file, in order.

        Example:
            >>> Shape(64, 172, 5, 8, 4, 512, 512).weights()[2]
            ('query', (5, 64, 64))
        """
        keys = self.kv_heads * self.head
        arrays: list[tuple[str, tuple[int, ...]]] = [
            ("embedding", (abs(self.vocabulary), self.dim)),
            ("attention_norm", (self.layers, self.dim)),
            ("query", (self.layers, self.dim, self.dim)),
            ("key", (self.layers, keys, self.dim)),
            ("value", (self.layers, keys, self.dim)),
            ("attention_out", (self.layers, self.dim, self.dim)),
            ("feed_norm", (self.layers, self.dim)),
            ("gate", (self.layers, self.hidden, self.dim)),
            ("down", (self.layers, self.dim, self.hidden)),
            ("up", (self.layers, self.hidden, self.dim)),
            ("norm", (self.dim,)),
            ("cosines", (self.context, self.head // 2)),
            ("sines", (self.context, self.head // 2)),
        ]
        return arrays if self.vocabulary > 0 else [*arrays, ("output", (-self.vocabulary, self.dim))]


def convert(weights: str | Path, tokenizer: str | Path, folder: str | Path) -> Path:
    """Writes a model folder (`config.json`, safetensors, `tokenizer.json`) that everything else loads like any other.

    Args:
        weights: The model, such as `stories260K.bin`.
        tokenizer: Its tokenizer, such as `tok512.bin`.
        folder: Where to; made if it does not exist.

    Returns:
        The folder.

    Raises:
        ModelError: A file is missing or is not of this format, or the two do not belong together.

    Example:
        ```python
        convert("stories260K.bin", "tok512.bin", "models/stories260K")
        LocalLanguageModel.load("models/stories260K")
        ```
    """
    network, tokens = load_network(weights), load_tokenizer(tokenizer)
    if network.config.vocab_size != len(tokens):
        raise ModelError(
            f"{tokenizer} is not the tokenizer of {weights}.",
            found=f"{len(tokens)} tokens",
            wanted=f"{network.config.vocab_size} tokens",
        )
    network.save_pretrained(folder)
    tokens.save_pretrained(folder)
    return Path(folder)


def load_network(path: str | Path) -> LlamaForCausalLM:
    """The model of a file, fp32, in evaluation mode.

    Raises:
        ModelError: The file is missing or is not of this format.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    shape, arrays = read_weights(path)
    config = LlamaConfig(
        vocab_size=abs(shape.vocabulary),
        hidden_size=shape.dim,
        intermediate_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.context,
        rms_norm_eps=_EPSILON,
        tie_word_embeddings=shape.vocabulary > 0,
        bos_token_id=_BEGIN,
        # These models end a text with the token that begins the next.
        eos_token_id=[_BEGIN, _END],
        pad_token_id=None,
    )
    network = LlamaForCausalLM(config)
    state = {name: torch.from_numpy(array.copy()) for name, array in _state(shape, arrays).items()}
    network.load_state_dict(state)
    return network.eval()


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a file: byte pairs merged by score, bytes where a character is unknown, `<s>` before a text.

    A text gets a space in front unless it begins with one, so that a continuation can be cut on its own.

    Raises:
        ModelError: The file is missing or is not of this format.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = read_pieces(path)
    vocabulary = {piece: index for index, (piece, _) in enumerate(pieces)}
    unknown, begin, end = _SPECIAL
    merging = models.BPE(vocabulary, merges_of(pieces), unk_token=unknown, fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(merging)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(_SPACE, prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(f"{begin} $A", special_tokens=[(begin, _BEGIN)])
    loaded: PreTrainedTokenizerBase = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token=unknown, bos_token=begin, eos_token=end
    )
    return loaded


def read_weights(path: str | Path) -> tuple[Shape, _Weights]:
    """Shape and weights of a file, by the names of `Shape.weights`.

    Raises:
        ModelError: The file is missing or is not of this format.
    """
    data = _read(path)
    if len(data) < _HEADER.size:
        raise _malformed(path, f"{len(data)} bytes")
    shape = Shape(*_HEADER.unpack_from(data))
    sizes = (shape.dim, shape.hidden, shape.layers, shape.heads, shape.kv_heads, abs(shape.vocabulary), shape.context)
    if min(sizes) < 1 or shape.dim % shape.heads or shape.head % 2 or shape.heads % shape.kv_heads:
        raise _malformed(path, f"it begins with {', '.join(map(str, sizes))}")
    lengths = [int(np.prod(size, dtype=np.int64)) for _, size in shape.weights()]
    if len(data) != _HEADER.size + 4 * sum(lengths):
        raise _malformed(path, f"{len(data)} bytes, where its header asks for {_HEADER.size + 4 * sum(lengths)}")
    flat = np.frombuffer(data, dtype="<f4", offset=_HEADER.size)
    parts = np.split(flat, np.cumsum(lengths)[:-1])
    return shape, {name: part.reshape(size) for (name, size), part in zip(shape.weights(), parts, strict=True)}


def read_pieces(path: str | Path) -> list[tuple[str, float]]:
    """Pieces and scores of a tokenizer file, with `▁` for a space; higher scores merge first.

    Raises:
        ModelError: The file is missing or is not of this format.
    """
    data, place, pieces = _read(path), 4, []
    try:
        while place < len(data):
            score, length = _ENTRY.unpack_from(data, place)
            if length < 0:
                raise _malformed(path, f"a piece of {length} bytes")
            place += _ENTRY.size + length
            pieces.append((data[place - length : place].decode().replace(" ", _SPACE), score))
    except (struct.error, UnicodeDecodeError) as error:
        raise _malformed(path, str(error)) from error
    if place != len(data) or len(pieces) < len(_SPECIAL):
        raise _malformed(path, f"{len(pieces)} pieces in {len(data)} bytes")
    pieces[: len(_SPECIAL)] = [(name, 0.0) for name in _SPECIAL]
    return pieces


def merges_of(pieces: list[tuple[str, float]]) -> list[tuple[str, str]]:
    """Every way to put a piece together from two others, those with high scores first.

    Example:
        >>> merges_of([("a", 0.0), ("b", 0.0), ("ab", -2.0), ("aba", -1.0)])
        [('ab', 'a'), ('a', 'b')]
    """
    known = {piece for piece, _ in pieces}
    ways = [
        (-score, piece[:cut], piece[cut:])
        for piece, score in pieces
        for cut in range(1, len(piece))
        if piece[:cut] in known and piece[cut:] in known
    ]
    return [(left, right) for _, left, right in sorted(ways, key=lambda way: way[0])]


def _state(shape: Shape, arrays: _Weights) -> _Weights:
    """The weights by the names that transformers gives them."""
    layer_names = {
        "attention_norm": "input_layernorm",
        "value": "self_attn.v_proj",
        "attention_out": "self_attn.o_proj",
        "feed_norm": "post_attention_layernorm",
        "gate": "mlp.gate_proj",
        "down": "mlp.down_proj",
        "up": "mlp.up_proj",
    }
    state = {
        "model.embed_tokens.weight": arrays["embedding"],
        "model.norm.weight": arrays["norm"],
        "lm_head.weight": arrays.get("output", arrays["embedding"]),
    }
    for layer in range(shape.layers):
        prefix = f"model.layers.{layer}"
        state |= {f"{prefix}.{theirs}.weight": arrays[name][layer] for name, theirs in layer_names.items()}
        state[f"{prefix}.self_attn.q_proj.weight"] = _halves(arrays["query"][layer], shape.heads)
        state[f"{prefix}.self_attn.k_proj.weight"] = _halves(arrays["key"][layer], shape.kv_heads)
    return state


def _halves(matrix: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of each head reordered: llama2.c turns neighbouring pairs of them, transformers first and second half."""
    rows, width = matrix.shape
    return matrix.reshape(heads, rows // heads // 2, 2, width).swapaxes(1, 2).reshape(rows, width)


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read.", found=error.strerror) from error


def _malformed(path: str | Path, found: str) -> ModelError:
    return ModelError(
        f"{path} is not a file of llama2.c in its float32 format (version 0).",
        found=found,
        fix="Other versions: export with llama2.c's export.py, `--version 0`.",
    )
