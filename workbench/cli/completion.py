"""The completion scripts for bash, zsh and fish, and their installation. They ask `workbench.cli.complete` at each tab."""

import os
import sys
from pathlib import Path

import typer

from workbench.cli.printing import put, tell
from workbench.problems import Problem

# Each passes the words up to the cursor, one on each line, and the cursor's place in them. After a completion that ends in =, . or :
# more follows, so the shell adds no space.
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
    """Print the script (`--show-completion [SHELL]`)."""
    if wanted:
        put(SCRIPTS[_shell("--show-completion")].strip())
        raise typer.Exit


def install(wanted: bool) -> None:
    """Install the script where the shell finds it, with the line in the shell's start file (`--install-completion [SHELL]`)."""
    if not wanted:
        return
    from workbench import files  # with msgspec, which --version does without

    shell = _shell("--install-completion")
    home = Path.home()
    place, start_file, line = {
        "bash": (home / ".bash_completions" / "dlwb.sh", home / ".bashrc", f"source '{home / '.bash_completions' / 'dlwb.sh'}'"),
        "zsh": (home / ".zfunc" / "_dlwb", home / ".zshrc", "fpath+=~/.zfunc; autoload -Uz compinit; compinit"),
        "fish": (Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "fish" / "completions" / "dlwb.fish", None, ""),
    }[shell]
    place.parent.mkdir(parents=True, exist_ok=True)
    files.write(place, SCRIPTS[shell].lstrip().encode())
    if start_file:
        text = start_file.read_bytes() if start_file.exists() else b""
        # A second installation changes nothing. Written beside and renamed: on a full disk the person's file stays as it was.
        if line.encode() not in text:
            files.write(start_file.resolve(), text + b"\n" * (bool(text) and not text.endswith(b"\n")) + line.encode() + b"\n")
    put(f"{shell} completion installed in {place}")
    tell("Completion works in the next shell that you open.")
    raise typer.Exit


def _shell(option: str) -> str:
    """The shell named after the option, else the shell that started dlwb."""
    # The options are flags to click, which would demand a value otherwise: so the shell's name is read here.
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
        raise Problem(f"There is no completion for {name or 'this shell'}.", f"Name bash, zsh or fish: `dlwb {option} bash`.")
    return name
