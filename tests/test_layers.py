"""Who may import whom, and who may write what: checked on the source itself."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.house import (
    LAYERS,
    Module,
    cycles,
    module_imports,
    modules,
    room_imports,
    upward,
)

OURS = {"orchestrator", "framework", "referee", "simverse", "sandbox", "candidate", "train"}
MAY_IMPORT = {
    "orchestrator": {"sandbox"},
    "referee": {"sandbox", "simverse"},
    "sandbox": set(),
    "simverse": set(),
}
FOR_OLD_WORKSPACES = {"simverse.worker", "simverse.integrity"}
"""Modules that the evaluator file of version 0.1's workspaces imports."""
WITH_TORCH = {
    "candidate_code", "check_worker", "environment_worker", "training_worker", "worker",
    "world_worker", "generators",
}  # fmt: skip
"""Modules of `referee` that only workers import."""
NOT_IN_ORCHESTRATOR = {"torch", "numpy", "gymnasium"}
IMPORTERS = {
    "git": {"orchestrator.store.git_command"},
    "httpx2": {"orchestrator.agents.http_client", "orchestrator.agents.openai_api"},
    "openai": {"orchestrator.agents.http_client", "orchestrator.agents.openai_api"},
    "tenacity": {"orchestrator.agents.command_line", "orchestrator.agents.openai_api"},
    "optuna": {"orchestrator.agents.optuna_search"},
    "sqlite3": {"orchestrator.store.database", "orchestrator.store.migrations"},
    "structlog": {"orchestrator.store.log"},
    "matplotlib": {"orchestrator.reporting.chart"},
    "yaml": {"orchestrator.config.sources"},
    "pydantic": {"orchestrator.config.endpoints", "orchestrator.config.loading",
                 "orchestrator.config.notify", "orchestrator.config.schema", "orchestrator.config.section"},
    "starlette": {"orchestrator.web.answers", "orchestrator.web.app", "orchestrator.web.feed",
                  "orchestrator.web.security", "orchestrator.web.serving"},
    "uvicorn": {"orchestrator.web.serving"},
    "rich": {"orchestrator.reporting.console", "orchestrator.reporting.tables",
             "orchestrator.reporting.report_text", "orchestrator.cli.demo"},
}  # fmt: skip
PURE_ROOMS = {"core", "proposals", "judging", "planning"}
PURE_MODULES = {
    "orchestrator.config.endpoints", "orchestrator.config.notify", "orchestrator.config.schema",
    "orchestrator.config.section",
    "orchestrator.engine.commands", "orchestrator.engine.experiment",
    "orchestrator.engine.display",
}  # fmt: skip
CLOCK = "orchestrator.core.clock"
IMPURE = {
    "datetime", "fcntl", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets",
    "select", "selectors", "shutil", "signal", "socket", "sqlite3", "subprocess", "sys", "tempfile",
    "threading", "time", "uuid",
}  # fmt: skip
THREADS = {"threading", "_thread", "concurrent", "multiprocessing", "asyncio"}
USES_GIT = {
    "orchestrator.store.branch", "orchestrator.daemon.wiring", "orchestrator.daemon.process",
    "orchestrator.daemon.requests", "orchestrator.daemon.start_checks",
}  # fmt: skip
"""Besides the branch of a run: the start and its checks, and `accept` without a daemon."""
DOCUMENTS = {"orchestrator.engine.display", "orchestrator.engine.record"}
"""Make the documents that are shown and stored; all else passes records."""

ORCHESTRATOR = modules(REPOSITORY, "orchestrator")
BY_NAME = {module.name: module for module in ORCHESTRATOR}
ROOMS = sorted(room for layer in LAYERS for room in layer)


def packages(module: Module) -> set[str]:
    """Return the top-level names a module imports, anywhere in it."""
    return {name.split(".")[0] for name in module.imports}


