"""How a model that runs here is loaded, and how it is asked."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import field_validator

from outgrow.config.base import Frozen


class Local(Frozen):
    """Device, precision and chat of a model that runs here."""

    device: str = "auto"
    """`auto` (a GPU if there is one), `cpu`, `cuda`, `cuda:1`, `mps`; or `spread`: over all GPUs and, where these are
    too small, the CPU's memory (through accelerate)."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the weights; `auto` is bfloat16 on a GPU that has it, float32 elsewhere. What trains is float32."""
    attention: str | None = None
    """transformers' implementation of attention, such as `sdpa` or `flash_attention_2`."""
    quantization: Literal["4bit", "8bit"] | None = None
    """Quantize the frozen weights when loading (extra `quantization`); trains through `lora` only."""
    chat: Literal["auto"] | bool | dict[str, Any] = "auto"
    """Whether to ask through the chat template (text generation): `auto` does if the model has one. A mapping is given
    to the template, such as `{enable_thinking: false}`."""
    system: str | None = None
    """A system message in front of every prompt (chat)."""

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|mps|spread|cuda(:\d+)?", value):
            raise ValueError("a device is auto, cpu, cuda, cuda:1 (or another number), mps or spread")
        return value

    @field_validator("chat", mode="before")
    @classmethod
    def _known_chat(cls, value: object) -> object:
        if value != "auto" and not isinstance(value, bool | dict):
            raise ValueError("chat is auto, true, false, or arguments of the chat template")
        return value

    @property
    def local(self) -> Local:
        """These settings alone."""
        return Local(**{name: getattr(self, name) for name in Local.model_fields})


HERE = Local()
"""The defaults."""
