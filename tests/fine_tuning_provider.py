"""A provider of fine-tuning on this machine, with files, jobs, and whatever can go wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from http_server import Answer, Asked, Handler


@dataclass
class Provider:
    """Trains `looks` looks long; its models answer as `tuned(messages)` says, all others as `world`."""

    world: Handler
    tuned: Callable[[list[dict[str, Any]], str], Handler]
    """From the training messages and the base model to what the tuned model answers."""
    looks: int = 1
    """Looks at a job before it succeeds."""
    files: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    at_most: int = 1000
    """Jobs at once; more are refused with status 429."""
    fault: Callable[[Asked], Answer | None] = lambda asked: None
    """What goes wrong before a request is served."""
    after: Callable[[Asked], None] = lambda asked: None
    """Called after a request has done its work, before it is answered."""
    names_metadata: bool = True
    """Whether jobs keep their metadata; else only the suffix tells them apart."""
    tells_tokens: bool = True
    """Whether it says how many tokens it trained on."""

    async def __call__(self, asked: Asked) -> Answer:
        """Serve a request."""
        path = asked.path.partition("?")[0].removeprefix("/v1")
        if path == "/chat/completions":
            job = next((one for one in self.jobs.values() if one["fine_tuned_model"] == asked.body["model"]), None)
            return await (self.world if job is None else self.tuned(self.messages(job), job["model"]))(asked)
        answer = self.fault(asked) or self._served(path, asked)
        self.after(asked)
        return answer

    def messages(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        """The training file of a job."""
        return [json.loads(line) for line in self.files[job["training_file"]].splitlines()]

    def _served(self, path: str, asked: Asked) -> Answer:
        if path == "/files":
            name = f"file-{len(self.files)}"
            found = re.search(rb'filename="outgrow-.+?[.]jsonl"\r\n.*?\r\n\r\n(.*)\r\n--', asked.body, re.DOTALL)
            assert found is not None
            self.files[name] = found[1]
            about = {"id": name, "object": "file", "bytes": 1, "created_at": 0, "filename": "x", "purpose": "fine-tune"}
            return Answer({**about, "status": "processed"})
        if path == "/fine_tuning/jobs" and asked.method == "GET":
            return Answer({"object": "list", "data": list(self.jobs.values()), "has_more": False})
        if path == "/fine_tuning/jobs":
            return self._created(asked.body)
        job = self.jobs.get(path.rsplit("/", 1)[-1])
        if job is None:
            return Answer({"error": {"message": "no such job"}}, status=404)
        job["looks"] += 1
        if job["status"] in ("queued", "running"):
            job["status"] = "running"
            if job["looks"] > self.looks:
                tokens = 7 * len(self.messages(job)) * job["hyperparameters"]["n_epochs"] * self.tells_tokens
                model = f"ft:{job['model']}:{job['user_provided_suffix']}"
                job |= {"status": "succeeded", "fine_tuned_model": model, "trained_tokens": tokens}
        return Answer(job)

    def _created(self, body: dict[str, Any]) -> Answer:
        if body["training_file"] not in self.files:
            return Answer({"error": {"message": "no such file"}}, status=400)
        if sum(one["status"] in ("queued", "running") for one in self.jobs.values()) >= self.at_most:
            return Answer({"error": {"message": "too many jobs"}}, status=429)
        name = f"ftjob-{len(self.jobs)}"
        self.jobs[name] = {
            "id": name,
            "object": "fine_tuning.job",
            "model": body["model"],
            "training_file": body["training_file"],
            "seed": body["seed"],
            "hyperparameters": body["method"]["supervised"]["hyperparameters"],
            "user_provided_suffix": body["suffix"],
            "metadata": body["metadata"] if self.names_metadata else None,
            "status": "queued",
            "fine_tuned_model": None,
            "trained_tokens": None,
            "error": None,
            "looks": 0,
        }
        return Answer(self.jobs[name])
