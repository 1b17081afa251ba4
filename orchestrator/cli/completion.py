"""Completion of commands and options in shells, made from the parser."""

import shlex
from collections.abc import Mapping

from orchestrator.cli.parser import Parser

SHELLS = ("bash", "zsh", "fish")
_PROGRAM = "autorl-daemon"
# Bash takes `--option=value` for three words.
_BASH = """\
_autorl_daemon() {{
  local word current="${{COMP_WORDS[COMP_CWORD]#=}}" option="" command="" words="{commands}"
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    if [ "$word" = "=" ]; then continue; fi
    if [ -n "$option" ]; then option=""; continue; fi
    case "$word" in
      {valued}) option="$word" ;;
      -*) ;;
      *) command="${{command:-$word}}" ;;
    esac
  done
  case "$command" in
{cases}
  esac
  if [ -n "$option" ]; then
    case "$command $option" in
{choices}
      *) words="" ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
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
    cases = [f'    {name}) words="{" ".join(each.words())}" ;;' for name, each in commands.items()]
    values = {(name, *pair) for name, each in commands.items() for pair in each.values()}
    text = _BASH.format(
        commands=" ".join(commands),
        cases="\n".join(cases),
        valued="|".join(sorted({option for _, option, _ in values})),
        choices="\n".join(
            f'      "{name} {option}") words="{" ".join(choices)}" ;;'
            for name, option, choices in sorted(values)
            if choices
        ),
        program=_PROGRAM,
    )
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
