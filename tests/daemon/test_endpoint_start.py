"""What `start` and `doctor` say about the model's endpoint."""

import pytest

from orchestrator.config.endpoints import AgentConfig, ReviewConfig
from orchestrator.config.loading import load_config
from orchestrator.config.schema import Config, LimitsConfig
from orchestrator.core.errors import UserError
from orchestrator.core.experiments import Experiment
from orchestrator.core.records import Rung, Status
from orchestrator.daemon.doctor import endpoint, table
from orchestrator.daemon.endpoint_start import endpoint_notes, is_own_machine, limit_notes
from orchestrator.daemon.start_checks import check_start, evaluator_settings
from orchestrator.store.ledger import Ledger
from orchestrator.store.runs import Run
from orchestrator.store.workspace import Workspace
from tests.conftest import Cli
from tests.fakes import Answer, ChatServer, completion, refusal
from tests.store.conftest import WHEN

PAID = AgentConfig(backend="openai", model="m", base_url="https://api.example.com/v1")


def test_no_limit_at_all_is_said() -> None:
    """Where calls may cost money, and nothing ends them."""
    [line] = limit_notes(Config(agent=PAID))
    assert "no limit on experiments, hours, tokens or cost_usd" in line


@pytest.mark.parametrize(
    "limits", [{"experiments": 5}, {"hours": 8.0}, {"tokens": 9}, {"cost_usd": 1.0}]
)
def test_any_limit_is_enough(limits: dict[str, float]) -> None:
    """One of the four ends the run."""
    assert limit_notes(Config(agent=PAID, limits=LimitsConfig(**limits))) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "own"),
    [("http://127.0.0.1:8080/v1", True), ("http://localhost/v1", True), ("http://[::1]/v1", True),
     ("http://192.168.1.7:1234/v1", True), ("http://gpu-box:8000/v1", True),
     ("http://box.local/v1", True), ("https://8.8.8.8/v1", False),
     ("https://api.openai.com/v1", False), (None, False)],
)  # fmt: skip
def test_a_server_of_ones_own_costs_nothing(url: str | None, own: bool) -> None:
    """This machine and private networks; OpenAI itself is neither."""
    assert is_own_machine(url) is own


def test_no_call_is_made_where_no_model_proposes() -> None:
    """The embedded search and scripts need no network."""
    assert endpoint_notes(Config(agent=AgentConfig(backend="optuna"))) == []
    assert endpoint_notes(Config(agent=AgentConfig(backend="scripted", scripted_dir="x"))) == []


def test_each_model_of_several_is_tried() -> None:
    """Told with its name; the first that is refused refuses the start."""
    one, two = ChatServer(), ChatServer(check=refusal(401, "bad key"))
    good = {"backend": "openai", "model": "m", "base_url": one.url}
    bad = {"backend": "openai", "model": "n", "base_url": two.url}
    limits = {"limits": {"hours": 1}}
    team = Config.model_validate({"agents": [good, {"backend": "optuna", "every": 3}]} | limits)
    [line] = endpoint_notes(team)
    assert line.startswith("endpoint: agents, openai:m: ")
    assert len(one.checks) == 1  # the reviewer is the first model
    with pytest.raises(UserError, match=r"agents, openai:n: .*bad key"):
        endpoint_notes(Config.model_validate({"agents": [good, bad]} | limits))
    assert (len(one.checks), len(two.checks)) == (2, 1)
    one.close()
    two.close()


def test_one_paid_model_of_several_is_enough_for_a_word_on_limits() -> None:
    """Beside one of one's own."""
    own = {"backend": "openai", "model": "own", "base_url": "http://localhost/v1"}
    paid = PAID.model_dump(exclude_unset=True)
    assert len(limit_notes(Config.model_validate({"agents": [own, paid]}))) == 1
    assert limit_notes(Config.model_validate({"agents": [own, {"backend": "optuna"}]})) == []


def configured(workspace: Workspace, url: str, more: str = "") -> Config:
    agent = f"agent: {{backend: openai, model: m, base_url: '{url}'}}"
    workspace.config.write_text(f"sandbox: off\nbudget: {{ladder: [[12, 8]]}}\n{agent}\n{more}")
    return load_config(workspace.config)


