"""The page's server: its routes. Each is a line or two; what they serve is made elsewhere."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import (
    FileResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from orchestrator.core.errors import AutorlError, NotRunningError, UserError
from orchestrator.reporting.metrics import MEDIA_TYPE, metrics_text
from orchestrator.reporting.report import make_report
from orchestrator.reporting.report_text import markdown_text
from orchestrator.reporting.status import running_tag
from orchestrator.store.workspace import Workspace
from orchestrator.web.actions import act
from orchestrator.web.answers import Answers
from orchestrator.web.asked import number_in_path, numbers_of, query_of
from orchestrator.web.asset_files import ASSETS, asset_files
from orchestrator.web.current import Current, Shown
from orchestrator.web.documents import detail, log, notebook, replay, runs, tag_of
from orchestrator.web.feed import POLL_S, Feed, TooManyViewersError
from orchestrator.web.security import Access, Guard
from orchestrator.web.table import page

_BODY_BYTES = 2**21
_BODY_S = 10.0
_MEDIA_TYPES = {
    ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml",
    ".txt": "text/plain",
}  # fmt: skip

Endpoint = Callable[[Request], Awaitable[Response]]


class Page:
    """The endpoints, with what they work on."""

    def __init__(self, workspace: Workspace, answers: Answers, *, poll_s: float = POLL_S) -> None:
        self._workspace = workspace
        self._answers = answers
        self.feed = Feed(Current(workspace), answers, poll_s=poll_s)
        self._chart: tuple[Shown, str] | None = None

    def routes(self) -> list[Route]:
        """Return the routes of what is read, and the one by which a person acts."""
        read: dict[str, Endpoint] = {
            "/api/session": self._session,
            "/api/status": self._status,
            "/api/runs": self._runs,
            "/api/chart": self._chart_of,
            "/api/experiments": self._experiments,
            "/api/experiments/{n:int}": self._experiment,
            "/api/experiments/{n:int}/replay/{seed:int}/{episode:int}": self._replay,
            "/api/notebook": self._notebook,
            "/api/log": self._log,
            "/api/report": self._report,
            "/api/candidate": self._candidate,
            "/api/events": self._events,
            "/metrics": self._metrics,
        }
        return [
            *(Route(path, self._guarded(endpoint)) for path, endpoint in read.items()),
            Route("/api/actions/{name}", self._guarded(self._act), methods=["POST"]),
        ]

    def _guarded(self, endpoint: Endpoint) -> Endpoint:
        """Answer errors in words, by whose fault they are."""

        async def answered(request: Request) -> Response:
            try:
                return await endpoint(request)
            except NotRunningError as error:
                return self._answers.of({"error": str(error)}, 409)
            except UserError as error:
                return self._answers.of({"error": str(error)}, 422)
            except (AutorlError, OSError) as error:
                return self._answers.of({"error": str(error)}, 503)

        return answered

    async def _session(self, request: Request) -> Response:
        can_act = bool(request.state.has_token)
        return self._answers.of({"can_act": can_act, "workspace": str(self._workspace.root)})

    async def _status(self, request: Request) -> Response:
        picture, tag = await self.feed.picture(), request.query_params.get("tag")
        status = picture.status
        if tag and tag != picture.tag:
            status = status | await self.feed.run_status(tag)
        return self._answers.of(status | {"last_event": self.feed.last})

    async def _metrics(self, _request: Request) -> Response:
        picture = await self.feed.picture()
        return Response(metrics_text(picture.status), media_type=MEDIA_TYPE)

    async def _runs(self, _request: Request) -> Response:
        return self._answers.of(await run_in_threadpool(runs, self._workspace))

    async def _chart_of(self, request: Request) -> Response:
        shown = await self.feed.shown(request.query_params.get("tag"))
        if "only" in request.query_params:
            numbers = numbers_of(request.query_params["only"])
            return self._answers.of(await run_in_threadpool(shown.chart, numbers))
        if self._chart is None or self._chart[0] is not shown:
            document = await run_in_threadpool(shown.chart)
            self._chart = shown, await run_in_threadpool(self._answers.text, document)
        return Response(self._chart[1], media_type="application/json")

    async def _experiments(self, request: Request) -> Response:
        query, tag = query_of(request.query_params), request.query_params.get("tag")
        if not tag and (await self.feed.picture()).tag is None:  # nothing has run yet
            return self._answers.of(page([], query) | {"total": 0, "rungs": []})
        shown = await self.feed.shown(tag)
        found = await run_in_threadpool(page, shown.entries.values(), query)
        return self._answers.of(found | {"total": len(shown.entries), "rungs": shown.rungs})

    async def _experiment(self, request: Request) -> Response:
        n = number_in_path(request.path_params["n"])
        tag = request.query_params.get("tag") or await run_in_threadpool(tag_of, self._workspace, n)
        shown = await self.feed.shown(tag)
        return self._answers.of(await run_in_threadpool(detail, self._workspace, shown, n))

    async def _replay(self, request: Request) -> Response:
        n = number_in_path(request.path_params["n"])
        seed, episode = request.path_params["seed"], request.path_params["episode"]
        return self._answers.of(
            await run_in_threadpool(replay, self._workspace, n, min(seed, 2**53), episode)
        )

    async def _notebook(self, _request: Request) -> Response:
        picture = await self.feed.picture()
        return self._answers.of(await run_in_threadpool(notebook, self._workspace, picture.tag))

    async def _log(self, _request: Request) -> Response:
        return self._answers.of(await run_in_threadpool(log, self._workspace))

    async def _report(self, request: Request) -> Response:
        shown = await self.feed.shown(request.query_params.get("tag"))
        is_running = running_tag(self._workspace) == shown.view.run.tag
        made = await run_in_threadpool(make_report, shown.view, is_running=is_running)
        return self._answers.of({"markdown": markdown_text(made)})

    async def _candidate(self, _request: Request) -> Response:
        files = await run_in_threadpool(self._workspace.candidate)
        return self._answers.of(files.by_path())

    async def _events(self, request: Request) -> Response:
        last = request.headers.get("last-event-id") or request.query_params.get("last")
        try:
            events = self.feed.stream(last)
        except TooManyViewersError:
            return self._answers.of({"error": "too many viewers: close some pages"}, 503)
        return StreamingResponse(events, media_type="text/event-stream")

    async def _act(self, request: Request) -> Response:
        name = request.path_params["name"]
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return self._answers.of({"error": "an action is sent as application/json"}, 415)
        try:
            body = await asyncio.wait_for(_body(request), _BODY_S)
            given = json.loads(body)
        except (TimeoutError, ClientDisconnect):
            return self._answers.of({"error": "the request did not arrive in time"}, 408)
        except (ValueError, RecursionError):
            return self._answers.of({"error": "the request is no JSON, or too long"}, 400)
        if not isinstance(given, dict):
            return self._answers.of({"error": "an action is sent as a JSON object"}, 400)
        said = await run_in_threadpool(act, self._workspace, name, given)
        await self.feed.changed()
        return self._answers.of({"said": said})


def make_app(
    workspace: Workspace, access: Access, answers: Answers, *, poll_s: float = POLL_S
) -> Starlette:
    """Return the application.

    Args:
        workspace: whose run it shows.
        access: who may ask for what.
        answers: makes answers without secrets.
        poll_s: seconds between two readings of the workspace.
    """
    served = Page(workspace, answers, poll_s=poll_s)

    async def index(request: Request) -> Response:
        if "token" not in request.query_params:
            return _asset("index.html")
        if not access.is_token(request.query_params["token"]):
            return PlainTextResponse("this token is of another start: use the last address\n", 401)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(access.cookie, access.token, httponly=True, samesite="strict", path="/")
        return answer

    async def asset(request: Request) -> Response:
        return _asset(request.path_params["name"])

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(work) for work in (served.feed.warm(), served.feed.poll())]
        yield
        served.feed.close()
        for task in tasks:
            task.cancel()

    app = Starlette(
        routes=[Route("/", index), *served.routes(), Route("/{name:path}", asset)],
        middleware=[
            Middleware(Guard, access),
            Middleware(GZipMiddleware, minimum_size=2000, compresslevel=3),
        ],
        lifespan=lifespan,
    )
    app.state.feed = served.feed
    return app


def _asset(name: str) -> Response:
    """Return one of the assets, which are known by name: no path leads out of their folder."""
    if name not in asset_files():
        return Response("there is nothing here\n", 404, media_type="text/plain")
    path = ASSETS / name
    kind = _MEDIA_TYPES.get(path.suffix, "application/octet-stream")
    return FileResponse(path, media_type=kind, headers={"Cache-Control": "no-cache"})


async def _body(request: Request) -> bytes:
    """Return the body of a request; raises `ValueError` where it is too long."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_BYTES:
            raise ValueError
    return body
