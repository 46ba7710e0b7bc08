"""`pawl completion SHELL`: the shell's own script, made from the parser, so that it cannot lag behind the commands."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass

PROGRAM = "pawl"


@dataclass(frozen=True, slots=True)
class Command:
    """A command as a shell completes it: its meaning, its options with theirs, and the words its argument may be.

    `valued` are the options that a value follows.
    """

    name: str
    help: str
    options: Mapping[str, str]
    valued: frozenset[str]
    words: tuple[str, ...]


def commands_of(parser: argparse.ArgumentParser) -> list[Command]:
    """The commands of a parser with subparsers; the options before a command come first, under no name."""
    found = [_command("", "", parser)]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            found += [_command(name, helps.get(name, ""), each) for name, each in action.choices.items()]
    return found


def _command(name: str, meaning: str, parser: argparse.ArgumentParser) -> Command:
    options = {option: action.help or "" for action in parser._actions for option in action.option_strings}
    valued = {option for action in parser._actions if action.nargs != 0 for option in action.option_strings}
    words = [
        str(word)
        for action in parser._actions
        if not action.option_strings and not isinstance(action, argparse._SubParsersAction)
        for word in action.choices or ()
    ]
    return Command(name, meaning, options, frozenset(valued), tuple(words))


def bash(commands: list[Command]) -> str:
    """A completion script for bash."""
    own, *others = commands
    cases = "\n".join(f'    {each.name}) words="{" ".join([*each.words, *each.options])}"; break ;;' for each in others)
    valued = "|".join(sorted(frozenset().union(*(each.valued for each in commands))))
    return f"""# {PROGRAM} completion for bash: source <({PROGRAM} completion bash)
_{PROGRAM}() {{
  local words="{" ".join([*(each.name for each in others), *own.options])}" at
  for ((at = 1; at < COMP_CWORD; at++)); do
    case ${{COMP_WORDS[at]}} in
    {valued}) ((at++)) ;;
{cases}
    esac
  done
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _{PROGRAM} {PROGRAM}
"""


def zsh(commands: list[Command]) -> str:
    """A completion script for zsh."""
    own, *others = commands
    named = "\n".join(f"    {_quoted(f'{each.name}:{each.help}')}" for each in others)
    cases = "\n".join(f"      {each.name}) _arguments {' '.join(_zsh_arguments(each))} ;;" for each in others)
    return f"""#compdef {PROGRAM}
# {PROGRAM} completion for zsh: source <({PROGRAM} completion zsh)
_{PROGRAM}() {{
  local -a named=(
{named}
  )
  local line state
  _arguments -C {" ".join(_zsh_options(own))} '1: :->command' '*:: :->words'
  case $state in
    command) _describe command named ;;
    words)
      case $line[1] in
{cases}
      esac ;;
  esac
}}
compdef _{PROGRAM} {PROGRAM}
"""


def fish(commands: list[Command]) -> str:
    """A completion script for fish."""
    own, *others = commands
    begin, first = f"complete -c {PROGRAM}", "-n __fish_use_subcommand"
    lines = [f"# {PROGRAM} completion for fish: {PROGRAM} completion fish | source", f"{begin} -f"]
    lines += [f"{begin} {option}" for option in _fish_options(own, {})]
    for each in others:
        within = f"-n '__fish_seen_subcommand_from {each.name}'"
        lines.append(f"{begin} {first} -a {each.name} -d {_quoted(each.help)}")
        lines += [f"{begin} {within} -a {_quoted(' '.join(each.words))}"] if each.words else []
        lines += [f"{begin} {within} {option}" for option in _fish_options(each, own.options)]
    return "\n".join(lines) + "\n"


SHELLS: Mapping[str, Callable[[list[Command]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}


def _zsh_arguments(command: Command) -> list[str]:
    words = [_quoted(f"1:word:({' '.join(command.words)})")] if command.words else []
    return [*_zsh_options(command), *words, "'*:word:()'"]  # without the last, no option follows an argument


def _zsh_options(command: Command) -> list[str]:
    escapes = str.maketrans({":": "\\:", "[": "\\[", "]": "\\]"})
    return [
        _quoted(f"{option}[{does.translate(escapes)}]{':value:' if option in command.valued else ''}")
        for option, does in command.options.items()
    ]


def _fish_options(command: Command, known: Mapping[str, str]) -> list[str]:
    """The options that are not known already."""
    return [
        f"{'-r ' if option in command.valued else ''}{'-l' if option.startswith('--') else '-s'} {option.lstrip('-')}"
        f" -d {_quoted(does)}"
        for option, does in command.options.items()
        if option not in known
    ]


def _quoted(text: str) -> str:
    """Text as one word of any of these shells, which all take a quote differently: a quote in it is left out."""
    return "'" + text.replace("'", "") + "'"
