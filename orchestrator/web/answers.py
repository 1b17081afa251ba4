"""JSON answers: valid whatever a ledger holds, and without any secret."""

import json
import math
import os
from collections.abc import Iterable
from typing import Any

from starlette.responses import Response

from orchestrator.config.schema import Config

_LEAST_SECRET = 8
"""Characters of a secret; a shorter one is a word that may stand anywhere."""


class Answers:
    """Makes answers from documents."""

    def __init__(self, known_secrets: Iterable[str]) -> None:
        """Leave out these secrets, wherever they stand."""
        self._secrets = [text for text in known_secrets if len(text) >= _LEAST_SECRET]

    def text(self, document: Any) -> str:
        """Return a document as JSON, without the secrets; what is no number is null."""
        try:
            text = json.dumps(document, separators=(",", ":"), allow_nan=False)
        except ValueError:
            text = json.dumps(_finite(document), separators=(",", ":"), allow_nan=False)
        for secret in self._secrets:
            text = text.replace(json.dumps(secret)[1:-1], "…")
        return text

    def of(self, document: Any, status: int = 200) -> Response:
        """Return an answer."""
        return Response(self.text(document), status, media_type="application/json")


def keys_of(config: Config) -> list[str]:
    """Return the keys of all endpoints that the environment holds."""
    agents = [*config.proposers, config.review]
    names = {getattr(agent, "api_key_env", None) for agent in agents}
    return [os.environ[name] for name in names if name and name in os.environ]


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
