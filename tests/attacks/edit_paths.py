"""Hostile replies: paths and bodies that lead elsewhere than to the two files.

Each is first applied as the public loops apply replies, trusting the path, in a folder of its own,
and must do harm there. `read_reply` must then refuse it whole, or use it for what it names.
"""

import contextlib
import glob
import os
import re
import shutil
import tempfile
import unicodedata
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.errors import EditError
from orchestrator.core.records import Files, Reply
from orchestrator.proposals.reply import read_reply
from tests.attacks.template import ENV, TRAIN

CURRENT = Files(env=ENV, train=TRAIN)
_BODY = TRAIN.replace("0.05", "0.04")
_NAMED = re.compile(
    r"^([^\n]+?(?:\n[^\n`~]+)?)\n(?:````|~~~~)[^\n]*\n(.*?)^(?:````|~~~~)$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Edit:
    """A hostile reply."""

    name: str
    path: str
    """What stands before the fence."""
    code: str = "path_not_allowed"
    """The `EditError` it must end in; empty if it may only do what `path` plainly means."""
    body: str = _BODY
    info: str = "python"
    harmless: bool = False
    """An odd spelling of the right file: harmless even where it is believed."""
    before: str = ""
    """Other text of the reply, put first."""

    @property
    def text(self) -> str:
        block = f"{self.path}\n````{self.info}\n{self.body}````\n"
        return f"description: a change\n\n{self.before}{block}"


EDITS = (
    Edit("parent", "../outside.py"),
    Edit("parent-from-candidate", "candidate/../outside.py"),
    Edit("parent-of-file", "candidate/env.py/../../outside.py"),
    Edit("parents", "candidate/../../../../../../outside.py"),
    Edit("absolute", "@ROOT@/home/.bashrc"),
    Edit("absolute-twin", "/candidate/train.py"),
    Edit("file-url", "file:///candidate/train.py"),
    Edit("home", "~/.bashrc"),
    Edit("environment-variable", "$HOME/.bashrc"),
    Edit("environment-variable-in-braces", "${HOME}/candidate/train.py"),
    Edit("percent-encoded", "candidate%2F..%2Foutside.py"),
    Edit("percent-encoded-dots", "candidate/%2e%2e/outside.py"),
    Edit("evaluator", "framework.py"),
    Edit("configuration", "config.yaml"),
    Edit("program", "program.md"),
    Edit("git-hook", ".git/hooks/pre-commit"),
    Edit("git-config", "candidate/../.git/config"),
    Edit("ledger", ".autorl/ledger.sqlite"),
    Edit("package-init", "candidate/__init__.py"),
    Edit("sibling", "candidate/train.pyc"),
    Edit("conftest", "conftest.py"),
    Edit("case", "Candidate/Train.py"),
    Edit("case-of-file", "candidate/TRAIN.PY"),
    Edit("dotless-i", "cand\u0131date/train.py"),
    Edit("cyrillic", "\u0441\u0430ndidate/train.py"),
    Edit("cyrillic-in-name", "candidate/tr\u0430in.py"),
    Edit("greek-question-mark", "candidate/train.py\u037e"),
    Edit("fullwidth", "\uff43andidate/train.py"),
    Edit("fullwidth-slash", "candidate\uff0ftrain.py"),
    Edit("division-slash", "candidate\u2215train.py"),
    Edit("one-dot-leader", "candidate/train\u2024py"),
    Edit("decomposed", "candida\u0301te/train.py"),
    Edit("zero-width", "candidate/train\u200b.py"),
    Edit("bidi", "candidate/\u202eyp.niart"),
    Edit("soft-hyphen", "candi\u00addate/train.py"),
    Edit("no-break-space", "candidate/train.py ", code="", harmless=True),
    Edit("trailing-dot", "candidate/train.py."),
    Edit("trailing-dots", "candidate/train.py..."),
    Edit("trailing-slash", "candidate/train.py/", harmless=True),
    Edit("doubled-slash", "candidate//train.py", harmless=True),
    Edit("leading-dot", "./candidate/train.py", harmless=True),
    Edit("dot-inside", "candidate/./train.py", harmless=True),
    Edit("backslash", "candidate\\train.py", harmless=True),
    Edit("backslash-parent", "..\\..\\outside.py"),
    Edit("drive", "C:\\candidate\\train.py"),
    Edit("drive-with-slash", "c:/candidate/train.py"),
    Edit("share", "\\\\server\\share\\train.py"),
    Edit("stream", "candidate/train.py:evil"),
    Edit("device-name", "candidate/train.py::$DATA"),
    Edit("nul", "candidate/train.py\0.txt"),
    Edit("nul-first", "candidate/\0../outside.py"),
    Edit("carriage-return", "candidate/train.py\r../outside.py", code="block_missing"),
    Edit("escape", "candidate/train.py\x1b[2K"),
    Edit("glob", "candidate/*.py"),
    Edit("braces", "candidate/{env,train}.py"),
    Edit("question-mark", "candidate/train.p?", harmless=True),
    Edit("single-quotes", "'candidate/train.py'", harmless=True),
    Edit("double-quotes", '"../outside.py"'),
    Edit("brackets", "<../outside.py>"),
    Edit("substitution", "candidate/$(touch outside.py)train.py"),
    Edit("semicolon", "candidate/train.py; rm -rf ."),
    Edit("pipe", "candidate/train.py|outside.py"),
    Edit("two-names", "candidate/train.py candidate/../outside.py"),
    Edit("arrow", "candidate/train.py -> ../outside.py"),
    Edit("long", "candidate/" + "a/" * 3000 + "train.py"),
    Edit("heading", "## ../outside.py"),
    Edit("bold", "**../outside.py**"),
    Edit("backticks", "`../outside.py`"),
    Edit("good-and-bad", "../outside.py", before=f"candidate/train.py\n````\n{_BODY}````\n\n"),
    Edit("info-string", "candidate/train.py", info="python ../outside.py", harmless=True),
    Edit("info-alone", "Here it is, see", info="python title=../outside.py"),
    Edit("newline", "candidate/train.py\n../outside.py", code="block_missing"),
    Edit("newline-first", "../outside.py\ncandidate/train.py", code="", harmless=True),
    Edit("form-feed", "../outside.py\fcandidate/train.py"),
    Edit("line-separator", "../outside.py\u2028candidate/train.py"),
    # Bodies.
    Edit("oversize", "candidate/train.py", code="too_large", body=_BODY + "#" * (1 << 20) + "\n"),
    Edit("no-text", "candidate/train.py", code="encoding", body=_BODY + "# \ud800\n"),
    Edit("null-in-body", "candidate/train.py", code="encoding", body=_BODY + "# \0\n"),
    Edit("deep", "candidate/train.py", code="syntax_error", body=_BODY + "x = " + "(" * 5000 + ")" * 5000 + "\n"),
    Edit("twice", "candidate/train.py", code="ambiguous", before=f"candidate/train.py\n````\n{TRAIN.replace('0.05', '0.03')}````\n\n"),
)  # fmt: skip


def refused(edit: Edit) -> str:
    """Return what is wrong with how `read_reply` takes the reply, empty if nothing is."""
    try:
        proposal = read_reply(Reply(edit.text), CURRENT)
    except EditError as error:
        return "" if error.code == edit.code else f": {error.code}, not {edit.code or 'accepted'}"
    if edit.code:
        return f": accepted, not {edit.code}"
    return "" if proposal.files == Files(ENV, edit.body) else ": another edit than it names"


def applied(edit: Edit) -> str:
    """Apply the reply as the public loops do; return the harm, empty if there was none."""
    with _folder() as root:
        text = edit.text.replace("@ROOT@", str(root))
        before = _contents(root)
        try:
            elsewhere = _apply_naively(root, text)
        except (OSError, ValueError, SyntaxError, RecursionError, MemoryError) as error:
            return f"the loop died of {type(error).__name__}"
        if elsewhere:
            return f"would have written {elsewhere[:100]!r}"
        after = _contents(root)
    harm = [p for p in before | after if before.get(p) != after.get(p)]
    allowed = {"workspace/candidate/train.py"}
    bodies = {TRAIN.encode(), _BODY.encode()}
    if set(harm) <= allowed and all(after.get(p) in bodies for p in harm) and edit.name != "twice":
        return ""
    return f"wrote {harm}"


def _apply_naively(root: Path, text: str) -> str:
    """Write every named block, reading the name as generously as the public loops do.

    Returns the first path outside of `root`, where nothing is written.
    """
    workspace = root / "workspace"
    for name, body in _NAMED.findall(text):
        path = name.strip().split("\n")[-1].strip("*`#<>'\" ")
        path = os.path.expandvars(os.path.expanduser(urllib.parse.unquote(path)))
        path = path.replace("file://", "").replace("\\", "/")
        for target in glob.glob(path, root_dir=workspace) or [path]:
            place = os.path.normpath(workspace / unicodedata.normalize("NFC", target))
            if not place.startswith(f"{root}/"):
                return place
            Path(place).parent.mkdir(parents=True, exist_ok=True)
            Path(place).write_text(body)
            compile(body, place, "exec")
    return ""


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A home and a workspace deep in a folder of their own, so that parents lead nowhere else."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        workspace = root / "workspace"
        for folder in (root / "home", workspace / "candidate", workspace / ".git" / "hooks"):
            folder.mkdir(parents=True)
        (root / "home" / ".bashrc").write_text("alias ll='ls -l'\n")
        (workspace / ".git" / "config").write_text("[core]\n")
        (workspace / "framework.py").write_text("EVALUATOR_PROTOCOL = 1\n")
        for file, content in (("env.py", ENV), ("train.py", TRAIN)):
            (workspace / "candidate" / file).write_text(content)
        home = os.environ.get("HOME")
        os.environ["HOME"] = str(root / "home")
        try:
            yield root
        finally:
            if home is None:
                del os.environ["HOME"]
            else:
                os.environ["HOME"] = home
            shutil.rmtree(root / "workspace", ignore_errors=True)


def _contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }
