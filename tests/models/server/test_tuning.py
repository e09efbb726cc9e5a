"""Fine-tuning at a provider: one job whatever happens, and errors in words."""

from __future__ import annotations

import json
import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fine_tuning_provider import Provider
from http_server import Answer, Asked, Handler, echo, serving
from outgrow.errors import ModelError
from outgrow.models.server import Limits, NotYetError, TunedModel, Tuning, fine_tune, tuning

JOB = Tuning("base", "0123456789abcdef" * 2, {"n_epochs": 2, "batch_size": 4}, seed=5)
LINES = b'{"messages": [{"role": "user", "content": "Hi\xc3\xa9"}]}\n'


def shouting(messages: list[dict[str, Any]], base: str) -> Handler:
    return echo


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "FIRST_WAIT", 0.01)


@pytest.fixture
def provider() -> Provider:
    return Provider(echo, shouting, looks=2)


def tune(folder: Path, url: str, job: Tuning = JOB, **more: Any) -> TunedModel:
    folder.mkdir(exist_ok=True)
    (folder / "training.jsonl").write_bytes(LINES)
    return fine_tune(job, folder / "training.jsonl", folder, url, limits=Limits(retries=0, timeout=5.0), **more)


def posts(asked: list[Asked]) -> list[str]:
    return [one.path for one in asked if one.method == "POST"]


def test_a_file_becomes_a_job_and_the_job_a_model(tmp_path: Path, provider: Provider) -> None:
    said: list[str] = []
    with serving(provider) as server:
        found = tune(tmp_path, server.url, on_status=said.append)
        [body] = [one.body for one in server.asked if one.path == "/v1/fine_tuning/jobs" and one.method == "POST"]
    assert found == TunedModel("ft:base:outgrow-0123456789abcdef", 14)
    assert provider.files == {"file-0": LINES}
    assert body == {
        "model": "base",
        "training_file": "file-0",
        "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 4}}},
        "seed": 5,
        "suffix": "outgrow-0123456789abcdef",
        "metadata": {"outgrow": JOB.key},
    }
    assert said == ["running (job ftjob-0)", "succeeded (job ftjob-0)"]
    assert json.loads((tmp_path / "job.json").read_text()) == {"id": "ftjob-0"}


