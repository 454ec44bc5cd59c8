"""The completion scripts are those of the command tree, and the shells understand them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.conftest import Ended

FOLDER = Path(__file__).parents[2] / "completions"
FILES = {"bash": FOLDER / "vsipcheck.bash", "zsh": FOLDER / "_vsipcheck", "fish": FOLDER / "vsipcheck.fish"}

BASH = """
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_vsipcheck
((${#COMPREPLY[@]})) && printf '%s\\n' "${COMPREPLY[@]}"
true
"""

# Completion of zsh works in an interactive shell only: one in a pseudo-terminal, whose compadd also writes what it adds
# to a file. $1: folder of the script, $2: line, $3: file for the matches.
ZSH = r"""
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PROMPT= RPROMPT=; source =(<<'SETUP'
fpath=($1 \$fpath)
autoload -Uz compinit; compinit -D -u
compadd() {
    local -a found
    if [[ \" \${(j: :)@} \" != *' -'(O|A|D)' '* ]]; then
        builtin compadd -A found \"\$@\"
        (( \${#found} )) && print -rl -- \$found >> $3
    fi
    builtin compadd \"\$@\"
}
finish() { print -r -- END >> $3; exit }
comppostfuncs=(finish)
bindkey '^I' complete-word
SETUP
)"
zpty -w -n shell "$2"$'\t'
while zpty -r shell line; do :; done
zpty -d shell
"""


def words(shell: str, line: str, tmp_path: Path) -> set[str]:
    """What TAB offers at the end of `line`."""
    if shutil.which(shell) is None:
        missing = f"{shell} is not installed: `tests/run` installs it as root on Debian"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    file = FILES[shell]
    if shell == "bash":
        command = ["bash", "--norc", "-c", BASH, "bash", str(file), *line.split(" ")]
    elif shell == "fish":
        command = ["fish", "--no-config", "-c", f"source {file}; complete -C '{line}'"]
    else:
        matches = tmp_path / "matches"
        subprocess.run(["zsh", "-f", "-c", ZSH, "zsh", str(FOLDER), line, str(matches)], timeout=60, check=False)
        found = matches.read_text().splitlines()
        assert found.pop() == "END"
        return set(found)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    return {offered.split("\t")[0] for offered in ended.stdout.splitlines()}


@pytest.mark.parametrize("shell", FILES)
def test_the_file_is_what_the_command_prints(vsipcheck: Callable[..., Ended], shell: str) -> None:
    ended = vsipcheck("completion", shell)
    assert (ended.code, ended.err) == (0, "")
    assert FILES[shell].read_text() == ended.out, f"run: vsipcheck completion {shell} > completions/{FILES[shell].name}"


@pytest.mark.parametrize("shell", FILES)
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        (
            "vsipcheck ",
            {
                "all",
                "dns",
                "sip",
                "media",
                "nat",
                "path",
                "pbx",
                "config",
                "message",
                "exporter",
                "demo",
                "explain",
                "schema",
                "completion",
                "profile",
                "show",
                "diff",
                "history",
                "timer",
            },
        ),
        ("vsipcheck al", {"all"}),
        ("vsipcheck --v", {"--version"}),
        ("vsipcheck all --fo", {"--format"}),
        ("vsipcheck all --format ", {"terminal", "json", "nagios", "prometheus", "junit", "markdown", "html"}),
        ("vsipcheck exporter ", {"rules", "dashboard"}),
        ("vsipcheck all --primary pstn.in4", {"pstn.in4.exotel.com"}),
        ("vsipcheck all --source demo --sw", {"--sweep"}),
        ("vsipcheck dns --po", set()),
        ("vsipcheck demo cgnat-o", {"cgnat-on-interface"}),
        ("vsipcheck demo --fqd", set()),
        ("vsipcheck profile ", {"list", "show", "check"}),
        ("vsipcheck profile show exo", {"exotel-tcp-mumbai"}),
        ("vsipcheck all --profile exo", {"exotel-tcp-mumbai"}),
        ("vsipcheck completion ", {"bash", "zsh", "fish"}),
        ("vsipcheck explain media.", {"media.egress", "media.return"}),
    ],
)
def test_the_shell_offers(shell: str, line: str, offered: set[str], tmp_path: Path) -> None:
    assert words(shell, line, tmp_path) == offered


def test_bash_completes_behind_an_equals_sign(tmp_path: Path) -> None:
    assert words("bash", "vsipcheck all --format = js", tmp_path) == {"json"}
    assert words("bash", "vsipcheck all --format = json --stri", tmp_path) == {"--strict"}


def test_bash_offers_files_with_spaces_whole(tmp_path: Path) -> None:
    (tmp_path / "a report.json").touch()
    assert words("bash", "vsipcheck all -o a", tmp_path) == {"a report.json"}
