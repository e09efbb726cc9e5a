"""A run in which everyone is behind a server, killed and started again."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path

from http_server import Answer, Asked, serving
from outgrow.experiment import Experiment
from served_experiments import crowd, settings_in

KEY = "sk-planted-1234567890"
CONCURRENCY = 4


def test_after_a_kill_only_requests_in_flight_are_asked_again_and_no_file_holds_the_key(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    asked, victims = Counter[str](), list[int]()

    async def deadly(one: Asked) -> Answer:
        asked[json.dumps(one.body)] += 1
        if asked.total() in (15, 50):
            os.kill(victims[-1], signal.SIGKILL)
        return await crowd(one)

    with serving(deadly) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        settings = settings_in(tmp_path, server.url, seeds=1)
        for party in (*settings["supervisors"], settings["strong"], settings["judge"]):
            party["concurrency"] = CONCURRENCY
        experiment = Experiment.from_dict(settings)
        for _ in range(2):
            child = os.fork()
            if not child:
                try:
                    experiment.run()
                finally:
                    os._exit(1)
            victims.append(child)
            _, status = os.waitpid(child, 0)
            assert os.WIFSIGNALED(status)
        results = experiment.run()
        before = asked.total()
        again = experiment.run()
        assert asked.total() == before
    assert before - len(asked) <= 2 * CONCURRENCY
    assert set(asked.values()) <= {1, 2}
    assert again.summary == results.summary
    for costs in (results.provenance["costs"], again.provenance["costs"]):  # what the killed runs paid for counts
        assert sum(one["asked"] for one in costs) == len(asked)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"report.html", "results.json", "responses.sqlite", "usage.json"} <= {path.name for path in written}
    assert not [path for path in written if KEY.encode() in path.read_bytes()]
