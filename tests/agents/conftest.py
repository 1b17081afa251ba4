"""Scripted chat endpoints, and programs."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents.openai_rig import Serve
from tests.agents.program_rig import MARK, Rig, gone
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


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    """Mark all processes of this test's programs."""
    name = uuid.uuid4().hex
    monkeypatch.setenv(MARK, name)
    return name


@pytest.fixture
def rig(tmp_path: Path, mark: str) -> Iterator[Rig]:
    """A workspace with a program; nothing that it started is left afterwards, nor its folder."""
    rig = Rig(tmp_path)
    yield rig
    assert gone(mark)
    assert rig.left() == []
