"""Serves a round of annotation, and starts it again whenever it is killed.

Usage: `python served_round.py FOLDER PORT ROWS NAMES`. Each server is a fork, which takes milliseconds.
Its process id is the last line of `pids` in the folder.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from rounds import a_round, some_rows

from outgrow.annotate.server import listen, make_app, serve


def main(folder: Path, port: int, rows: int, names: list[str]) -> None:
    listening = listen("127.0.0.1", port)
    print("ready", flush=True)
    while True:
        child = os.fork()
        if not child:
            session, _, tokens = a_round(folder, some_rows(rows), *names)
            serve(make_app(session, tokens), listening)
            os._exit(0)
        with (folder / "pids").open("a") as pids:
            pids.write(f"{child}\n")
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            sys.exit(f"the server ended by itself: {status}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4].split(","))
