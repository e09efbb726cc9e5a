"""From a run's store to a folder that plain transformers load."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from outgrow.config import Local
from outgrow.errors import ConfigError, ModelError, StoreError, did_you_mean
from outgrow.evaluate.summary import Summary
from outgrow.files import new_folder, read_json, write_json, write_text
from outgrow.models.loading import (
    load_causal_lm,
    load_encoder,
    load_tokenizer,
    model_identity,
    short_name,
)
from outgrow.registry import can, create
from outgrow.store import Artefact, Store
from outgrow.students.card import card
from outgrow.students.student import Student
from outgrow.templates import asked_by


def save_student(
    run: Mapping[str, Any],
    summary: Summary,
    method: str,
    folder: Path,
    *,
    seed: int | None = None,
    merge: bool = False,
) -> Student:
    """Write the student of a run as a folder that plain transformers load; the folder is whole or not there.

    Args:
        run: Provenance of the run's results.
        summary: Their summary, for the model card.
        method: A method of the experiment, `ceiling` or `gold only`.
        folder: A folder that is not there yet.
        seed: Its training seed; by default the first.
        merge: Add a LoRA adapter to the weights of the base model; by default the folder holds the adapter alone, and
            transformers loads the base model from where it lies now.

    Raises:
        ConfigError: There is no such student, or it cannot be merged or has a form of its own.
        StoreError: The folder is there already, or the student is not in the store any more.
        ModelError: The base model is not there any more, or has changed since.
    """
    record = _recorded(run, method, seed)
    trained = _artefact(run, record)
    strong, task = run["config"]["strong"], run["config"]["task"]
    about = {
        **record,
        "experiment": run["config"]["name"],
        "adapter": strong["adapter"]["name"],
        "objective": (run["config"]["methods"].get(method) or {}).get("objective", "cross_entropy"),
        "columns": task["columns"],
        "template": task["template"],
        "encoding": task["encoding"],
        "max_length": strong["max_length"],
    }
    with new_folder(folder) as new:
        if trained.kind == "student":
            more = _choices(new, trained, record["base"], strong, run["choices"], merge=merge)
        else:
            more = _texts(new, trained, record["base"], strong, run["config"]["generate"], merge=merge)
        known = {key: value for key, value in {**about, **more}.items() if key != "artefact"}
        student = Student(**{**known, "base": short_name(record["base"])})
        student.save(new)
        write_text(new / "README.md", card(student, run, summary, base=record["base"]))
    return student


def _recorded(run: Mapping[str, Any], method: str, seed: int | None) -> Mapping[str, Any]:
    """The record of a student among those of a run."""
    again = "Run the experiment again: what is in its store is not computed again."
    if "students" not in run:
        raise StoreError("These results do not say which students were trained: their outgrow was older.", fix=again)
    students: list[Mapping[str, Any]] = run["students"]
    own = {each["seed"]: each for each in students if each["method"] == method}
    if not own:
        names = dict.fromkeys(each["method"] for each in students)
        raise ConfigError(
            f"There is no student {method!r} to save.",
            found=", ".join(names)
            or "no student at all: the strong model is trained elsewhere, or by code of your own that has no hash",
            fix=did_you_mean(method, names) if names else None,
        )
    if seed is not None and seed not in own:
        raise ConfigError(f"{method!r} was not trained with seed {seed}.", found=", ".join(map(str, own)))
    return own[next(iter(own)) if seed is None else seed]


def _artefact(run: Mapping[str, Any], record: Mapping[str, Any]) -> Artefact:
    """The student in the store that the run named, or in the one of this environment, where that has moved."""
    for root in (Path(run["store"]), Store.default().root):
        found = Store(root).named(record["artefact"])
        if found is not None:
            return found
    raise StoreError(
        f"The student {record['method']!r}, seed {record['seed']}, is not in the store any more.",
        found=f"no {record['artefact']} in {run['store']}",
        fix="Run the experiment again, which trains what is missing; or set OUTGROW_STORE to where the store is now.",
    )


def _choices(
    new: Path, trained: Artefact, base: str, strong: Mapping[str, Any], names: Mapping[str, Any], *, merge: bool
) -> dict[str, Any]:
    """Write backbone, head and tokenizer of a choice student."""
    from safetensors.torch import save_file

    from outgrow.models.classifier import default_pooling

    local = _local(trained, base, strong)
    if (trained.path / "network.json").is_file():
        from outgrow.train.choice import load_network

        network = load_network(trained.path, model=base, local=local)
        backbone, pooling = network.backbone, network.pooling
        head = {name: value.detach().clone() for name, value in network.head.state_dict().items()}
    else:
        backbone, head = load_encoder(base, local), _head_of_probe(trained.path, strong["adapter"]["name"])
        pooling = default_pooling(backbone)
    if not can(backbone, "save_pretrained"):
        raise _own_form(strong["adapter"]["name"])
    if merge and can(backbone, "merge_and_unload"):
        _check_merge(strong)
        backbone = backbone.merge_and_unload()
    separate = can(backbone, "merge_and_unload")
    if not names["by_row"] and not separate:
        backbone.config.id2label = dict(enumerate(names["names"]))
        backbone.config.label2id = {name: index for index, name in enumerate(names["names"])}
    backbone.save_pretrained(new)
    save_file(head, new / "head.safetensors")
    tokenizer = load_tokenizer(base)
    if tokenizer.pad_token is None:  # any special token will do: the attention mask marks padding
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(new)
    return {"choices": names["names"], "by_row": names["by_row"], "pooling": pooling, "separate": separate}


def _head_of_probe(folder: Path, adapter: str) -> dict[str, Any]:
    """The head of a probe on features as they are, without their standardisation."""
    from safetensors.torch import load_file

    from outgrow.train.probe import HEAD

    state = load_file(folder / HEAD)
    if state.keys() != {"weight", "bias", "mean", "scale"}:
        raise _own_form(adapter)
    weight = state["weight"].double() / state["scale"].double()
    bias = state["bias"].double() - weight @ state["mean"].double()
    return {"weight": weight.float().contiguous(), "bias": bias.float()}


def _texts(
    new: Path, trained: Artefact, base: str, strong: Mapping[str, Any], generate: Mapping[str, Any], *, merge: bool
) -> dict[str, Any]:
    """Write model, tokenizer and generation settings of a text student."""
    from outgrow.models.rendering import ChatRenderer, renderer

    source = trained.path / "model"
    separate = (source / "adapter_config.json").is_file()
    tokenizer = load_tokenizer(str(source))
    speech = renderer(tokenizer, strong["chat"], strong["system"])
    settings = _generation(base if separate else str(source), tokenizer, speech.end, generate)
    if separate and merge:
        _check_merge(strong)
        network = load_causal_lm(base, _local(trained, base, strong))
        adapter = create("adapter", strong["adapter"]["name"], _params(strong["adapter"]), "go_on")
        adapter.go_on(network, str(source)).merge_and_unload().save_pretrained(new)
        tokenizer.save_pretrained(new)
        separate = False
    else:
        shutil.copytree(source, new, dirs_exist_ok=True)
        if separate:
            _local(trained, base, strong)
            about = read_json(new / "adapter_config.json")
            write_json(new / "adapter_config.json", {**about, "base_model_name_or_path": base})
    settings.save_pretrained(new)
    chats = isinstance(speech, ChatRenderer)
    asked = speech.text(asked_by(generate["template"], chats=chats))
    told = {"generate": generate, "chat": strong["chat"] if chats else False, "system": strong["system"]}
    return {**told, "choices": None, "separate": separate, "asked": asked}


def _generation(model: str, tokenizer: Any, end: int | None, generate: Mapping[str, Any]) -> Any:
    """Settings of transformers with which a student answers as in the experiment: greedily, to any end of a text.

    Without stop strings, which transformers cannot look for with every tokenizer: answers are cut at them afterwards.
    """
    from transformers import AutoConfig, GenerationConfig

    try:
        given = GenerationConfig.from_pretrained(model)
    except OSError:  # the model has none of its own
        given = GenerationConfig.from_model_config(AutoConfig.from_pretrained(model))
    own = given.eos_token_id if isinstance(given.eos_token_id, list) else [given.eos_token_id]
    ends = sorted({token for token in (*own, tokenizer.eos_token_id, end) if token is not None})
    return GenerationConfig(
        max_new_tokens=generate["max_new_tokens"],
        do_sample=False,
        bos_token_id=given.bos_token_id,
        eos_token_id=ends or None,
        pad_token_id=next((token for token in (tokenizer.pad_token_id, *ends) if token is not None), None),
    )


def _local(trained: Artefact, base: str, strong: Mapping[str, Any]) -> Local:
    """How the base model is loaded: in the precision of its training, on the CPU, which has room for most models.

    Raises:
        ModelError: The base model is not the one that the student was trained from.
    """
    identity: Any = read_json(trained.path / "manifest.json")["recipe"]["model"]
    while isinstance(identity, dict) and "weights" in identity:
        identity = identity["weights"]
    dtype: Any
    weights, dtype = (identity["model"], identity["dtype"]) if isinstance(identity, dict) else (identity, "float32")
    # Preference training starts from a student, whose own recipe names the base model.
    if trained.kind != "preference-student" and model_identity(base) != weights:
        raise ModelError(
            f"The base model {base} is not the one that the student was trained from.",
            found="other files, or other contents",
            fix="Put the former model back, or run the experiment again.",
        )
    return Local(device="cpu", dtype="float32" if strong["adapter"]["name"] == "none" else dtype)


def _check_merge(strong: Mapping[str, Any]) -> None:
    if strong["quantization"]:
        raise ConfigError(
            "An adapter that was trained on quantized weights cannot be merged: it would be added to other weights.",
            found=f"quantization: {strong['quantization']}",
            fix="Save it without `merge`.",
        )


def _params(adapter: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in adapter.items() if key != "name"}


def _own_form(adapter: str) -> ConfigError:
    return ConfigError(
        f"The adapter {adapter!r} keeps students in a form of its own, which plain transformers do not load.",
        wanted="none, lora or probe, or an adapter whose networks have `save_pretrained`",
    )
