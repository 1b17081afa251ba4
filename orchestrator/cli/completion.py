"""Completion of commands and options in shells, made from the parser."""

import shlex
from collections.abc import Mapping

from orchestrator.cli.parser import Parser

SHELLS = ("bash", "zsh", "fish")
_PROGRAM = "autorl-daemon"
_BASH = """\
_autorl_daemon() {{
  local word command="" words="{commands}"
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$word" in -*) ;; *) command="$word"; break ;; esac
  done
  case "$command" in
{cases}
  esac
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _autorl_daemon {program}
"""


def script(shell: str, commands: Mapping[str, Parser]) -> str:
    """Return the script that teaches a shell the commands and their options.

    Args:
        shell: one of `SHELLS`.
        commands: each command's parser, by its name.
    """
    if shell == "fish":
        return _fish(commands)
    cases = "\n".join(
        f'    {name}) words="{" ".join(parser.words())}" ;;' for name, parser in commands.items()
    )
    text = _BASH.format(commands=" ".join(commands), cases=cases, program=_PROGRAM)
    return f"autoload -U +X bashcompinit && bashcompinit\n{text}" if shell == "zsh" else text


def _fish(commands: Mapping[str, Parser]) -> str:
    begin = f"complete -c {_PROGRAM}"
    lines = []
    for name, parser in commands.items():
        about = shlex.quote(parser.description or "")
        lines.append(f"{begin} -n __fish_use_subcommand -f -a {name} -d {about}")
        for word in parser.words():
            form = f"-l {word[2:]}" if word.startswith("--") else f"-a {word}"
            form = f"-s {word[1:]}" if len(word) == 2 and word[0] == "-" else form
            lines.append(f"{begin} -n '__fish_seen_subcommand_from {name}' {form}")
    return "\n".join(lines) + "\n"
