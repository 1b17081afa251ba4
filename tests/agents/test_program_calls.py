"""How the coding agents are called."""

import json
from pathlib import Path

import pytest

from orchestrator.agents.programs.known import KNOWN, program_of
from orchestrator.agents.programs.program import Call, Place
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.errors import UserError

KEY = "sk-top-secret-0123456789"
URL = "http://127.0.0.1:8000/v1"
FOLDER = Path("/private/turn")
OWN = Place(FOLDER, Path("/private/home"), has_own_home=True, is_confined=True)
OPEN = Place(FOLDER, Path("/private/home"), has_own_home=True, is_confined=False)
USERS = Place(FOLDER, Path("/home/me"), has_own_home=False, is_confined=True)
MODELS = {"opencode": "anthropic/claude-x", "aider": "anthropic/claude-x"}
KEYS = {
    "codex": "OPENAI_API_KEY", "claude": "ANTHROPIC_API_KEY", "opencode": "ANTHROPIC_API_KEY",
    "gemini": "GEMINI_API_KEY", "qwen": "OPENAI_API_KEY", "aider": "ANTHROPIC_API_KEY",
}  # fmt: skip
each = pytest.mark.parametrize("name", KNOWN)


def call_of(
    name: str, place: Place = OWN, environment: dict[str, str] | None = None, **options: object
) -> Call:
    known: dict[str, object] = {"backend": name, "model": MODELS.get(name, "m")}
    config = AgentConfig(**(known | options))  # type: ignore[arg-type]
    return program_of(name).call(config, place, {} if environment is None else environment)


@each
def test_key(name: str) -> None:
    """It gets its own key, of no other program or provider, and never in an argument."""
    others = {"AWS_SECRET_ACCESS_KEY": "s", "MISTRAL_API_KEY": "m", "GITHUB_TOKEN": "g"}
    call = call_of(name, environment={KEYS[name]: KEY} | others)
    assert KEY in call.environment.values()
    assert not set(others.values()) & set(call.environment.values())
    assert not any(KEY in word for word in call.argv)
    assert not any(KEY in text for text in call.settings.values())


@each
def test_key_of_another_name(name: str) -> None:
    """A key in a variable of the user's choice comes in the program's own."""
    call = call_of(name, environment={"MY_KEY": KEY}, api_key_env="MY_KEY", base_url=URL)
    names = [variable for variable, value in call.environment.items() if value == KEY]
    assert len(names) == 1
    assert names[0] != "MY_KEY"


@each
def test_own_endpoint(name: str) -> None:
    """It is pointed at the user's endpoint, which may want no key."""
    call = call_of(name, base_url=URL + "/")
    told = [*call.argv, *call.environment.values()]
    assert any("127.0.0.1:8000" in word for word in told)
    assert not any("/v1/v1" in word or '/v1/"' in word for word in told)


@each
def test_model_effort_and_arguments(name: str) -> None:
    """Model, effort and the user's arguments are in its call, the user's last of the options."""
    call = call_of(name, model="some-model", effort="high", args=["--mine", "5"], base_url=URL)
    told = " ".join([*call.argv, *call.environment.values(), *call.settings.values()])
    assert "some-model" in told
    assert ("high" in told) == (name != "gemini")
    place = call.argv.index("--mine")
    assert call.argv[place + 1] == "5"
    assert not any(word.startswith("--") for word in call.argv[place + 2 :])


@each
def test_never_asks(name: str) -> None:
    """Confined it may run what it likes; else it runs `./check` and edits, and the rest is denied."""
    confined, opened = call_of(name), call_of(name, OPEN)
    told = [*opened.argv, opened.environment.get("OPENCODE_CONFIG_CONTENT", "")]
    match name:
        case "codex":
            assert "danger-full-access" in confined.argv
            assert "workspace-write" in opened.argv
            assert opened.argv[1:3] == ("-a", "never")
        case "opencode":
            permission = json.loads(told[-1])["permission"]
            assert permission["*"] == "deny"
            assert permission["bash"] == {"*": "deny", "./check": "allow", "./check *": "allow"}
        case "aider":
            assert confined == opened
            assert "--no-suggest-shell-commands" in opened.argv
        case _:
            assert any("(./check)" in word for word in opened.argv)
            assert not any("(./check)" in word for word in confined.argv)
            assert "yolo" not in opened.argv


@each
def test_settings_are_its_own(name: str) -> None:
    """Settings files lie in its home; they are JSON."""
    for path, text in call_of(name).settings.items():
        assert not Path(path).is_absolute()
        json.loads(text)


@each
def test_users_home(name: str) -> None:
    """In the user's home it works by its login: no key is needed, and none is made up."""
    call = call_of(name, USERS)
    assert call.argv[0] == name
    assert "none" not in call.environment.values()
    assert program_of(name).login


@pytest.mark.parametrize("name", ["opencode", "aider"])
def test_endpoint_without_model(name: str) -> None:
    """A program of many providers must know the model at the user's endpoint."""
    with pytest.raises(UserError, match=r"agent\.model is missing"):
        call_of(name, model=None, base_url=URL)


@pytest.mark.parametrize("name", ["opencode", "aider"])
def test_all_keys_for_a_model_of_no_provider(name: str) -> None:
    """Without a provider in the model's name it gets every provider's key that is set."""
    keys = {"OPENAI_API_KEY": "a" * 9, "MISTRAL_API_KEY": "b" * 9, "OTHER_API_KEY": "c" * 9}
    call = call_of(name, environment=keys, model="m")
    assert {key for key in keys if key in call.environment} == {"OPENAI_API_KEY", "MISTRAL_API_KEY"}


def test_claude_keeps_a_cost_limit() -> None:
    """Claude is told what a call may cost at most."""
    argv = call_of("claude", max_cost_usd=0.5).argv
    assert argv[argv.index("--max-budget-usd") + 1] == "0.500000"


def test_claude_falls_back() -> None:
    """Claude and qwen know models to fall back to."""
    for name in ("claude", "qwen"):
        argv = call_of(name, fallback_models=["a", "b"]).argv
        assert argv[argv.index("--fallback-model") + 1] == "a,b"


def test_qwen_keeps_a_time_limit() -> None:
    """Qwen is told how long a turn may take."""
    argv = call_of("qwen", timeout_s=90).argv
    assert argv[argv.index("--max-wall-time") + 1] == "90s"


def test_prompt() -> None:
    """All read the prompt from their standard input, but for aider."""
    files = {name: call_of(name).prompt_file for name in KNOWN}
    assert [name for name, file in files.items() if file is not None] == ["aider"]
    assert files["aider"] in call_of("aider").argv


@pytest.mark.parametrize(
    ("name", "printed", "version"),
    [
        ("codex", "codex-cli 0.171.0\n", "0.171.0"),
        ("claude", "2.1.332 (Claude Code)\n", "2.1.332"),
        ("opencode", "1.18.33\n", "1.18.33"),
        ("gemini", "0.62.0-nightly.1\n", "0.62.0-nightly.1"),
        ("qwen", "0.24.4\n", "0.24.4"),
        ("aider", "Detected dumb terminal.\naider 0.86.2\n", "0.86.2"),
        ("codex", "command not found\n", None),
    ],
)
def test_version(name: str, printed: str, version: str | None) -> None:
    """What `--version` prints."""
    assert program_of(name).version(printed) == version
