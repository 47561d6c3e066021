"""How a script ends, where it can still say so: an exception, `sys.exit`, SIGTERM and SIGHUP, or the end of its file.

`os._exit`, SIGKILL, a crash in C code and `exec` give it no time: then its lock is free, and nobody has written an end. The code of a
`raise SystemExit` outside a `with` block cannot be seen from inside either; `dlwb exec` sees all of them.
"""

import atexit
import contextlib
import os
import signal
import sys
import threading
import types
from collections.abc import Callable
from typing import Any, NoReturn

from workbench.events import Status
from workbench.problems import one_line

End = Callable[[Status], None]
SIGNALS = (signal.SIGTERM, signal.SIGHUP)
"""SIGHUP comes when the terminal is closed; under `nohup` it is ignored, and stays so."""

_ends: list[End] = []
"""What ends the runs of this process that are not over."""
_forked: list[Callable[[], None]] = []
"""What tells them that this process is a forked child of theirs."""
code: Any = None
"""What `sys.exit` was called with, as long as the script has not gone on after it."""
_before: dict[str, Any] = {}
"""What stood in the places of the hooks."""


def watch(end: End, forked: Callable[[], None]) -> None:
    """Call `end` with a Status when the script ends, and `forked` in each forked child."""
    _ends.append(end)
    _forked.append(forked)
    if not _before:
        _before.update(excepthook=sys.excepthook, exit=sys.exit)
        sys.excepthook, sys.exit = _on_exception, _on_exit
        atexit.register(_at_exit)
        os.register_at_fork(after_in_child=_in_child)
    if threading.current_thread() is threading.main_thread():  # only there signals may be handled
        for number in SIGNALS:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _on_signal)


def forget(end: End, forked: Callable[[], None]) -> None:
    """The run is over."""
    if end in _ends:
        _ends.remove(end)
        _forked.remove(forked)
    if not _ends and threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) is _on_signal:
                signal.signal(number, signal.SIG_DFL)


def goes_on() -> None:
    """The script logs although `code` is set: what it called `sys.exit` with was caught."""
    global code
    code = None


def of_exception(error: BaseException) -> Status:
    """The end that an exception makes."""
    if isinstance(error, SystemExit):
        return of_code(error.code)
    if isinstance(error, KeyboardInterrupt):
        return Status(state="stopped", cause="person", message="Interrupted with Ctrl-C (SIGINT).")
    from workbench.training.failures import cause_of, place_of

    text, place = one_line(str(error), 600), place_of(error)
    hint = "The traceback is in its output (`dlwb logs`)."
    return Status(state="failed", cause=cause_of(error), message=f"{type(error).__name__}: {text}{place}.", hint=hint)


def of_code(code: Any) -> Status:
    """The end of a script with this exit code, or with a text for stderr, as `sys.exit` takes it."""
    if code is None or code == 0:
        return Status(state="finished")
    words = f"exit code {code}" if isinstance(code, int) else f"exit code 1: {one_line(str(code), 600)}"
    return Status(state="failed", cause="exception", message=f"The script ended with {words}.", hint="`dlwb logs` shows more.")


def of_signal(number: int) -> Status:
    """The end by a signal that the script could still handle."""
    name = signal.Signals(number).name
    return Status(state="stopped", cause="sigterm" if number == signal.SIGTERM else "signal", message=f"Ended by {name}.")


def _end_all(ending: Callable[[], Status]) -> None:
    for end in list(_ends):
        try:
            end(ending())
        except Exception as error:  # the script must end as it would without us
            print(f"dlwb: the end of the run could not be written: {one_line(str(error))}", file=sys.stderr)


def _on_exception(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
    try:
        _before["excepthook"](kind, error, trace)  # first: it prints the traceback, which belongs to the run's output
    finally:
        _end_all(lambda: of_exception(error))
        if isinstance(error, KeyboardInterrupt):
            # Python notes that it ends by one, and the process then dies of SIGINT, as shells expect; a namedtuple that another thread
            # makes meanwhile, as the meters' import does, takes the note away (run_eval_code_obj in CPython's pythonrun.c).
            with contextlib.suppress(KeyboardInterrupt):
                exec("raise KeyboardInterrupt")


def _on_exit(given: Any = None) -> NoReturn:
    global code
    if threading.current_thread() is threading.main_thread():  # in any other it ends the thread alone
        code = given
    _before["exit"](given)
    raise SystemExit(given)  # never reached, unless somebody else has replaced sys.exit by what returns


def _at_exit() -> None:
    _end_all(lambda: of_code(code))


def _on_signal(number: int, frame: types.FrameType | None) -> None:
    _end_all(lambda: of_signal(number))
    # As without a handler: the process dies of the signal, and who waits for it sees that.
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _in_child() -> None:
    """A forked child, such as a loader of data: its end is not the run's, and SIGTERM ends it at once."""
    for forked in _forked:
        forked()
    _ends.clear()
    _forked.clear()
    for number in SIGNALS:
        if signal.getsignal(number) is _on_signal:
            signal.signal(number, signal.SIG_DFL)
