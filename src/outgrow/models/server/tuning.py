"""Fine-tuning by a provider: upload of training messages, one job for each recipe, and its model.

Source:
    OpenAI's API reference for `/files` and `/fine_tuning/jobs`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from outgrow.errors import MissingExtraError, ModelError
from outgrow.files import read_json, write_json
from outgrow.models.server.client import Limits, message_of, redirected
from outgrow.models.server.keys import api_key, key_fix, redact

FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
"""Seconds between two looks at a job; they double from the first to the longest."""
_AGAIN = "Run the same command again: it goes on with the same job."


class NotYetError(ModelError):
    """The provider is not done, or takes no further job at the moment; the same call goes on later."""


class TunedModel(NamedTuple):
    """What a fine-tuning job gave."""

    model: str
    """Its name at the provider."""
    trained_tokens: int | None
    """Tokens that the provider bills for the training; None if it does not say."""


@dataclass(frozen=True)
class Tuning:
    """A fine-tuning job as its provider sees it."""

    model: str
    """The base model's name at the provider."""
    key: str
    """Hash of the model, the messages and all settings. It names file and job, so that both are found again."""
    hyperparameters: Mapping[str, float] = field(default_factory=dict)
    """Such as `n_epochs`, by their names in the API."""
    seed: int = 0
    """Seed of the training."""

    @property
    def suffix(self) -> str:
        """A part of the tuned model's name, where the provider takes one."""
        return f"outgrow-{self.key[:16]}"


def fine_tune(
    tuning: Tuning,
    training: Path,
    folder: Path,
    base_url: str | None,
    *,
    limits: Limits | None = None,
    hours: float = 24.0,
    on_status: Callable[[str], None] = lambda status: None,
) -> TunedModel:
    """Return the model of a fine-tuning job, which is created unless it exists, and waited for.

    Ids of file and job are written into the folder as soon as they are known. Before a job is created, those of the
    provider are searched for its key. So there is one job, wherever an earlier call was interrupted. A job that failed
    or was cancelled is reported once; the next call creates another one.

    Args:
        tuning: The job.
        training: A file with a line of chat messages for each example.
        folder: Keeps `file.json` and `job.json`.
        base_url: Base URL of the provider. Default: OPENAI_BASE_URL.
        limits: Timeout and retries of each request.
        hours: Longest time to wait for the job; with 0 it is only created.
        on_status: Called with every new status of the job.

    Raises:
        NotYetError: The job takes longer, or the provider takes no further job at the moment.
        ModelError: The provider refuses file or job, does not answer, or has lost the job; or the job failed or was
            cancelled.
    """
    with _Provider.open(base_url, limits or Limits()) as provider:
        record = folder / "job.json"
        if not record.is_file():
            found = provider.existing(tuning) or provider.create(tuning, training, folder / "file.json")
            write_json(record, {"id": found})
        return provider.wait(str(read_json(record)["id"]), record, hours, on_status)


