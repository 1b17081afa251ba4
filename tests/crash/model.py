"""The model of the crash scenarios: a chat endpoint that counts what it is asked."""

import contextlib
import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from orchestrator.proposals.review_prompt import REVIEW_SYSTEM_PROMPT
from tests.crash.scenarios import Place, Script


class Model:
    """A chat endpoint that gives the replies which the ledger has not yet, and consents to reviews.

    Each daemon has a URL of its own, so that what a killed one has asked counts for it alone.
    """

    def __init__(self) -> None:
        self._script: Script = []
        self._ledger = Path()
        self._asked: Counter[str] = Counter()
        self._reviewed: Counter[str] = Counter()
        self._given: set[tuple[str, int]] = set()
        self._lock = threading.Lock()
        self._lives = 0
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                model._answer(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.005,), daemon=True).start()

    def serve(self, place: Place, script: Script) -> None:
        """Answer for another place from now on."""
        self._ledger, self._script = place.workspace.ledger, script

    def url(self) -> str:
        """Return the URL for one more daemon."""
        self._lives += 1
        return f"http://127.0.0.1:{self._http.server_port}/{self._lives}"

    def asked(self, url: str) -> int:
        """Return how often the daemon with this URL has asked."""
        return self._asked[url.rpartition("/")[2]]

    def reviewed(self, url: str) -> int:
        """Return how many reviews the daemon with this URL has asked for."""
        return self._reviewed[url.rpartition("/")[2]]

    def close(self) -> None:
        """Stop answering."""
        self._http.shutdown()
        self._http.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        request = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        said = [m["content"] for m in request["messages"] if m["role"] == "assistant"]
        life = handler.path.split("/")[1]
        is_review = request["messages"][0]["content"] == REVIEW_SYSTEM_PROMPT
        try:
            text = self._text(life, said, is_review=is_review)
        except sqlite3.OperationalError:  # a daemon was killed at it: the next one mends it first
            _send(handler, 503, {"error": {"message": "busy"}})
            return
        if text is None:
            refusal = {"error": {"message": "no key, no more", "code": "invalid_api_key"}}
            _send(handler, 401, refusal)
            return
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        _send(handler, 200, {"id": "x", "object": "chat.completion", "created": 1, "model": "m",
                             "choices": [choice]})  # fmt: skip

    def _text(self, life: str, said: list[str], *, is_review: bool) -> str | None:
        """Return the answer, None if there is nothing more to say."""
        with self._lock:
            if is_review:
                self._reviewed[life] += 1
                return '{"opinion": "earned", "reason": "by a test"}'
            self._asked[life] += 1
            return self._repair(said) if said else self._first(life)

    def _first(self, life: str) -> str | None:
        """Return a first reply that is neither recorded nor under way; None if there is none."""
        with contextlib.closing(sqlite3.connect(f"file:{self._ledger}?mode=ro", uri=True)) as db:
            recorded = {text for (text,) in db.execute("SELECT reply FROM attempts WHERE k = 1")}
        for number, texts in enumerate(self._script):
            if texts[0] not in recorded and (life, number) not in self._given:
                self._given.add((life, number))
                return texts[0]
        return None

    def _repair(self, said: list[str]) -> str | None:
        """Return what follows the replies that have failed; None if nothing does."""
        title = said[0].partition("\n")[0]
        texts = next(texts for texts in self._script if texts[0].partition("\n")[0] == title)
        return texts[len(said)] if len(said) < len(texts) else None


@contextlib.contextmanager
def a_model() -> Iterator[Model]:
    """Yield an endpoint that lasts as long as the block."""
    model = Model()
    try:
        yield model
    finally:
        model.close()


def _send(handler: BaseHTTPRequestHandler, status: int, body: dict[str, Any]) -> None:
    content = json.dumps(body).encode()
    with contextlib.suppress(OSError):
        handler.send_response(status)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)
