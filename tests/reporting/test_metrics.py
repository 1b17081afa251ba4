"""What Prometheus reads of a run."""

import re

import pytest

from orchestrator.config.schema import Config
from orchestrator.reporting.metrics import metrics_text
from orchestrator.reporting.status import status_document
from orchestrator.store.ledger import Ledger
from orchestrator.store.workspace import Workspace

LINE = re.compile(r'autorl_[a-z_]+\{[a-z]+="(?:[^"\\\n]|\\.)*"(?:,[a-z]+="[^"\n]*")*\} [-0-9.e+]+')


def samples(text: str) -> dict[str, float]:
    """Return each sample, every line being a comment or one."""
    assert text.endswith("\n")
    lines = [line for line in text.splitlines() if not line.startswith("# ")]
    assert all(LINE.fullmatch(line) for line in lines), text
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_a_run_is_numbers_with_labels(running: Workspace) -> None:
    """Counts by verdict, what is published, and nothing that is unknown."""
    found = samples(metrics_text(status_document(running, Config())))
    assert found['autorl_running{tag="t"}'] == 0
    assert found['autorl_experiments_total{tag="t",status="keep"}'] == 1
    assert found['autorl_published_experiment{tag="t"}'] == 2
    assert not any("cost_usd" in name for name in found)


def test_before_the_first_run_there_is_a_daemon_or_none(stubbed: Workspace) -> None:
    """And no run to tell of."""
    found = samples(metrics_text(status_document(stubbed, Config())))
    assert found['autorl_running{tag=""}'] == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_what_is_no_number_is_left_out(running: Workspace, value: float | None) -> None:
    """As a score that nobody knows."""
    document = status_document(running, Config()) | {"validated_score": value, "tag": 'a"b\\c\nd'}
    text = metrics_text(document)
    samples(text)
    assert "published_return{" not in text


def test_each_metric_is_explained_once(running: Workspace) -> None:
    """A line of help and one of its type before its samples."""
    with Ledger(running.ledger):
        text = metrics_text(status_document(running, Config()))
    names = re.findall(r"^# TYPE (\S+) (?:gauge|counter)$", text, re.MULTILINE)
    assert len(names) == len(set(names)) > 5
    assert re.findall(r"^# HELP (\S+) \S", text, re.MULTILINE) == names
