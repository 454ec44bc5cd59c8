"""Completion scripts, made from the command tree. They are static: Python does not start at every TAB."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from vsipcheck.cli.output import write_stdout

# Parameters whose values are files.
_FILES = frozenset(
    (
        *("output", "state", "ticket", "report_file", "newer_file", "measured_by"),
        *("pbx_config", "config_files", "trace", "message_file"),
    )
)


@dataclass(frozen=True, slots=True)
class Values:
    """What can stand in one place: known words, file names, or both; neither where we cannot know."""

    words: tuple[str, ...] = ()
    files: bool = False


@dataclass(frozen=True, slots=True)
class OptionEntry:
    """One option. `values` is None for a flag."""

    names: tuple[str, ...]
    help: str
    values: Values | None
    repeatable: bool


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """One command: its path from the root ("", "all", "profile show"), and what can follow it."""

    path: str
    help: str
    options: tuple[OptionEntry, ...]
    arguments: tuple[Values, ...]
    commands: tuple[str, ...]  # the names of its subcommands

    @property
    def name(self) -> str:
        return self.path.rpartition(" ")[2]


def print_script(shell: str, command: Any) -> int:
    write_stdout(script_for(shell, command))
    return 0


def script_for(shell: str, command: Any) -> str:
    """The completion script of "bash", "zsh" or "fish" for typer's command tree."""
    tree = list(_entries(command, "", None))
    writers: dict[str, Callable[[list[CommandEntry]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    return writers[shell](tree)


def _entries(command: Any, path: str, parent: Any) -> Iterator[CommandEntry]:
    """The tree in depth-first order. Typer's classes are its own affair: only what click has always had is read."""
    context = command.make_context(path or "vsipcheck", [], parent=parent, resilient_parsing=True)
    options, arguments = [], []
    for parameter in command.get_params(context):
        if getattr(parameter, "hidden", False):
            continue
        if parameter.param_type_name == "argument":
            arguments.append(_values_of(parameter))
        else:
            names = tuple(sorted(parameter.opts, key=len, reverse=True))
            values = None if parameter.is_flag else _values_of(parameter)
            options.append(OptionEntry(names, _first_sentence(parameter.help), values, parameter.multiple))
    subcommands: dict[str, Any] = getattr(command, "commands", {})
    yield CommandEntry(path, _first_sentence(command.help), tuple(options), tuple(arguments), tuple(subcommands))
    for name, subcommand in subcommands.items():
        yield from _entries(subcommand, f"{path} {name}".strip(), context)


def _values_of(parameter: Any) -> Values:
    from vsipcheck.explanations import explained_ids
    from vsipcheck.profiles import DEFAULT_PROFILE, list_profiles, load_profile
    from vsipcheck.render import FORMATS
    from vsipcheck.sim import SCENARIOS

    if parameter.name == "profile":
        return Values(tuple(list_profiles()), files=True)
    if parameter.name == "format":
        return Values(tuple(FORMATS))
    if parameter.name == "scenario":
        return Values(tuple(SCENARIOS))
    if parameter.name == "finding_id":
        return Values(explained_ids())
    if parameter.name in _FILES:
        return Values(files=True)
    if parameter.name in ("fqdn", "primary"):
        return Values(tuple(pop.fqdn for pop in load_profile(DEFAULT_PROFILE).signalling.pops))
    return Values(tuple(getattr(parameter.type, "choices", ())))


def _first_sentence(text: str | None) -> str:
    return re.split(r"[.;:](?:\s|$)", (text or "").strip().replace("\n", " "), maxsplit=1)[0]


def _header(shell: str) -> str:
    return f"# {shell} completion for vsipcheck. Generated: vsipcheck completion {shell}\n"


def _bash(tree: list[CommandEntry]) -> str:
    by_path = {entry.path: entry for entry in tree}
    groups = [entry.path for entry in tree if entry.commands]
    # An option means the same wherever it is accepted, so that its values need not be told once for every command.
    takers: dict[str, Values] = {
        name: option.values
        for entry in tree
        for option in entry.options
        if option.values is not None
        for name in option.names
    }
    paths = [entry.path for entry in tree if entry.path]
    lines = [
        _header("bash"),
        "_vsipcheck() {",
        '    local current=${COMP_WORDS[COMP_CWORD]} previous="" path="" next="" words="" files="" index',
        "    ((COMP_CWORD > 0)) && previous=${COMP_WORDS[COMP_CWORD - 1]}",
        "    # bash splits --option=value at the equals sign.",
        "    if [[ $current == '=' ]]; then",
        '        current=""',
        "    elif [[ $previous == '=' ]]; then",
        "        previous=${COMP_WORDS[COMP_CWORD - 2]}",
        "    fi",
        "    for ((index = 1; index < COMP_CWORD; index++)); do",
        "        case ${COMP_WORDS[index]} in",
        f"            {' | '.join(sorted(takers))})",
        '                [[ ${COMP_WORDS[index + 1]} == "=" ]] && ((index++))',
        "                ((index++))",
        "                continue",
        "                ;;",
        "        esac",
        '        next="$path ${COMP_WORDS[index]}"',
        "        case ${next# } in",
        f"            {' | '.join(_quoted_bash(path) for path in paths)})",
        "                path=${next# }",
        "                ;;",
        "        esac",
        "    done",
        "    case $previous in",
    ]
    for values in dict.fromkeys(takers.values()):
        names = " | ".join(sorted(name for name, its in takers.items() if its == values))
        lines += [f"        {names})", *_bash_values(values, 12), "            ;;"]
    lines += [
        "        *)",
        "            if [[ $current == -* ]]; then",
        "                case $path in",
    ]
    for entry in tree:
        words = " ".join(name for option in entry.options for name in option.names)
        lines.append(f"                    {_quoted_bash(entry.path)}) words='{words}' ;;")
    lines += ["                esac", "            else", "                case $path in"]
    for entry in tree:
        following = Values(by_path[entry.path].commands) if entry.path in groups else _first(entry.arguments)
        if following.words or following.files:
            lines += [f"                    {_quoted_bash(entry.path)})"]
            lines += [*_bash_values(following, 24), "                        ;;"]
    lines += [
        "                esac",
        "            fi",
        "            ;;",
        "    esac",
        "    COMPREPLY=()",
        "    while IFS= read -r index; do",
        '        COMPREPLY+=("$index")',
        '    done < <(compgen -W "$words" -- "$current"; [[ -n $files ]] && compgen -f -- "$current")',
        "    [[ -n $files ]] && compopt -o filenames 2>/dev/null",
        "    return 0",
        "}",
        "complete -F _vsipcheck vsipcheck",
        "",
    ]
    return "\n".join(lines)


def _bash_values(values: Values, indent: int) -> list[str]:
    lines = []
    if values.words:
        lines.append(f"words='{' '.join(values.words)}'")
    if values.files:
        lines.append("files=1")
    return [" " * indent + line for line in lines or [":"]]


def _quoted_bash(text: str) -> str:
    return f"'{text}'"


def _first(arguments: tuple[Values, ...]) -> Values:
    return arguments[0] if arguments else Values()


def _zsh(tree: list[CommandEntry]) -> str:
    lines = ["#compdef vsipcheck", _header("zsh")]
    for entry in reversed(tree):
        function = _zsh_function(entry.path)
        lines.append(f"{function}() {{")
        if entry.commands:
            lines += ["    local curcontext=$curcontext state line", "    local -a commands"]
        lines.append(f"    _arguments -S{' -C' if entry.commands else ''} \\")
        specs = [spec for option in entry.options for spec in _zsh_option(option)]
        if entry.commands:
            specs += ["'1: :->command'", "'*:: :->argument'"]
        specs += [f"'{at}: :{_zsh_action(values)}'" for at, values in enumerate(entry.arguments, start=1)]
        lines += [f"        {spec} \\" for spec in specs[:-1]]
        lines.append(f"        {specs[-1]}")
        if entry.commands:
            children = [child for child in tree if child.path == f"{entry.path} {child.name}".strip() and child.path]
            lines += ["    case $state in", "        command)", "            commands=("]
            lines += [f"                '{child.name}:{_zsh_escaped(child.help)}'" for child in children]
            lines += ["            )", "            _describe -t commands command commands", "            ;;"]
            lines += ["        argument)", "            case $words[1] in"]
            lines += [f"                {child.name}) {_zsh_function(child.path)} ;;" for child in children]
            lines += ["            esac", "            ;;", "    esac"]
        lines += ["}", ""]
    lines += [
        "# Autoloaded from $fpath, the file is the body of the function; sourced, it registers it.",
        "if [[ $funcstack[1] == _vsipcheck ]]; then",
        '    _vsipcheck "$@"',
        "else",
        "    compdef _vsipcheck vsipcheck",
        "fi",
        "",
    ]
    return "\n".join(lines)


def _zsh_function(path: str) -> str:
    return "_vsipcheck" + "".join(f"_{part}" for part in path.split())


def _zsh_option(option: OptionEntry) -> Iterator[str]:
    others = "" if option.repeatable else f"({' '.join(option.names)})"
    for name in option.names:
        star = "*" if option.repeatable else ""
        # `=` behind the name: the value may follow with a space or an equals sign.
        joined = "=" if option.values is not None and name.startswith("--") else ""
        value = "" if option.values is None else f": :{_zsh_action(option.values)}"
        yield f"'{others}{star}{name}{joined}[{_zsh_escaped(option.help)}]{value}'"


def _zsh_action(values: Values) -> str:
    words = f"({' '.join(values.words)})"
    if values.words and values.files:
        return f'{{_alternative "words\\: \\:{words}" "files\\: \\:_files"}}'
    return words if values.words else "_files" if values.files else " "


def _zsh_escaped(text: str) -> str:
    return re.sub(r"([\[\]:\\])", r"\\\1", text).replace("'", "'\\''")


def _fish(tree: list[CommandEntry]) -> str:
    lines = [_header("fish"), "complete -c vsipcheck -f"]
    by_path = {entry.path: entry for entry in tree}
    for entry in tree:
        condition = _fish_condition(entry, by_path)
        for name in entry.commands:
            child = by_path[f"{entry.path} {name}".strip()]
            lines.append(f"complete -c vsipcheck -n {condition} -a {name} -d {_fish_quoted(child.help)}")
        for option in entry.options:
            parts = [f"complete -c vsipcheck -n {condition}"]
            for name in option.names:
                # -4 is a short option; fish calls `-long` an old one, of which there is none.
                parts.append(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}")
            if option.values is not None:
                parts.append("-r -F" if option.values.files else "-x")
                if option.values.words:
                    parts.append(f"-a {_fish_quoted(' '.join(option.values.words))}")
            parts.append(f"-d {_fish_quoted(option.help)}")
            lines.append(" ".join(parts))
        for values in entry.arguments:
            if values.words or values.files:
                files = " -F" if values.files else ""
                words = f" -a {_fish_quoted(' '.join(values.words))}" if values.words else ""
                lines.append(f"complete -c vsipcheck -n {condition}{files}{words}")
    return "\n".join([*lines, ""])


def _fish_condition(entry: CommandEntry, by_path: dict[str, CommandEntry]) -> str:
    """True once the words so far name this command, and none of its subcommands."""
    if not entry.path:
        return "__fish_use_subcommand"
    seen = [f"__fish_seen_subcommand_from {name}" for name in entry.path.split()]
    if entry.commands:
        seen.append(f"not __fish_seen_subcommand_from {' '.join(entry.commands)}")
    return _fish_quoted("; and ".join(seen))


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
