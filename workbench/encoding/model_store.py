"""The exported models of this person: names, versions and aliases; each version is a model folder that never changes."""

import contextlib
import lzma
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path

import msgspec

from workbench import files, paths
from workbench.encoding import model_folder
from workbench.encoding.kinds import SAFE
from workbench.encoding.model_folder import LARGEST, ModelFolder
from workbench.problems import Problem, nearest, one_line

MOST_FILES = 64
"""Of a model in an archive; a folder has about 14."""
LONGEST_HEADER = 1 << 20
"""Bytes of an archive's extended headers, which are read into memory as a whole."""
ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")


def names() -> list[str]:
    """The names of all models."""
    with contextlib.suppress(FileNotFoundError):
        # A hidden one is a model that is being added, or that a killed process was adding.
        return sorted(name for name in os.listdir(paths.models()) if SAFE.fullmatch(name) and name[0] != "." and versions(name))
    return []


def versions(name: str) -> list[int]:
    """The versions of a model, rising."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted(int(entry) for entry in os.listdir(_home(name)) if re.fullmatch(r"[1-9][0-9]{0,5}", entry))
    return []


def aliases(name: str) -> dict[str, int]:
    """What the versions of a model are called: champion → 3."""
    with contextlib.suppress(FileNotFoundError, ValueError):  # msgspec's errors are ValueErrors
        named = msgspec.json.decode(files.read_plain(_home(name) / "aliases.json"), type=dict[str, int])
        return {alias: version for alias, version in named.items() if ALIAS.fullmatch(alias)}
    return {}


def next_place(name: str) -> Path:
    """Where the next version of a model goes."""
    return _home(name) / str(max(versions(name), default=0) + 1)


def find(reference: str) -> ModelFolder:
    """The model that NAME, NAME:VERSION or NAME@ALIAS means; of a name alone the newest version. Its files are compared with their seal."""
    path = place(reference)
    folder = model_folder.read(path)
    if folder.label != f"{path.parent.name}:{path.name}":
        raise Problem(f"{path.parent.name}:{path.name} holds {folder.label}.", "Put it back, or remove it.", "data")
    return folder


def place(reference: str) -> Path:
    """The folder that a reference means; its files are not looked at."""
    name, separator, wanted = re.fullmatch(r"([^:@]*)([:@]?)(.*)", reference, re.DOTALL).groups()  # type: ignore[union-attr]
    known = versions(name) if SAFE.fullmatch(name) and name[0] != "." else []
    if not known:
        near = nearest(name, names()) or "."
        raise Problem(f"There is no model {one_line(name, 80)!r}{near}", "`dlwb model list` lists them.")
    if not separator:
        return _home(name) / str(known[-1])
    named = aliases(name)
    version = named.get(wanted) if separator == "@" else int(wanted) if re.fullmatch(r"[0-9]{1,6}", wanted) else None
    if version not in known:
        there = f"versions {', '.join(map(str, known))}" + f"; aliases {', '.join(sorted(named))}" * bool(named)
        raise Problem(f"{name} has no {'alias' if separator == '@' else 'version'} {one_line(wanted, 80)!r}.", f"It has {there}.")
    return _home(name) / str(version)


def set_alias(reference: str, alias: str) -> ModelFolder:
    """Give a version another name beside its number; an alias that is there already moves. "-NAME" removes one."""
    folder = find(reference)
    name = folder.model.name
    wanted = alias.removeprefix("-")
    if not ALIAS.fullmatch(wanted):
        raise Problem(f"{one_line(alias, 80)!r} cannot be an alias.", "It begins with a letter and has letters, digits, '.', '_' and '-'.")
    named = {key: version for key, version in aliases(name).items() if key != wanted}
    if not alias.startswith("-"):
        named[wanted] = folder.model.version
    files.write(_home(name) / "aliases.json", msgspec.json.encode(named, order="sorted"))
    return folder


def add(source: Path) -> tuple[ModelFolder, bool]:
    """Take a model folder, or one in a .tar or .tar.gz, into the store under its own name and version; False where it was there already.

    Raises Problem where it is damaged, where another model has that version, and where only its own project could answer it.
    """
    paths.models().mkdir(parents=True, exist_ok=True)
    hidden = Path(tempfile.mkdtemp(prefix=".new-", dir=paths.models()))
    try:
        if source.is_dir():
            model_folder.read(source)
            shutil.copytree(source, hidden, dirs_exist_ok=True, symlinks=True)
        else:
            _unpack(source, hidden)
        # Read again, as somebody may have changed it between the two.
        try:
            folder = model_folder.read(hidden)
        except Problem as problem:
            raise Problem(problem.message.replace(one_line(str(hidden)), one_line(str(source))), problem.hint, "data") from None
        if folder.model.kind == "project":
            raise Problem(f"{folder.label} is answered by its own project, so it cannot be taken from elsewhere.", "Export the run here.")
        target = _home(folder.model.name) / str(folder.model.version)
        if target.exists():
            if model_folder.read(target).digest == folder.digest:
                return model_folder.read(target), False
            raise Problem(f"There is another {folder.label} already, and a version never changes.")
        target.parent.mkdir(exist_ok=True)
        hidden.chmod(0o755)
        try:
            hidden.rename(target)
        except OSError:
            if not target.exists():
                raise
            # Somebody else added it at the same time.
            if model_folder.read(target).digest != folder.digest:
                raise Problem(f"There is another {folder.label} already, and a version never changes.") from None
            return model_folder.read(target), False
        return model_folder.read(target), True
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _home(name: str) -> Path:
    if not SAFE.fullmatch(name) or name.startswith("."):
        raise Problem(f"{one_line(name, 80)!r} cannot be a model's name.", "It has up to 64 letters, digits, '.', '_' and '-'.")
    return paths.models() / name


class _Member(tarfile.TarInfo):
    """A member whose extended headers are short: tarfile reads them into memory, and they may have any length."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in (*tarfile.GNU_TYPES, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE) and self.size > LONGEST_HEADER:
            raise tarfile.ReadError("a header is too long")
        return super()._proc_member(tar)  # type: ignore[misc,no-any-return]


