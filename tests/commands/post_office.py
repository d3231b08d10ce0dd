"""A real HTTP server that takes messages, refuses them, or never answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = int | None


class PostOffice:
    """`replies` are the statuses to come, None for no answer at all; then 200 for ever.

    `arrived` holds each message as JSON; `on_arrival` is called before the answer.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.replies: list[Reply] = []
        self.arrived: list[dict[str, Any]] = []
        self.on_arrival: Callable[[], None] = lambda: None
        self.closing = threading.Event()

    def address(self, secret: str) -> str:
        return f"json://ada:{secret}@127.0.0.1:{self.port}/{secret}"


@contextmanager
def post_office() -> Iterator[PostOffice]:
    class Desk(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            office.arrived.append(json.loads(body))
            office.on_arrival()
            reply = office.replies.pop(0) if office.replies else 200
            if reply is None:
                office.closing.wait(60)
                return
            self.send_response(reply)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
    server.daemon_threads = True
    office = PostOffice(server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield office
    finally:
        office.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
