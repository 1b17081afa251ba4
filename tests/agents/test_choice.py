"""Which agent a configuration leads to."""

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.agents.choice import make_agent, takes_time
from orchestrator.agents.inline import InlineAgent
from orchestrator.agents.process import ProcessAgent
from orchestrator.config.schema import AgentConfig, Config
from orchestrator.core.errors import UserError


def config(**options: object) -> Config:
    return Config(agent=AgentConfig(**options))  # type: ignore[arg-type]


def made(root: Path, **options: object) -> InlineAgent | ProcessAgent:
    return make_agent(config(**options), root, "nov22", lambda _: [])


def test_a_model_is_asked_in_a_process(tmp_path: Path) -> None:
    """Its proposals take time; its name tells the model."""
    options = {"model": "org/model-7b", "base_url": "http://localhost/v1"}
    agent = made(tmp_path, **options)
    assert isinstance(agent, ProcessAgent)
    assert agent.name == "openai:org/model-7b"
    assert takes_time(config(**options))


@pytest.mark.parametrize(
    ("options", "name"),
    [({}, "optuna"), ({"backend": "optuna"}, "optuna"),
     ({"backend": "scripted", "scripted_dir": "."}, "scripted")],
)  # fmt: skip
def test_what_computes_answers_at_once(
    tmp_path: Path, options: dict[str, object], name: str
) -> None:
    """The search and the script take no time and no process."""
    agent = made(tmp_path, **options)
    assert isinstance(agent, InlineAgent)
    assert agent.name == name
    assert not takes_time(config(**options))


def test_a_key_alone_chooses_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `auto`, a key in the environment is enough."""
    assert not takes_time(config(model="m"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    assert takes_time(config(model="m"))
    assert isinstance(made(tmp_path, model="m"), ProcessAgent)


@pytest.mark.parametrize(
    ("options", "text"),
    [({"backend": "openai", "base_url": "http://localhost/v1"}, r"agent\.model is missing"),
     ({"backend": "openai", "model": "m"}, r"no API key: set \$OPENAI_API_KEY"),
     ({"backend": "scripted"}, r"agent\.scripted_dir is missing"),
     ({"backend": "scripted", "scripted_dir": "none"}, r"agent\.scripted_dir .*none is not a")],
)  # fmt: skip
def test_what_is_missing_is_the_users_to_set(
    tmp_path: Path, options: dict[str, object], text: str
) -> None:
    """The checks are made at once, not at the first proposal."""
    with pytest.raises(UserError, match=text):
        made(tmp_path, **options)


def test_the_daemon_loads_no_library_of_a_model() -> None:
    """`openai` and `tenacity` are for the child alone."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom orchestrator.agents.choice import make_agent\n"
        "from orchestrator.config.schema import AgentConfig, Config\n"
        "agent = AgentConfig(model='m', base_url='http://localhost/v1')\n"
        "make_agent(Config(agent=agent), Path(), 't', lambda _: [])\n"
        "print(sorted({'openai', 'tenacity', 'optuna', 'httpx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