class _Provider:
    def __init__(self, client: Any, key: str | None) -> None:
        self._client, self._key = client, key

    @classmethod
    @contextmanager
    def open(cls, base_url: str | None, limits: Limits) -> Iterator[_Provider]:
        try:
            import openai

            from outgrow.models.server.http import connect
        except ImportError as error:
            raise MissingExtraError("A model behind a server", "api") from error
        key = api_key()
        with connect(openai.OpenAI, base_url, key, retries=limits.retries, timeout=limits.timeout) as client:
            yield cls(client, key)

    def existing(self, tuning: Tuning) -> str | None:
        """A job of this key that has not failed."""
        seen = set()
        with self._asked("look for fine-tuning jobs"):
            for one in self._client.fine_tuning.jobs.list(metadata={"outgrow": tuning.key}, limit=100):
                if one.id in seen:
                    break  # a provider without pages sends the first one again and again
                seen.add(one.id)
                own = (one.metadata or {}).get("outgrow") == tuning.key
                if (own or getattr(one, "user_provided_suffix", None) == tuning.suffix) and one.status not in _OVER:
                    return str(one.id)
        return None

    def create(self, tuning: Tuning, training: Path, record: Path) -> str:
        uploaded = record.is_file()
        if not uploaded:
            with self._asked(f"upload {training.name}"):
                name = f"{tuning.suffix}.jsonl"
                file = self._client.files.create(file=(name, training.read_bytes()), purpose="fine-tune")
                if file.status == "error":
                    raise self._error("refuses the training file", file.status_details, f"Look at {training}.")
                write_json(record, {"id": _text(file.id)})
        try:
            # Not sent again by the client: where the reply is lost there may be a job, which the next run finds.
            with self._asked("create a fine-tuning job"):
                hyperparameters = dict(tuning.hyperparameters)
                job = self._client.with_options(max_retries=0).fine_tuning.jobs.create(
                    model=tuning.model,
                    training_file=read_json(record)["id"],
                    method={"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
                    seed=tuning.seed,
                    suffix=tuning.suffix,
                    metadata={"outgrow": tuning.key},
                )
                return _text(job.id)
        except ModelError as error:
            if uploaded and not isinstance(error, NotYetError):  # the file may be gone: the next run uploads it again
                record.unlink()
            raise

    def wait(self, job: str, record: Path, hours: float, on_status: Callable[[str], None]) -> TunedModel:
        status, pause, end = "", FIRST_WAIT, time.monotonic() + 3600 * hours
        while True:
            with self._asked(f"look at the fine-tuning job {job}", lost=record):
                found = self._client.fine_tuning.jobs.retrieve(job)
                if found.status != status:
                    status = _text(found.status)
                    on_status(f"{status} (job {job})")
                if status == "succeeded":
                    return TunedModel(_text(found.fine_tuned_model), _count(found.trained_tokens))
            if status in _OVER:
                record.unlink()
                said = getattr(found.error, "message", None) or "no reason given"
                raise self._error(
                    f"reports that the fine-tuning job {job} {_OVER[status]}",
                    said,
                    "Mend the cause, then run the same command again: it creates another job.",
                )
            if time.monotonic() >= end:
                raise NotYetError(
                    f"The fine-tuning job {job} is not done after {hours:g} hours.", found=status, fix=_AGAIN
                )
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_WAIT)

    @contextmanager
    def _asked(self, what: str, *, lost: Path | None = None) -> Iterator[None]:
        import openai

        problem: ModelError
        try:
            yield
            return
        except openai.APIStatusError as error:
            problem = self._status_error(error, what, lost)
        except openai.APIConnectionError as error:
            problem = self._error(f"does not {what}", error.__cause__ or error, _AGAIN)
        except (openai.OpenAIError, AttributeError, TypeError, ValueError) as error:  # a reply of another format
            problem = self._error(f"gives no answer of the API's format to “{what}”", error, _AGAIN)
        raise problem from None  # without the client's error, whose text may repeat the key

    def _status_error(self, error: Any, what: str, lost: Path | None) -> ModelError:
        said, status = f"status {error.status_code}: {message_of(error, self._key)}", error.status_code
        if 300 <= status < 400:
            return redirected(self._url, error.response.headers)
        if status == 429:
            return NotYetError(f"{self._url} lets nobody {what} at the moment.", found=said, fix=_AGAIN)
        if status == 404 and lost is not None:
            lost.unlink()
            again = "Run the same command again: it looks for the job, and creates another one if it is gone."
            return self._error(f"does not {what}, which it does not know (any more)", said, again)
        fix = {
            401: key_fix(self._url),
            404: "Check the server's URL, and that it fine-tunes this model.",
        }.get(status, "Mend the cause, then run the same command again: nothing is done twice.")
        return self._error(f"does not {what}", said, fix)

    def _error(self, does: str, found: object, fix: str) -> ModelError:
        return ModelError(f"The provider {self._url} {does}.", found=redact(str(found), self._key)[:500], fix=fix)

    @property
    def _url(self) -> str:
        return str(self._client.base_url)


_OVER = {"failed": "failed", "cancelled": "was cancelled"}


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} where a text is wanted")
    return value


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
