"""What a program can reach, confined by bubblewrap; skipped where that does not work."""

import json
import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agents.bubblewrap import examine
from orchestrator.agents.command_line import TRIES, CommandLineAgent
from orchestrator.agents.installation import Installation, installation_of
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.errors import AgentBlockedError
from orchestrator.proposals.agent_events import NothingToAdd
from tests.agents.program_rig import BRIEF, EDIT, EDITED, Rig, proposed

needs_bwrap = pytest.mark.skipif(not examine().is_on, reason=examine().says)
TELL = """\
import errno, json, os, pathlib, socket, sys
def tried(what):
    try:
        return str(what())
    except OSError as error:
        return errno.errorcode[error.errno]
"""


def seen(rig: Rig, tries: dict[str, str], **options: Any) -> dict[str, str]:
    """Return what a program gets for each expression."""
    told = ", ".join(f"{name!r}: tried(lambda: {what})" for name, what in tries.items())
    write = "pathlib.Path('candidate/env.py').write_text('# ' + json.dumps({" + told + "}))\n"
    text = rig.reply(TELL + write, **options).reply.text
    found: dict[str, str] = json.loads(text.split("# ", 1)[1].split("\n```")[0])
    return found


@needs_bwrap
def test_the_workspace_and_the_home_are_out_of_reach(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Repository, ledger, other folders of the user, processes, and nothing of them to write."""
    home = tmp_path_factory.mktemp("home")
    (home / "secret").write_text("s")
    monkeypatch.setenv("HOME", str(home))
    (rig.root / ".autorl").mkdir()
    (rig.root / ".autorl" / "ledger.sqlite").write_text("l")
    (rig.root / "config.yaml").write_text("c")
    outside = tmp_path_factory.mktemp("outside")
    found = seen(rig, {
        "ledger": f"open({str(rig.root / '.autorl' / 'ledger.sqlite')!r}).read()",
        "config": f"open({str(rig.root / 'config.yaml')!r}).read()",
        "workspace": f"sorted(os.listdir({str(rig.root)!r}))",
        "home": f"open({str(home / 'secret')!r}).read()",
        "outside": f"open({str(outside / 'new')!r}, 'w').write('x')",
        "usr": "open('/usr/new', 'w').write('x')",
        "shadow": "open('/etc/shadow').read()",
        "processes": "len([name for name in os.listdir('/proc') if name.isdigit()]) < 5",
        "own home": "open(os.environ['HOME'] + '/new', 'w').write('x')",
        "own tmp": "open(os.environ['TMPDIR'] + '/new', 'w').write('x')",
        "own folder": "open('new', 'w').write('x')",
        "program.md": "open('program.md', 'w').write('x')",
        "notebook.md": "os.remove('notebook.md')",
        "check": "os.rename('check', 'other')",
        "users": "'root:' in open('/etc/passwd').read()",
        "certificates": "os.path.isdir('/etc/ssl')",
    })  # fmt: skip
    assert found == {
        "ledger": "ENOENT", "config": "ENOENT", "workspace": "['.autorl', 'agent.py']",
        "home": "ENOENT", "outside": "ENOENT", "usr": "EROFS", "shadow": "ENOENT",
        "processes": "True", "own home": "1", "own tmp": "1", "own folder": "1",
        "program.md": "EROFS", "notebook.md": "EBUSY", "check": "EBUSY", "users": "True",
        "certificates": "True",
    }  # fmt: skip


def test_no_turn_goes_without_a_confinement_that_worked_before(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probe of a turn may fail in a moment without memory or processes: that is waited out."""
    broken = tmp_path / "bin" / "bwrap"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho 'Resource temporarily unavailable' >&2\nexit 1\n")
    broken.chmod(0o755)
    rig.workplace = replace(rig.workplace, must_confine=True)
    ran = tmp_path / "ran"
    agent = rig.agent(EDIT + f"open({str(ran)!r}, 'w')\n", sandbox="auto")
    examine.cache_clear()
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{broken.parent}{os.pathsep}{os.environ['PATH']}")
        with pytest.raises(AgentBlockedError, match=r"temporarily unavailable.*goes without"):
            agent.propose(BRIEF, rig.context)
    examine.cache_clear()
    assert not ran.exists()
    assert len(rig.context.waits) == TRIES - 1


@needs_bwrap
def test_the_network_is_open(rig: Rig) -> None:
    """The endpoint is out there: on loopback too, as for a model of one's own."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connect = f"socket.create_connection(('127.0.0.1', {port})).getpeername()[1] == {port}"
        assert seen(rig, {"network": connect}) == {"network": "True"}


@needs_bwrap
def test_no_capability_is_left(rig: Rig) -> None:
    """Whoever the user is."""
    line = "[l.split()[1] for l in open('/proc/self/status') if l.startswith('CapEff')][0]"
    assert set(seen(rig, {"capabilities": line})["capabilities"]) == {"0"}


@needs_bwrap
def test_a_home_of_the_users_is_there_when_it_is_asked_for(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Of a program that is known only its login and settings; else all, but for the workspace."""
    home = tmp_path_factory.mktemp("home")
    (home / ".json").mkdir()
    (home / ".json" / "login").write_text("token")
    (home / "secret").write_text("s")
    monkeypatch.setenv("HOME", str(home))
    tries = {
        "login": "open(os.path.expanduser('~/.json/login')).read()",
        "renewed": "open(os.path.expanduser('~/.json/new'), 'w').write('x')",
        "secret": "open(os.path.expanduser('~/secret')).read()",
        "settings": "os.path.exists(os.path.expanduser('~/.json/settings'))",
    }
    whole = seen(rig, tries, home="user")
    assert whole == {"login": "token", "renewed": "1", "secret": "s", "settings": "False"}
    known = seen(rig, tries, home="user", streams=True)
    assert known == whole | {"secret": "ENOENT"}


@needs_bwrap
def test_a_workspace_in_the_users_home_stays_out_of_reach(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the home is there."""
    monkeypatch.setenv("HOME", str(rig.root.parent))
    (rig.root.parent / "mine").write_text("m")
    (rig.root / "config.yaml").write_text("c")
    tries = {
        "config": f"open({str(rig.root / 'config.yaml')!r}).read()",
        "mine": "open(os.path.expanduser('~/mine')).read()",
    }
    assert seen(rig, tries, home="user") == {"config": "ENOENT", "mine": "m"}


@needs_bwrap
def test_a_program_knows_that_it_is_confined(rig: Rig) -> None:
    """So that it needs no sandbox of its own; and that it is not."""
    tries = {"confined": "os.environ['CONFINED']", "own": "os.environ['OWN']"}
    assert seen(rig, tries, streams=True) == {"confined": "True", "own": "True"}
    assert seen(rig, tries, streams=True, sandbox="off") == {"confined": "False", "own": "True"}


@needs_bwrap
@pytest.mark.parametrize("where", ["home/.local/lib", "opt/tools/lib"])
def test_an_npm_program_finds_its_installation(
    rig: Rig, where: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A link in a `bin`, a script in `node_modules`, an interpreter of another prefix."""
    root = tmp_path_factory.mktemp("installed")
    (root / "home").mkdir()
    package = root / where / "node_modules" / "agent"
    (package / "dist").mkdir(parents=True)
    (package / "dist" / "edit.py").write_text(EDIT)
    (package / "bin").mkdir()
    program = package / "bin" / "agent.py"
    program.write_text(
        "#!/usr/bin/env mypython\nimport runpy, pathlib\n"
        "runpy.run_path(str(pathlib.Path(__file__).resolve().parents[1] / 'dist' / 'edit.py'))\n"
    )
    links = root / where.rpartition("/")[0] / "bin"
    interpreters = root / "home" / ".versions" / "3" / "bin"
    for folder in (links, interpreters):
        folder.mkdir(parents=True)
    (links / "agent").symlink_to(os.path.relpath(program, links))
    (interpreters / "mypython").write_text(f'#!/bin/sh\nexec {sys.executable} -I "$@"\n')
    for file in (program, interpreters / "mypython"):
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("HOME", str(root / "home"))
    folders = [str(links), str(interpreters), str(Path(sys.executable).parent), os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(folders))
    # The fake interpreter's own is no first line of a script: it is named.
    config = AgentConfig(backend="command", command=["agent", sys.executable])
    replied = CommandLineAgent(config, rig.workplace).propose(BRIEF, rig.context)
    assert not isinstance(replied, NothingToAdd)
    assert proposed(replied).files == EDITED


def found(argv: Sequence[str], root: Path) -> Installation:
    search = str(root / "home" / ".local" / "bin")
    return installation_of(
        argv, workspace=root / "home" / "work", home=root / "home", search=search
    )


def test_a_home_is_no_installation(tmp_path: Path) -> None:
    """Of a program in `~/.local/bin` itself and its links are seen, no folder of the user's."""
    bin_folder = tmp_path / "home" / ".local" / "bin"
    versions = tmp_path / "home" / ".local" / "share" / "agent" / "versions"
    for folder in (bin_folder, versions, tmp_path / "home" / "work"):
        folder.mkdir(parents=True)
    (versions / "2.1").write_bytes(b"\x7fELF")
    (versions / "2.1").chmod(0o755)
    (bin_folder / "agent").symlink_to(versions / "2.1")
    for argument in (tmp_path, tmp_path / "home", tmp_path / "home" / "work"):
        seen = found(["agent", str(argument)], tmp_path)
        assert seen.readable == (versions / "2.1",)
        assert seen.links == ((bin_folder / "agent", str(versions / "2.1")),)
    extra = tmp_path / "home" / "tools"
    extra.mkdir()
    assert extra in found(["agent", str(extra)], tmp_path).readable


@pytest.mark.parametrize("folder", ["shims", "bin"])
def test_a_manager_of_versions_is_seen_whole(tmp_path: Path, folder: str) -> None:
    """Its scripts start what lies beside them."""
    manager = tmp_path / "home" / ".manager"
    (manager / folder).mkdir(parents=True)
    (manager / folder / "agent").write_text("#!/bin/sh\n")
    (manager / folder / "agent").chmod(0o755)
    argv = [str(manager / folder / "agent")]
    assert found(argv, tmp_path).readable == (manager,)


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    """A program that is not there needs nothing."""
    folder = tmp_path / "home" / ".local" / "bin"
    folder.mkdir(parents=True)
    (folder / "agent").symlink_to("other")
    (folder / "other").symlink_to("agent")
    assert found(["agent"], tmp_path) == Installation()
    (folder / "self").write_text(f"#!{folder / 'self'}\n")
    (folder / "self").chmod(0o755)
    assert found(["self"], tmp_path).readable == (folder / "self",)


def test_a_word_that_no_file_can_be_called_by_is_no_file(tmp_path: Path) -> None:
    """A shell's script may begin with a slash; the words after it are looked at all the same."""
    named = tmp_path / "settings"
    named.touch()
    argv = ["/bin/sh", "-c", "/bin/true " + "x" * 5000, "/bin/true; " + "y" * 300, str(named)]
    found = installation_of(argv, workspace=tmp_path / "w", home=tmp_path / "h", search="/bin")
    assert named in found.readable
