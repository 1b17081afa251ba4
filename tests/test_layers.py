"""Who may import whom, checked on the imports themselves."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

OURS = {"orchestrator", "framework", "referee", "simverse", "sandbox", "candidate", "train"}
MAY_IMPORT = {
    "orchestrator": {"sandbox"},
    "referee": {"sandbox", "simverse"},
    "sandbox": set(),
    "simverse": set(),
}
FOR_OLD_WORKSPACES = {"simverse/worker.py", "simverse/integrity.py"}
"""Names that the evaluator file of version 0.1's workspaces imports."""
WITH_TORCH = {"candidate_code", "environment_worker", "training_worker", "worker"}
"""Modules of `referee` that only workers import."""
NOT_IN_ORCHESTRATOR = {"torch", "numpy", "gymnasium"}
ONLY_IMPORTER = {
    "git": "orchestrator/store/git.py",
    "openai": "orchestrator/agents/openai_api.py",
    "tenacity": "orchestrator/agents/openai_api.py",
    "optuna": "orchestrator/agents/optuna_search.py",
    "libcst": "orchestrator/agents/optuna_search.py",
    "sqlite3": "orchestrator/store/database.py",
    "matplotlib": "orchestrator/reporting/chart.py",
    "yaml": "orchestrator/config/sources.py",
}
PURE = (
    "core/diff",
    "core/flags",
    "core/records",
    "core/text",
    "judging/boundaries",
    "judging/challenger_test",
    "judging/early_stopping",
    "judging/flag_rules",
    "judging/incumbent",
    "judging/information",
    "judging/naive_rule",
    "judging/reference",
    "judging/rules",
    "judging/sequential_test",
    "judging/student_t",
    "planning/ladder",
    "planning/planner",
    "planning/state",
    "proposals/brief",
    "proposals/candidate_code",
    "proposals/prompt",
    "proposals/reply",
)
IMPURE = {"os", "time", "random", "subprocess", "socket", "logging", "threading", "pathlib"}


def imports(path: Path) -> set[str]:
    """Return the top-level names a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def sources(package: str) -> list[Path]:
    return sorted((REPOSITORY / package).rglob("*.py"))


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_packages_import_only_what_they_may(package: str) -> None:
    """The evaluator and the candidate are run, never imported, by the daemon; and so on down."""
    for path in sources(package):
        if str(path.relative_to(REPOSITORY)) in FOR_OLD_WORKSPACES:
            continue
        foreign = imports(path) & (OURS - {package} - MAY_IMPORT[package])
        assert not foreign, f"{path} imports {foreign}"


def test_the_daemon_imports_no_torch() -> None:
    """No module of the daemon needs the heavy libraries of the workers."""
    for path in sources("orchestrator"):
        assert not imports(path) & NOT_IN_ORCHESTRATOR, path


def test_only_the_workers_import_torch_in_the_referee() -> None:
    """Its process only passes numbers on; it starts in a tenth of a second."""
    assert {path.stem for path in sources("referee") if "torch" in imports(path)} == WITH_TORCH
    code = (
        "import framework, sys\n"
        "print({'torch', 'gymnasium', 'matplotlib'} & set(sys.modules))\n"
        "from referee.referee import _resolve_device\n"
        "print(_resolve_device('auto'), 'torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    loaded, device = done.stdout.splitlines()
    assert loaded == "set()"
    assert device in {"cpu False", "cuda False", "mps False"}


@pytest.mark.parametrize("library", sorted(ONLY_IMPORTER))
def test_each_library_has_one_importer(library: str) -> None:
    """One adapter per outside thing."""
    importers = [
        str(path.relative_to(REPOSITORY))
        for path in sources("orchestrator")
        if library in imports(path)
    ]
    assert importers == [ONLY_IMPORTER[library]]


@pytest.mark.parametrize("module", PURE)
def test_decisions_are_pure(module: str) -> None:
    """No clock, randomness, process or file in the modules that decide."""
    assert not imports(REPOSITORY / "orchestrator" / f"{module}.py") & IMPURE


@pytest.mark.parametrize("command", ["--help", "status", "logs"])
def test_quick_commands_load_nothing_heavy(command: str, tmp_path: Path) -> None:
    """`--help`, `status` and `logs` answer without torch, openai, git, optuna or matplotlib."""
    code = (
        "import sys\nfrom orchestrator.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'openai', 'git', 'optuna', 'matplotlib', 'rich'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy))"
    )
    (tmp_path / "config.yaml").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", code, command], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "HEAVY []", done.stdout + done.stderr