def interrupting(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Ctrl-C just before the file of this name would be written."""
    write = tuning.write_json

    def interrupted(path: Path, value: object) -> None:
        if path.name == name:
            raise KeyboardInterrupt
        write(path, value)

    monkeypatch.setattr(tuning, "write_json", interrupted)


@pytest.mark.parametrize("names_metadata", [True, False])
def test_a_job_whose_id_was_never_written_is_found_again(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch, names_metadata: bool
) -> None:
    provider.names_metadata = names_metadata
    with serving(provider) as server:
        with monkeypatch.context() as patched:
            interrupting(patched, "job.json")
            with pytest.raises(KeyboardInterrupt):
                tune(tmp_path, server.url)
        found = tune(tmp_path, server.url)
        assert posts(server.asked) == ["/v1/files", "/v1/fine_tuning/jobs"]
    assert found.model == "ft:base:outgrow-0123456789abcdef"


def test_a_file_whose_id_was_never_written_is_sent_again_and_makes_one_job(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(provider) as server:
        with monkeypatch.context() as patched:
            interrupting(patched, "file.json")
            with pytest.raises(KeyboardInterrupt):
                tune(tmp_path, server.url)
        tune(tmp_path, server.url)
        assert posts(server.asked) == ["/v1/files", "/v1/files", "/v1/fine_tuning/jobs"]


@pytest.mark.parametrize("path", ["/v1/files", "/v1/fine_tuning/jobs", "/v1/fine_tuning/jobs/ftjob-0"])
def test_a_process_killed_before_any_reply_makes_one_job_in_the_end(
    tmp_path: Path, provider: Provider, path: str
) -> None:
    victims: list[int] = []

    def deadly(asked: Asked) -> None:
        wanted = "GET" if path[-1] == "0" else "POST"
        if asked.path == path and asked.method == wanted and victims:
            os.kill(victims.pop(), signal.SIGKILL)

    provider.after = deadly
    with serving(provider) as server:
        read, write = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.read(read, 1)  # until the server knows whom to kill
                tune(tmp_path, server.url)
            finally:
                os._exit(1)
        victims.append(child)
        os.write(write, b"x")
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status)
        assert tune(tmp_path, server.url).model == "ft:base:outgrow-0123456789abcdef"
    assert len(provider.jobs) == 1


def test_a_lost_reply_to_the_creation_makes_no_second_job(tmp_path: Path, provider: Provider) -> None:
    serve = provider._served
    lost = [Answer(dropped=True)]

    def dropping(path: str, asked: Asked) -> Answer:
        answer = serve(path, asked)
        return lost.pop() if lost and asked.method == "POST" and path == "/fine_tuning/jobs" else answer

    provider._served = dropping  # type: ignore[method-assign]
    with serving(provider) as server:
        with pytest.raises(ModelError, match="does not create a fine-tuning job"):
            tune(tmp_path, server.url)
        tune(tmp_path, server.url)
    assert len(provider.jobs) == 1


def test_waiting_that_is_interrupted_goes_on_with_the_same_job(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(seconds: float) -> None:
        raise KeyboardInterrupt

    with serving(provider) as server:
        with monkeypatch.context() as patched:
            patched.setattr(tuning.time, "sleep", stop)
            with pytest.raises(KeyboardInterrupt):
                tune(tmp_path, server.url)
        before = len(server.asked)
        tune(tmp_path, server.url)
        assert {one.path for one in server.asked[before:]} == {"/v1/fine_tuning/jobs/ftjob-0"}


def test_a_job_that_takes_longer_than_allowed_is_waited_for_by_the_next_run(tmp_path: Path, provider: Provider) -> None:
    with serving(provider) as server:
        with pytest.raises(NotYetError, match=r"(?s)ftjob-0 is not done after 0 hours.*running.*goes on with the same"):
            tune(tmp_path, server.url, hours=0.0)
        tune(tmp_path, server.url)
    assert len(provider.jobs) == 1


@pytest.mark.parametrize(("status", "said"), [("failed", "failed"), ("cancelled", "was cancelled")])
def test_a_job_that_comes_to_nothing_is_reported_once_and_then_made_anew(
    tmp_path: Path, provider: Provider, status: str, said: str
) -> None:
    def break_first(asked: Asked) -> None:
        if "ftjob-0" in provider.jobs:
            provider.jobs["ftjob-0"] |= {"status": status, "error": {"message": "no money"}}

    provider.after = break_first
    with serving(provider) as server:
        with pytest.raises(ModelError, match=rf"(?s)ftjob-0 {said}.*no money.*creates another job"):
            tune(tmp_path, server.url)
        tune(tmp_path, server.url)
        assert posts(server.asked).count("/v1/files") == 1
    assert list(provider.jobs) == ["ftjob-0", "ftjob-1"]


def test_a_job_that_the_provider_has_lost_is_made_anew_by_the_next_run(tmp_path: Path, provider: Provider) -> None:
    with serving(provider) as server:
        with pytest.raises(NotYetError):
            tune(tmp_path, server.url, hours=0.0)
        provider.jobs.clear()
        with pytest.raises(ModelError, match=r"(?s)ftjob-0, which it does not know.*no such job"):
            tune(tmp_path, server.url)
        tune(tmp_path, server.url)
    assert len(provider.jobs) == 1


def test_a_file_that_the_provider_has_lost_is_sent_again_by_the_next_run_but_one(
    tmp_path: Path, provider: Provider
) -> None:
    (tmp_path / "file.json").write_text('{"id": "file-gone"}')
    with serving(provider) as server:
        with pytest.raises(ModelError, match="no such file"):
            tune(tmp_path, server.url)
        tune(tmp_path, server.url)
    assert list(provider.files) == ["file-0"]


def refusing(path: str, status: int, message: str) -> Callable[[Asked], Answer | None]:
    answer = Answer({"error": {"message": message}}, status=status)
    return lambda asked: answer if asked.path.partition("?")[0] == path and asked.method == "POST" else None


@pytest.mark.parametrize(
    ("fault", "match"),
    [
        (refusing("/v1/files", 400, "line 3 has no assistant"), r"(?s)upload training.jsonl.*status 400: line 3"),
        (refusing("/v1/fine_tuning/jobs", 404, "base is not tunable"), r"(?s)status 404: base is.*that it fine-tunes"),
        (refusing("/v1/fine_tuning/jobs", 401, "who are you"), "OPENAI_API_KEY"),
        (refusing("/v1/fine_tuning/jobs", 500, "oops"), "status 500: oops"),
        (lambda asked: Answer({"status": "error", "status_details": "not JSON", "id": "f"}), "refuses the .*not JSON"),
        (lambda asked: Answer(b"<html>"), "gives no answer of the API's format"),
        (lambda asked: Answer({"data": [{"id": 3}]}), "gives no answer of the API's format"),
        (lambda asked: Answer({"error": {"message": "nothing here"}}, status=404), "look for fine-tuning jobs"),
        (lambda asked: Answer(dropped=True), "look for fine-tuning jobs"),
    ],
)
def test_what_a_provider_refuses_or_cannot_do_is_said_in_words(
    tmp_path: Path, provider: Provider, fault: Callable[[Asked], Answer | None], match: str
) -> None:
    provider.fault = fault
    with serving(provider) as server, pytest.raises(ModelError, match=f"(?s){match.removeprefix('(?s)')}"):
        tune(tmp_path, server.url)
    assert not provider.jobs


def test_a_provider_that_takes_no_further_job_is_asked_again_by_the_next_run(
    tmp_path: Path, provider: Provider
) -> None:
    provider.at_most = 0
    with serving(provider) as server:
        with pytest.raises(NotYetError, match=r"(?s)at the moment.*too many jobs"):
            tune(tmp_path, server.url)
        provider.at_most = 1
        tune(tmp_path, server.url)
        assert posts(server.asked).count("/v1/files") == 1


def test_a_provider_that_sends_the_same_page_of_jobs_for_ever_is_left_in_the_end(
    tmp_path: Path, provider: Provider
) -> None:
    others = [{"id": f"other-{index}", "status": "running", "metadata": None} for index in range(2)]

    def listing(asked: Asked) -> Answer | None:
        first = asked.method == "GET" and asked.path.startswith("/v1/fine_tuning/jobs?")
        return Answer({"data": others, "has_more": True}) if first else None

    provider.fault = listing
    with serving(provider) as server:
        tune(tmp_path, server.url)
    assert len(provider.jobs) == 1


def test_the_key_is_in_no_error(tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-1234567890")
    provider.fault = lambda asked: Answer({"error": {"message": asked.headers["authorization"]}}, status=400)
    with serving(provider) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        with pytest.raises(ModelError) as caught:
            tune(tmp_path, server.url)
    assert "Bearer [key]" in str(caught.value)
    assert "planted" not in "".join(traceback.format_exception(caught.value))


def test_a_provider_that_redirects_is_refused_with_both_hosts_named(tmp_path: Path, provider: Provider) -> None:
    provider.fault = lambda asked: Answer(status=307, headers={"location": "http://elsewhere.example/v1/x"})
    with (
        serving(provider) as server,
        pytest.raises(ModelError, match=r"(?s)127\.0.*redirect to elsewhere\.example"),
    ):
        tune(tmp_path, server.url)
