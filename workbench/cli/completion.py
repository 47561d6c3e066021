"""The scripts with which bash, zsh and fish complete `dlwb`, and where they go. They ask `workbench.cli.complete` at each tab."""

import os
import sys
from pathlib import Path

import typer

from workbench.cli.printing import put, tell
from workbench.problems import Problem

# Each gives the words up to the cursor, one a line, and where in them the cursor is. What ends in =, . or : goes on, so no space follows.
BASH = r"""
_dlwb_completion() {
    local IFS=$'\n'
    mapfile -t COMPREPLY < <(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" _DLWB_COMPLETE=complete_bash "$1" 2>/dev/null)
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=.:] ]] && compopt -o nospace
}
complete -o default -F _dlwb_completion dlwb
"""
ZSH = r"""
#compdef dlwb
_dlwb_completion() {
    local -a lines open
    local typed="${(pj:\n:)words[1,CURRENT]}"
    lines=("${(@f)$(COMP_WORDS="$typed" COMP_CWORD=$((CURRENT - 1)) _DLWB_COMPLETE=complete_zsh "$words[1]" 2>/dev/null)}")
    [[ -z $lines[1] ]] && { _files; return }
    open=(${(M)lines:#*[=.](|:*)})
    lines=(${lines:#*[=.](|:*)})
    (( $#open )) && _describe -V dlwb open -S ''
    (( $#lines )) && _describe -V dlwb lines
}
if [[ $funcstack[1] == _dlwb ]]; then
    _dlwb_completion "$@"
else
    compdef _dlwb_completion dlwb
fi
"""
FISH = r"""
function __dlwb_completion
    set -l current (commandline -ct)
    set -l words (commandline -opc) "$current"
    set -lx COMP_WORDS (string join \n -- $words | string collect)
    set -lx COMP_CWORD (math (count $words) - 1)
    set -lx _DLWB_COMPLETE complete_fish
    set -l lines ($words[1] 2>/dev/null)
    if test (count $lines) -gt 0
        printf '%s\n' $lines
    else
        __fish_complete_path "$current"
    end
end
complete -c dlwb -f -k -a '(__dlwb_completion)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def show(wanted: bool) -> None:
    """`--show-completion [SHELL]`: print the script."""
    if wanted:
        put(SCRIPTS[_shell("--show-completion")].strip())
        raise typer.Exit


def install(wanted: bool) -> None:
    """`--install-completion [SHELL]`: put the script where the shell finds it, with the line that it needs in its start file."""
    if not wanted:
        return
    shell = _shell("--install-completion")
    home = Path.home()
    place, start_file, line = {
        "bash": (home / ".bash_completions" / "dlwb.sh", home / ".bashrc", f"source '{home / '.bash_completions' / 'dlwb.sh'}'"),
        "zsh": (home / ".zfunc" / "_dlwb", home / ".zshrc", "fpath+=~/.zfunc; autoload -Uz compinit; compinit"),
        "fish": (Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "fish" / "completions" / "dlwb.fish", None, ""),
    }[shell]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(SCRIPTS[shell].lstrip())
    if start_file:
        text = start_file.read_text() if start_file.exists() else ""
        if line not in text:
            start_file.write_text(text + "\n" * (bool(text) and not text.endswith("\n")) + line + "\n")
    put(f"{shell} completion installed in {place}")
    tell("It works in the next shell that you open.")
    raise typer.Exit


def _shell(option: str) -> str:
    """The shell that is named after the option, else the one that dlwb was started from."""
    named = sys.argv[sys.argv.index(option) + 1 :][:1] if option in sys.argv else []
    if named:
        name = named[0]
    else:
        import shellingham  # type: ignore[import-untyped]  # comes with typer

        try:
            name = shellingham.detect_shell()[0]
        except shellingham.ShellDetectionFailure:
            name = Path(os.environ.get("SHELL", "")).name
    if name not in SCRIPTS:
        raise Problem(f"{name or 'This shell'} cannot be completed in.", f"Name one of them: `dlwb {option} bash`, zsh or fish.")
    return name