@cache
def ledger_calls() -> frozenset[tuple[str, str]]:
    """Return who calls what of a ledger: a module's name and a method's."""
    found = set()
    for module in ORCHESTRATOR:
        for node in ast.walk(module.tree):
            match node:
                case ast.Call(func=ast.Attribute(value=owner, attr=method)):
                    if re.search(r"(\b|_)ledger$", ast.unparse(owner)):
                        found.add((module.name, method))
    return frozenset(found)


def callers(method: str) -> set[str]:
    """Return the modules that call this method of a ledger."""
    return {module for module, called in ledger_calls() if called == method}


def classes(module: Module) -> list[str]:
    """Return the dotted names of a module's classes."""
    nodes = [node for node in module.tree.body if isinstance(node, ast.ClassDef)]
    return [f"{module.name}.{node.name}" for node in nodes]


def importers(name: str) -> set[str]:
    """Return which modules import this name, that of a module or of something in it."""
    return {module.name for module in ORCHESTRATOR if name in module.imports}


# -- packages --------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_packages_import_only_what_they_may(package: str) -> None:
    """The evaluator and the candidate are run, never imported, by the daemon; and so on down."""
    for module in modules(REPOSITORY, package):
        if module.name not in FOR_OLD_WORKSPACES:
            foreign = packages(module) & (OURS - {package} - MAY_IMPORT[package])
            assert not foreign, f"{module.name} imports {foreign}"


def test_the_daemon_imports_no_torch() -> None:
    """No module of the daemon needs the heavy libraries of the workers."""
    for module in ORCHESTRATOR:
        assert not packages(module) & NOT_IN_ORCHESTRATOR, module.name


def test_only_the_workers_import_torch_in_the_referee() -> None:
    """Its process only passes numbers on."""
    referee = modules(REPOSITORY, "referee")
    assert {m.path.stem for m in referee if "torch" in packages(m)} == WITH_TORCH


