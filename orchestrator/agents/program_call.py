"""Calls a program: finds it, gives it a home and an environment, confines it, and runs it."""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator.agents import bubblewrap
from orchestrator.agents.check_desk import CheckDesk
from orchestrator.agents.installation import installation_of
from orchestrator.agents.program_run import Ended, Limits, ProgramRun, Started
from orchestrator.agents.programs.known import INSTALL
from orchestrator.agents.programs.program import Call, Place, Program, Said
from orchestrator.agents.workplace import TurnFolder, Workplace
from orchestrator.config.endpoints import AgentConfig
from orchestrator.core.errors import UserError
from orchestrator.core.text import without_passwords

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_CERTIFICATES = (
    "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
)  # fmt: skip
_KEPT = ("PATH", "LANG", "LC_ALL", *_PROXIES, *map(str.lower, _PROXIES), *_CERTIFICATES)
"""Of the daemon's environment: what any program needs to run here and to reach the network."""
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
_LEAST_SECRET = 8
_DEFAULT_KEY = AgentConfig().api_key_env
_KEYS_NAMED = 3
VERSION_S = 20.0
_VERSION_CHARS = 2000


class ProgramCaller:
    """The configured program, ready to be called."""

    def __init__(
        self,
        config: AgentConfig,
        workplace: Workplace,
        environment: Mapping[str, str],
        program: Program,
    ) -> None:
        """Check that it is there, without starting it.

        Raises:
            UserError: it is not installed, or not configured.
        """
        self._config, self._workplace, self._environment = config, workplace, environment
        self.program = program
        self.name = config.name or ":".join(filter(None, [config.backend, config.model]))
        if config.backend == "command" and not config.command:
            raise UserError(
                "agent.command is missing: the program and its arguments, as in "
                "command: [./my-agent, --quiet]; it gets the prompt as its standard input"
            )
        unset = [name for name in config.env if name not in environment]
        if unset:
            raise UserError(f"agent.env names ${unset[0]}, which is not set: set it, or drop it")
        self._check_installed()

    @property
    def confinement(self) -> bubblewrap.Confinement:
        """Whether it is confined, and by what."""
        if self._config.sandbox == "off":
            return bubblewrap.Confinement(False, "unconfined (agent.sandbox: off)")
        return bubblewrap.examine()

    @property
    def key_names(self) -> Sequence[str]:
        """The variables that may hold its key: those that are set, else some that could be."""
        if self._config.api_key_env not in {_DEFAULT_KEY, *self.program.needs}:
            return (self._config.api_key_env,)
        given = [name for name in self.program.needs if self._environment.get(name)]
        return given or self.program.needs[:_KEYS_NAMED]

    @property
    def lacks_key(self) -> bool:
        """Has it, as it is configured, neither a key nor a login nor an endpoint of the user's?"""
        config = self._config
        names = {config.api_key_env, *self.program.needs, *config.env}
        is_given = any(self._environment.get(name, "").strip() for name in names)
        return bool(self.program.needs) and not (
            is_given or config.base_url is not None or config.home == "user"
        )

    def run(
        self,
        folder: TurnFolder,
        prompt: str,
        desk: CheckDesk | None = None,
        whole_s: float = float("inf"),
    ) -> Ended:
        """Run one turn to its end, within `whole_s` and the configured limit.

        Raises:
            OSError, MemoryError: it can't be started now.
        """
        place = self._place(folder)
        call = self.program.call(self._config, place, self._environment)
        if place.has_own_home:
            for name, text in call.settings.items():
                file = folder.home / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
                file.chmod(0o600)
        if call.prompt_file is not None:
            (folder.work / call.prompt_file).write_text(prompt, encoding="utf-8", errors="replace")
            prompt = ""
        folder.remember()
        silence_s = self._config.silence_s if self.program.streams else None
        limits = Limits(min(self._config.time_limit_s, whole_s), silence_s)
        started = self._started(call, place, folder, prompt)
        ended = ProgramRun(started, limits, self.program.output(), desk).finish()
        return self._redacted(ended, call)

    def version(self) -> str:
        """Call `PROGRAM --version` as a turn is called. Raises `UserError`: it tells none."""
        output = _Printed()
        with TurnFolder(Path(self._workplace.state)) as folder:
            place = self._place(folder)
            call = self.program.call(self._config, place, self._environment)
            folder.remember()
            started = self._started(replace(call, argv=(call.argv[0], "--version")), place, folder)
            ended = ProgramRun(started, Limits(VERSION_S, None), output).finish()
        text = output.text + "\n" + ended.stderr
        version = self.program.version(text)
        if version is None:
            why = ended.killed or (text.strip().splitlines() or ["it said nothing"])[-1]
            hint = "; confined: agent.sandbox: off runs it unconfined" if place.is_confined else ""
            raise UserError(f"`{call.argv[0]} --version` tells no version: {why:.300}{hint}")
        return version

    def _check_installed(self) -> None:
        nowhere = Path("/")
        call = self.program.call(
            self._config, Place(nowhere, nowhere, self._has_own_home), self._environment
        )
        name = self._at_workspace(call.argv)[0]
        path = self._environment.get("PATH", os.defpath)
        if shutil.which(name, path=path) is None:
            backend = self._config.backend
            hint = f"install it (`{INSTALL[backend]}`)" if backend in INSTALL else "name another"
            what = f"is not installed (PATH is {path})"
            if os.sep in name:  # it is not searched for
                what = "is not executable" if Path(name).exists() else "does not exist"
            raise UserError(f"agent.backend {backend}: {name} {what}: {hint}")

    @property
    def _has_own_home(self) -> bool:
        return self._config.home == "own"

    def _place(self, folder: TurnFolder) -> Place:
        home = folder.home if self._has_own_home else _users_home()
        confinement = self.confinement
        if not confinement.is_on and self._config.sandbox != "off" and self._workplace.must_confine:
            bubblewrap.examine.cache_clear()  # memory or processes may be short for a while
            raise OSError(f"{confinement.says}; it did before, and no turn goes without")
        return Place(folder.work, home, self._has_own_home, confinement.is_on)

    def _started(self, call: Call, place: Place, folder: TurnFolder, prompt: str = "") -> Started:
        kept = {name: self._environment[name] for name in _KEPT if name in self._environment}
        own = {"TERM": "dumb", "HOME": str(place.home), "TMPDIR": str(folder.tmp)}
        named = {name: self._environment[name] for name in self._config.env}
        environment = {"PATH": os.defpath} | kept | own | dict(call.environment) | named
        argv = self._at_workspace(call.argv)
        if place.is_confined:
            argv = self._confined(argv, place, folder, environment)
        return Started(argv, environment, folder.work, prompt)

    def _confined(
        self, argv: Sequence[str], place: Place, folder: TurnFolder, environment: Mapping[str, str]
    ) -> list[str]:
        certificates = [environment[name] for name in _CERTIFICATES if name in environment]
        workspace = Path(self._workplace.workspace)
        installation = installation_of(
            [*argv, *certificates],
            workspace=workspace,
            home=_users_home(),
            search=environment["PATH"],
        )
        homes = [place.home]
        if not place.has_own_home and self.program.login:
            homes = [place.home / path for path in self.program.login]
        return bubblewrap.confined(
            argv,
            installation,
            hidden=workspace,
            folder=folder.work,
            temporary=folder.tmp,
            read_only=folder.to_read(),
            writable=[folder.work, folder.tmp, *homes],
        )

    def _at_workspace(self, argv: Sequence[str]) -> list[str]:
        """Return a call in which `./` and `../` begin at the workspace, as for a person."""
        root = Path(self._workplace.workspace)
        return [
            os.path.normpath(root / word) if word.startswith(("./", "../")) else word
            for word in argv
        ]

    def _redacted(self, ended: Ended, call: Call) -> Ended:
        named = [*self.program.needs, *self._config.env, self._config.api_key_env]
        secrets = [self._environment.get(name, "") for name in named]
        secrets += [value for name, value in call.environment.items() if _SECRET_NAME.search(name)]
        secrets = [value for value in secrets if len(value) >= _LEAST_SECRET]

        def plain(text: str) -> str:
            for value in secrets:
                text = text.replace(value, "[key]")
            return without_passwords(text)

        said = ended.said
        said = replace(said, text=plain(said.text), error=plain(said.error))
        return replace(ended, said=said, stderr=plain(ended.stderr))


def _users_home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # no $HOME, and a user that the system does not know
        return Path("/nonexistent")


class _Printed:
    """The beginning of what a program prints."""

    is_over = False

    def __init__(self) -> None:
        self.text = ""

    def feed(self, line: bytes) -> None:
        """Take a line."""
        if len(self.text) < _VERSION_CHARS:
            self.text += line[:_VERSION_CHARS].decode(errors="replace") + "\n"

    def said(self, exit_code: int | None, stderr: str) -> Said:  # noqa: ARG002 - the Protocol's
        """Return all of it."""
        return Said(self.text)
