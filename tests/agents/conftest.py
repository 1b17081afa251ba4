"""Scripted chat endpoints."""

from collections.abc import Iterator

import pytest

from tests.agents.openai_rig import Serve
from tests.fakes import Answer, ChatServer


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start scripted servers that are closed afterwards."""
    servers: list[ChatServer] = []

    def start(*answers: Answer, port: int = 0) -> ChatServer:
        servers.append(ChatServer(*answers, port=port))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