@pytest.mark.system
def test_the_referee_loads_no_torch() -> None:
    """So its process starts in a tenth of a second."""
    code = (
        "import framework, sys\n"
        "print({'torch', 'gymnasium', 'matplotlib'} & set(sys.modules))\n"
        "from referee.referee import resolve_device\n"
        "print(resolve_device('auto'), 'torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    loaded, device = done.stdout.splitlines()
    assert loaded == "set()"
    assert device in {"cpu False", "cuda False", "mps False"}


@pytest.mark.parametrize("library", sorted(IMPORTERS))
def test_each_library_has_its_importer(library: str) -> None:
    """One adapter for each external thing."""
    assert {m.name for m in ORCHESTRATOR if library in packages(m)} == IMPORTERS[library]


# -- folders ---------------------------------------------------------------------------------------


def test_every_folder_has_its_layer() -> None:
    """A new folder is given a place in the order; nothing lies outside of the folders."""
    assert {module.room for module in ORCHESTRATOR} == {*ROOMS, "__init__", "__main__"}


def test_no_import_goes_up_or_across() -> None:
    """A folder imports only those of lower layers; `core` none."""
    assert upward(room_imports(ORCHESTRATOR)) == []


def test_no_modules_import_each_other() -> None:
    """Not even for their types."""
    assert cycles(module_imports(ORCHESTRATOR)) == []
    for package in ("referee", "sandbox", "simverse"):
        assert cycles(module_imports(modules(REPOSITORY, package))) == [], package


@pytest.mark.parametrize("room", ROOMS)
def test_a_folder_re_exports_nothing(room: str) -> None:
    """Its `__init__` is a docstring: what the folder holds, and what it may import."""
    body = BY_NAME[f"orchestrator.{room}"].tree.body
    assert len(body) == 1
    text = ast.get_docstring(BY_NAME[f"orchestrator.{room}"].tree)
    assert text is not None
    assert "import" in text.lower()


@pytest.mark.parametrize(
    "module",
    [m for m in ORCHESTRATOR if m.room in PURE_ROOMS or m.name in PURE_MODULES],
    ids=lambda module: module.name.removeprefix("orchestrator."),
)
def test_decisions_are_pure(module: Module) -> None:
    """No clock, randomness, process or file in what decides, nor below it."""
    allowed = {"datetime"} if module.name == CLOCK else set()
    assert not packages(module) & (IMPURE - allowed)


def test_the_statistics_need_the_standard_library_alone() -> None:
    """What judges could be read and run by itself."""
    for module in ORCHESTRATOR:
        if module.room == "judging":
            assert packages(module) <= {"orchestrator", *sys.stdlib_module_names}, module.name


def test_the_daemon_has_one_thread() -> None:
    """Nothing in it waits for another thread; an agent's process has one that ends it.

    The page is served by a process of its own.
    """
    daemon = [module for module in ORCHESTRATOR if module.room != "web"]
    assert {m.name for m in daemon if packages(m) & THREADS} == {"orchestrator.agents.job"}


# -- adapters, writers, documents ------------------------------------------------------------------


def test_only_the_wiring_names_an_adapter() -> None:
    """Everybody else works with the ports; git has the users it must have, and no others."""
    for module in ORCHESTRATOR:
        if module.room not in {"agents", "evaluation"}:
            continue
        for name in (module.name, *classes(module)):
            foreign = {user for user in importers(name) if BY_NAME[user].room != module.room}
            assert foreign <= {"orchestrator.daemon.wiring"}, f"{foreign} import {name}"
    assert importers("orchestrator.store.git.GitStore") == USES_GIT
    assert importers("orchestrator.store.git") == set()


@pytest.mark.parametrize(
    "method", ["begin", "reserve_code", "save_reply", "save_failure", "save_seed", "save_report",
               "count_resume", "finish", "add_seconds", "count_review", "save_review"],
)  # fmt: skip
def test_only_the_engine_writes_experiments(method: str) -> None:
    """One writer: what is in flight and what is in the ledger can't disagree."""
    rooms = {BY_NAME[name].room for name in callers(method)}
    assert rooms == {"engine"}


@pytest.mark.parametrize("method", ["add_request", "add_proposal", "add_note", "delete_note",
                                    "ask_to_prune", "ask_to_measure"])  # fmt: skip
def test_only_the_requests_modules_write_requests(method: str) -> None:
    """The command line, and whatever else people use, go through their functions."""
    (caller,) = callers(method)
    assert caller in {"orchestrator.daemon.requests", "orchestrator.daemon.lead_requests"}


def test_lessons_have_two_authors() -> None:
    """The agent's are recorded with the experiment that wrote them, a person's on request."""
    assert callers("add_lessons") == {
        "orchestrator.engine.record", "orchestrator.daemon.requests",
    }  # fmt: skip


def test_records_not_dictionaries_are_passed_on() -> None:
    """No mapping of anything in what decides and runs, but where a document is made."""
    for module in ORCHESTRATOR:
        if module.room in {"engine", "judging", "planning"} and module.name not in DOCUMENTS:
            for node in ast.walk(module.tree):
                if isinstance(node, ast.Subscript):
                    assert "[str, Any]" not in ast.unparse(node), f"{module.name}:{node.lineno}"


# -- what is loaded --------------------------------------------------------------------------------


@pytest.mark.system
@pytest.mark.parametrize("command", ["--help", "status", "logs"])
def test_quick_commands_load_nothing_heavy(command: str, tmp_path: Path) -> None:
    """`--help`, `status` and `logs` answer without torch, httpx2, git, optuna, matplotlib or a server."""
    code = (
        "import sys\nfrom orchestrator.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'httpx2', 'git', 'optuna', 'matplotlib', 'rich', 'starlette', 'uvicorn'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy))"
    )
    (tmp_path / "config.yaml").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", code, command], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "HEAVY []", done.stdout + done.stderr
