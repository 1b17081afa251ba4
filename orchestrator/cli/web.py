"""`web`: a page on which a run is seen and steered."""

import argparse
import importlib.util
import sys
from typing import TYPE_CHECKING

from orchestrator.cli.common import DONE
from orchestrator.core.errors import UserError
from orchestrator.core.text import harmless
from orchestrator.store.workspace import Workspace, find_workspace

if TYPE_CHECKING:
    from orchestrator.web.answers import Answers

_LIBRARIES = ("starlette", "uvicorn")


def web(args: argparse.Namespace) -> int:
    """Serve a page on which the run is seen and steered; `--export` writes it as files."""
    workspace = find_workspace(args.workspace)
    missing = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"the page needs {' and '.join(missing)}: `pip install 'autorl-daemon[web]'`"
        )
    if args.export is not None:
        from orchestrator.web.export import export_page

        count = export_page(workspace, args.export, args.tag, _answers(workspace))
        print(f"wrote {count} experiments: open {args.export / 'index.html'}")
        return DONE
    if args.tag is not None:
        raise UserError("--tag names the run of --export; the page itself shows every run")
    _serve(workspace, args.host, args.port)
    return DONE


def _answers(workspace: Workspace, *more_secrets: str) -> "Answers":
    """Return what writes documents without any key."""
    from orchestrator.config.loading import load_config
    from orchestrator.reporting.status import recorded_config
    from orchestrator.web.answers import Answers, keys_of

    try:
        config = load_config(workspace.config)
    except UserError:  # a running daemon has read it before
        config = recorded_config(workspace)
    return Answers([*more_secrets, *keys_of(config)])


def _serve(workspace: Workspace, host: str, port: int | None) -> None:
    from orchestrator.web.app import make_app
    from orchestrator.web.security import Access, is_loopback, new_token
    from orchestrator.web.serving import listen, serve

    listening = listen(host, port)
    token, port = new_token(), int(listening.getsockname()[1])
    access = Access(token=token, host=host, port=port)
    app = make_app(workspace, access, _answers(workspace, token))
    name = f"[{host}]" if ":" in host else host
    lines = [f"page: http://{name}:{port}/?token={token}", "Ctrl-C ends it; the run goes on"]
    if not is_loopback(host):
        lines.append(
            "whoever reads this network's traffic reads the token: an ssh tunnel to 127.0.0.1 is "
            "safer (docs/web.md)"
        )

    def ready() -> None:
        for line in harmless(lines):
            print(line, flush=True)

    serve(app, listening, ready)
    print("the page is closed", file=sys.stderr)
