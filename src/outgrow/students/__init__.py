"""Students in use: saved as folders that plain transformers load, with a model card; and predictions for new rows.

A folder holds a model in one of two forms, and `student.json` (`Student`), which says how it is asked:

- **choices**: the network without a head (`AutoModel`), and its linear head in `head.safetensors`: `weight` (K, D) and
  `bias` (K,). No class of transformers has this head: those for sequence classification have no bias for decoders, and
  a pooler of their own for encoders. The model card has the few lines that put the two together. A probe has the same
  form: the scale of its features becomes part of its head.
- **texts**: a causal language model (`AutoModelForCausalLM`) with tokenizer, chat template and generation settings.
"""

from __future__ import annotations

from outgrow.students.predicting import predict
from outgrow.students.saving import save_student
from outgrow.students.student import Student

__all__ = ["Student", "predict", "save_student"]