def _unpack(source: Path, target: Path) -> None:
    shown = one_line(str(source))
    # A device has no end, and a pipe may never begin.
    if source.exists() and not source.is_file():
        raise Problem(f"{shown} is neither a model folder nor a plain file.", "", "data")
    room = LARGEST
    try:
        with tarfile.open(source, tarinfo=_Member) as tar:
            for count, member in enumerate(tar, 1):
                if member.size > room or count > MOST_FILES:
                    raise Problem(f"{shown} is larger than a model can be.", "", "data")
                # What `tar -cz .` writes.
                name = member.name.removeprefix("./")
                if member.isdir() and name in (".", ""):
                    continue
                if not member.isfile() or member.issparse() or not SAFE.fullmatch(name) or name.startswith("."):
                    raise Problem(f"{shown} holds {one_line(member.name, 80)!r}, which a model cannot have.", "", "data")
                room -= member.size
                content = tar.extractfile(member)
                assert content is not None
                with (target / name).open("xb") as file:
                    shutil.copyfileobj(content, file)
    except FileNotFoundError:
        raise Problem(f"There is no {shown}.") from None
    except (tarfile.TarError, EOFError, FileExistsError, ValueError, OverflowError, zlib.error, lzma.LZMAError) as error:
        raise Problem(f"{shown} is no whole archive of a model: {one_line(str(error), 100)}.", "", "data") from None
    except OSError as error:  # damage that gzip finds is one as well
        if error.errno is None:
            raise Problem(f"{shown} is no whole archive of a model: {one_line(str(error), 100)}.", "", "data") from None
        raise
