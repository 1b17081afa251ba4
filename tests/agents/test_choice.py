"""Which agent a configuration leads to."""

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.agents.choice import make_agent, review_settings, takes_time
from orchestrator.agents.inline import InlineAgent
from orchestrator.agents.manual import ManualAgent
from orchestrator.agents.process import ProcessAgent
from orchestrator.config.endpoints import AgentConfig
from orchestrator.config.schema import Config
from orchestrator.core.errors import UserError


def config(**options: object) -> Config:
    return Config(agent=AgentConfig(**options))  # type: ignore[arg-type]


def made(root: Path, **options: object) -> InlineAgent | ProcessAgent | ManualAgent:
    return make_agent(config(**options), root, "nov22", lambda _: [])


def test_a_model_is_asked_in_a_process(tmp_path: Path) -> None:
    """Its proposals take time; its name tells the model."""
    options = {"model": "org/model-7b", "base_url": "http://localhost/v1"}
    agent = made(tmp_path, **options)
    assert isinstance(agent, ProcessAgent)
    assert agent.name == "openai:org/model-7b"
    assert takes_time(config(**options))


def test_a_program_runs_in_a_process(tmp_path: Path) -> None:
    """Its proposals take time; nothing is started, and no folder made, before it is asked."""
    options = {"backend": "command", "command": ["sh", "-c", "true"], "model": "m-1"}
    agent = made(tmp_path, **options)
    assert isinstance(agent, ProcessAgent)
    assert agent.name == "command:m-1"
    assert takes_time(config(**options))
    assert list(tmp_path.iterdir()) == []


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


def test_a_person_takes_time(tmp_path: Path) -> None:
    """As a model, but in no process, and nobody reviews for it unless that is asked for."""
    options = {"backend": "manual", "manual_dir": "answers"}
    agent = made(tmp_path, **options)
    assert isinstance(agent, ManualAgent)
    assert agent.name == "manual"
    assert takes_time(config(**options))
    assert review_settings(config(**options)) is None


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
     ({"backend": "command"}, r"agent\.command is missing"),
     ({"backend": "command", "command": ["no-such"]}, r"no-such is not installed"),
     ({"backend": "scripted"}, r"agent\.scripted_dir is missing"),
     ({"backend": "manual"}, r"agent\.manual_dir is missing"),
     ({"backend": "scripted", "scripted_dir": "none"}, r"agent\.scripted_dir .*none is not a")],
)  # fmt: skip
def test_what_is_missing_is_the_users_to_set(
    tmp_path: Path, options: dict[str, object], text: str
) -> None:
    """The checks are made at once, not at the first proposal."""
    with pytest.raises(UserError, match=text):
        made(tmp_path, **options)


@pytest.mark.system
def test_the_daemon_loads_no_library_of_a_model() -> None:
    """`httpx2` and `tenacity` are for the child alone."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom orchestrator.agents.choice import make_agent\n"
        "from orchestrator.config.endpoints import AgentConfig\n"
        "from orchestrator.config.schema import Config\n"
        "agent = AgentConfig(model='m', base_url='http://localhost/v1')\n"
        "make_agent(Config(agent=agent), Path(), 't', lambda _: [])\n"
        "print(sorted({'httpx2', 'tenacity', 'optuna', 'httpx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


# -- the reviewer ----------------------------------------------------------------------------------

MODEL = {"backend": "openai", "model": "m", "base_url": "http://localhost/v1"}


@pytest.mark.parametrize(
    ("agent", "enabled", "reviews"),
    [
        (MODEL, "auto", True), (MODEL, "on", True), (MODEL, "off", False),
        ({"backend": "optuna"}, "auto", False), ({"backend": "scripted"}, "auto", False),
        ({"backend": "optuna"}, "on", True), ({"backend": "scripted"}, "on", True),
    ],
)  # fmt: skip
def test_models_are_reviewed_by_default(
    agent: dict[str, object], enabled: str, reviews: bool
) -> None:
    """The embedded search and scripts only where that is asked for."""
    review = {"enabled": enabled, "model": "r", "base_url": "http://localhost:2/v1"}
    settings = review_settings(Config.model_validate({"agent": agent, "review": review}))
    assert (settings is not None) is reviews


PROGRAM = {"backend": "command", "command": ["true"], "model": "m-of-the-program"}


@pytest.mark.parametrize("enabled", ["auto", "on"])
def test_a_programs_reviewer_is_named_by_itself(enabled: str) -> None:
    """The program's model may be none that an endpoint knows."""
    review = {"enabled": enabled, "model": "r", "base_url": "http://localhost:2/v1"}
    named = review_settings(Config.model_validate({"agent": PROGRAM, "review": review}))
    assert named is not None
    assert (named.backend, named.model) == ("openai", "r")
    unnamed = Config.model_validate({"agent": PROGRAM, "review": review | {"model": None}})
    if enabled == "auto":
        assert review_settings(unnamed) is None
    else:
        with pytest.raises(UserError, match=r"review\.model is missing"):
            review_settings(unnamed)


def test_what_review_does_not_set_is_as_in_agent() -> None:
    """But the prices of one model are not those of another."""
    prices = {"input": 1.0, "output": 2.0}
    agent = MODEL | {"timeout_s": 9.0, "temperature": 0.5, "prices": prices}
    of = {key: Config.model_validate({"agent": agent, "review": review})
          for key, review in {"same": {}, "other": {"model": "r", "timeout_s": 5.0},
                              "priced": {"model": "r", "prices": {"input": 3.0, "output": 4.0}},
                              "there": {"base_url": "http://localhost:2/v1"}}.items()}  # fmt: skip
    found = {key: review_settings(config) for key, config in of.items()}
    assert found["same"] == of["same"].agent
    other, priced, there = found["other"], found["priced"], found["there"]
    assert other is not None
    assert priced is not None
    assert there is not None
    assert (other.model, other.base_url, other.timeout_s) == ("r", MODEL["base_url"], 5.0)
    assert (other.temperature, other.prices, there.prices) == (0.5, None, None)
    assert priced.prices is not None
    assert priced.prices.input == 3.0
