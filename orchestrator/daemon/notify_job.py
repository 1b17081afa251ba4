"""The process that tells people: `python -P -m orchestrator.daemon.notify_job`.

Its standard input is one JSON object, `{"config": ..., "message": ...}`. It tries every way that is
configured, prints a line for each that failed, and exits with 1 if one did.
"""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import asdict

from orchestrator.config.endpoints import is_web_address
from orchestrator.config.notify import NotifyConfig
from orchestrator.core.text import one_line, without_passwords
from orchestrator.daemon.notifications import Message

COMMAND_S, WEBHOOK_S = 30.0, 20.0


class NotToldError(Exception):
    """A way failed; the text says why."""


def tell(
    config: NotifyConfig, message: Message, environment: Mapping[str, str] = os.environ
) -> list[tuple[str, str | None]]:
    """Tell a message by every way that is configured; return each with why it failed, if it did."""
    ways: list[tuple[str, Callable[[], None]]] = []
    if config.command:
        call = config.command
        ways.append(("command", lambda: _by_command(call, message, environment)))
    if config.webhook:
        address = config.webhook
        ways.append(("webhook", lambda: _by_webhook(_value(address, environment), message)))
    if config.urls:
        ways.append(
            ("urls", lambda: _by_apprise([_value(u, environment) for u in config.urls], message))
        )
    results: list[tuple[str, str | None]] = []
    for name, way in ways:
        try:
            way()
        except NotToldError as error:
            results.append((name, one_line(without_passwords(str(error)), 300)))
        else:
            results.append((name, None))
    return results


def _value(text: str, environment: Mapping[str, str]) -> str:
    """Return an address, from the environment where it is `$NAME`."""
    if not text.startswith("$"):
        return text
    name = text.removeprefix("$").strip("{}")
    if not environment.get(name, "").strip():
        raise NotToldError(f"the variable {name} is not set")
    return environment[name].strip()


def _by_command(call: list[str], message: Message, environment: Mapping[str, str]) -> None:
    facts = {f"AUTORL_NOTICE_{name.upper()}": value for name, value in asdict(message).items()}
    try:
        done = subprocess.run(
            call, input=f"{message.title}\n{message.text}\n", capture_output=True, text=True,
            errors="replace", timeout=COMMAND_S, env={**environment, **facts}, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise NotToldError(f"{call[0]}: no end within {COMMAND_S:g} s") from None
    except (OSError, ValueError) as error:
        raise NotToldError(f"{call[0]}: {error}") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise NotToldError(f"{call[0]}: exit code {done.returncode} {said[-1] if said else ''}")


def _by_webhook(address: str, message: Message) -> None:
    if not is_web_address(address):
        raise NotToldError("what the variable holds is no address like https://host/path")
    text = f"{message.title}: {message.text}"
    # `text` is what Slack and its like read, `content` Discord.
    facts = {"kind": message.kind, "title": message.title, "message": message.text}
    body = json.dumps({"text": text, "content": text, **facts})
    request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
        address, body.encode(), {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=WEBHOOK_S) as answer:  # noqa: S310 - likewise
            answer.read(1)
    except urllib.error.HTTPError as error:
        raise NotToldError(f"status {error.code} {error.reason}") from None
    except (OSError, ValueError) as error:
        raise NotToldError(str(error)) from None


def _by_apprise(urls: list[str], message: Message) -> None:
    try:
        import apprise  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise NotToldError("notify.urls needs apprise: `pip install apprise`") from None
    told = apprise.Apprise()
    for number, url in enumerate(urls, 1):
        if not told.add(url):
            raise NotToldError(f"address {number} of notify.urls is none that apprise knows")
    if not told.notify(title=message.title, body=message.text):
        raise NotToldError("apprise could not deliver to all of notify.urls")


def main() -> int:
    """Tell the message of the standard input."""
    asked = json.load(sys.stdin)
    config = NotifyConfig.model_validate_json(json.dumps(asked["config"]))
    failures = [f"{name}: {why}" for name, why in tell(config, Message(**asked["message"])) if why]
    print("; ".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
