"""A model endpoint on loopback that plays a script: one move after each answer of a tool."""

import json
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.real_agents.moves import Hang, Move, Refuse, Say
from tests.real_agents.wires import Wire


class ModelServer:
    """Serves a script in a wire format; what goes beyond the script's end is a short text."""

    def __init__(self, wire: Wire, script: Sequence[Move]) -> None:
        self.asks: list[dict[str, Any]] = []
        """The requests that were of the agent's turn, in order."""
        self.keys: list[str] = []
        """The key of every request."""
        self.refuse_until: Callable[[], bool] = lambda: True
        """Until this is true it answers that it is busy."""
        self._closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                self._send(404, wire.error(404, "no such page"))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = json.loads(body)
                named = self.headers.get("x-api-key") or self.headers.get("x-goog-api-key")
                outer.keys.append(named or self.headers.get("Authorization", ""))
                if not wire.is_ask(self.path, request):
                    self._send(200, wire.answer(Say("a title"), request))
                    return
                outer.asks.append(request)
                if not outer.refuse_until():
                    self._send(429, wire.error(429, "slow down"))
                    return
                turn = wire.turn(request)
                move = script[turn] if turn < len(script) else Say("done")
                if isinstance(move, Hang):
                    outer._closing.wait()
                elif isinstance(move, Refuse):
                    self._send(move.status, wire.error(move.status, move.message))
                else:
                    self._send(200, wire.answer(move, request))

            def _send(self, status: int, body: bytes) -> None:
                is_stream = status == 200 and body.startswith((b"data:", b"event:"))
                kind = "text/event-stream" if is_stream else "application/json"
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop serving, and let go of what hangs."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
