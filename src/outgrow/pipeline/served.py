"""The strong model of a text task behind a server: what it can do, and what its provider has made of it."""

from __future__ import annotations

from outgrow.config import ExperimentConfig, ServerStrong, StrongModel
from outgrow.errors import ConfigError
from outgrow.supervisors.respondents import LocalRespondent, Respondent, ServedRespondent


def strong_respondent(strong: StrongModel, name: str, model: str | None = None) -> Respondent:
    """The strong model.

    Args:
        strong: The section of the experiment file.
        name: Its name in tables.
        model: The folder in which it lies after its training; by default it is as it was.
    """
    if isinstance(strong, ServerStrong):
        return ServedRespondent(strong, "strong model", name)
    return LocalRespondent(model or strong.model, name, strong.batch_size)


def check_served_strong(config: ExperimentConfig) -> None:
    """Refuses methods that need a strong model's training here.

    Raises:
        ConfigError: As said.
    """
    for name, method in config.methods.items():
        if method.prefer is not None or method.objective.name != "cross_entropy":
            part = "objective" if method.prefer is None else "prefer"
            raise ConfigError(
                f"methods.{name}: `{part}` is a way to train the strong model, and a model behind a server is trained "
                "by its provider, in the provider's own way.",
                fix=f"Remove `{part}`, or take a strong model that runs here.",
            )
        if method.refine is not None and method.refine.params.get("select") == "embedding":
            raise ConfigError(
                f"methods.{name}: a model behind a server does not embed texts.",
                found="select: embedding",
                fix="Choose demonstrations by `tfidf`.",
            )


def tuned_model(strong: ServerStrong, method: str, seed: int) -> ServerStrong | None:
    """What a provider's fine-tuning has made of the strong model; None where no name of it is known.

    Args:
        strong: The strong model.
        method: A method, or `ceiling`.
        seed: Position of the training seed among those of the experiment.
    """
    models = strong.tuned.get(method, ())
    return strong.model_copy(update={"model": models[seed], "name": None}) if seed < len(models) else None


def untrained(method: str) -> str:
    """What is to be said of a method, or the ceiling, without a fine-tuned model."""
    return (
        f"{method} is not in the table: a model behind a server is not trained here. `outgrow export FILE --method "
        f"{method}` writes what it would learn, for its provider's fine-tuning; strong.tuned.{method} then names the "
        "model that comes of it."
    )