def begun(workspace: Workspace) -> None:
    """Record the baseline of run t: a start that resumes it does not play the candidate."""
    request = check_start(workspace, "t", ())
    workspace.make_folders()
    with Ledger(workspace.ledger) as ledger:
        ledger.create_run(Run("t", request.parent, evaluator_settings(request), WHEN))
        n = ledger.begin(
            "t", is_baseline=True, rung=Rung(12, 8), agent="none", parent=request.parent, when=WHEN
        )
        baseline = Experiment(
            n=n, tag="t", is_baseline=True, status=Status.BASELINE, rung=Rung(12, 8), agent="none",
            created_at=WHEN,
        )  # fmt: skip
        ledger.finish(baseline, request.baseline, None)


def test_a_refused_key_ends_the_start(stubbed: Workspace, cli: Cli) -> None:
    """Exit code 2 and one line with the cure; nothing has begun, and nothing was asked twice."""
    server = ChatServer(check=refusal(401, "wrong key"))
    configured(stubbed, server.url)
    begun(stubbed)
    for options in ((), ("--foreground",)):
        done = cli(
            "start", "--tag", "t", *options, cwd=stubbed.root, check=True,
            OPENAI_API_KEY="sk-secret-123",
        )  # fmt: skip
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "refuses the key in $OPENAI_API_KEY" in done.stderr
    assert len(server.checks) == 2
    assert not stubbed.daemon_log.exists()
    server.close()


def test_doctor_shows_the_endpoint(stubbed: Workspace) -> None:
    """Fine, or bad with the cure; a password in the address is never shown."""
    server = ChatServer(check=completion("OK"))
    config = configured(stubbed, server.url.replace("127.0.0.1", "user:hunter2@127.0.0.1"))
    (good,) = table([endpoint(config)])
    assert f"ok    endpoint   m answers at {server.url.replace('127', '…@127', 1)}" in good
    server.close()
    down = "\n".join(table([endpoint(config)]))
    assert "note  endpoint" in down
    assert "hunter2" not in good + down


def test_a_start_asks_once(stubbed: Workspace, cli: Cli) -> None:
    """The process that starts the daemon does; the daemon itself begins with the run's prompts."""
    server = ChatServer(Answer(503, "busy"), check=completion("OK"))
    configured(stubbed, server.url)
    done = cli("start", "--tag", "t", "--max-experiments", "1", cwd=stubbed.root, check=True)
    assert done.returncode == 0, done.stderr
    assert f"endpoint: m answers at {server.url}" in done.stdout
    cli("stop", "--now", cwd=stubbed.root)
    assert len(server.checks) == 1
    server.close()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("ALL_PROXY", "socks://127.0.0.1:1080"), ("HTTPS_PROXY", "socks://127.0.0.1:7890"),
     ("SSL_CERT_FILE", "/no/such/file"), ("OPENAI_ORG_ID", "org\n")],
)  # fmt: skip
def test_a_variable_that_no_client_can_be_made_with_ends_the_start(
    stubbed: Workspace, cli: Cli, variable: str, value: str
) -> None:
    """Exit code 2 and one line that names it, before anything is called."""
    server = ChatServer()
    configured(stubbed, server.url)
    done = cli("start", cwd=stubbed.root, **{variable: value})
    assert done.returncode == 2
    assert f"${variable}" in done.stderr
    assert done.stderr.count("\n") == 1
    assert server.checks == []
    server.close()


def test_the_reviewers_endpoint_is_tried_where_it_is_another(
    stubbed: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call to each; none where both are the same, or nobody reviews."""
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    agents, reviewers = ChatServer(), ChatServer(check=refusal(404, "no model r"))
    endpoint_notes(configured(stubbed, agents.url))
    assert (len(agents.checks), len(reviewers.checks)) == (1, 0)
    elsewhere = f"review: {{model: r, base_url: '{reviewers.url}'}}\n"
    with pytest.raises(
        UserError, match=r"the reviewer \(review; null is as in agent\): no model r at"
    ):
        endpoint_notes(configured(stubbed, agents.url, elsewhere))
    assert (len(agents.checks), len(reviewers.checks)) == (2, 1)
    nobody = f"review: {{enabled: off, base_url: '{reviewers.url}'}}\n"
    endpoint_notes(configured(stubbed, agents.url, nobody))
    assert (len(agents.checks), len(reviewers.checks)) == (3, 1)
    agents.close()
    reviewers.close()


@pytest.mark.system
def test_a_reviewer_that_is_down_is_a_note() -> None:
    """The run does not wait for it: keeps are unreviewed meanwhile."""
    review = ReviewConfig(enabled="on", model="r", base_url="http://127.0.0.1:9/v1")
    config = Config(agent=AgentConfig(backend="scripted", scripted_dir="x"), review=review)
    [line] = endpoint_notes(config)
    assert line.startswith("note: the reviewer: ")
    assert line.endswith("what it misses is kept unreviewed")
