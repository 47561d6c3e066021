"""Sends signals to people who are away: `python -m workbench.launch.notifying`. One process at a time; it ends when all are sent.

At most one message a minute: what comes within the minute is joined into one. The way is this person's own, from their preferences: a
program, which gets the message in its environment and as JSON on its input, and a webhook. Recipes have no say in it.
"""

import contextlib
import http.client
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import msgspec

from workbench import __version__, files, paths, preferences
from workbench.events import spelled
from workbench.launch import signalling
from workbench.problems import Problem, one_line
from workbench.runs import bars, lock, signals
from workbench.runs.ending import process
from workbench.runs.run import Run
from workbench.runs.signals import Signal
from workbench.runs.summary import summary_of

MINUTE = 60.0
"""Seconds between two messages, and between two tries of one."""
TRIES = 3
NAMED = 10
"""Signals of which a message says the text."""
MOST_FIGURES = 40
COMMAND_PATIENCE, WEBHOOK_PATIENCE = 30.0, 20.0
"""Seconds that the program, or the webhook's server, may take."""
WORST_FIRST = ("failure", "stall", "bar", "end", "test")
"""Whose run a message of several signals is about."""


class Message(msgspec.Struct, kw_only=True):
    """What is sent: of the worst of its signals; the text is that of all."""

    run: str
    recipe: str
    what: str
    text: str
    figures: dict[str, float | str]
    signals: list[Signal] = []
    """All of them, where there is more than one."""


def message(new: list[Signal]) -> Message:
    """One message for these signals."""
    first = min(new, key=lambda signal: WORST_FIRST.index(signal.what) if signal.what in WORST_FIRST else len(WORST_FIRST))
    lines = [signal.text for signal in new[:NAMED]] + [f"and {len(new) - NAMED} more"] * (len(new) > NAMED)
    figures = {name: spelled(value) for name, value in (first.figures or _figures(first.run)).items()}
    return Message(
        run=first.run, recipe=first.recipe, what=first.what, text="\n".join(lines), figures=figures, signals=new if len(new) > 1 else []
    )


def _figures(identity: str) -> dict[str, Any]:
    """A run's figures, of the weights that it keeps; {} where it is no run, or was deleted."""
    run = Run(paths.runs() / identity)
    if run.path.parent != paths.runs() or not (run.path / "recipe.yaml").exists():
        return {}
    try:
        recipe, summary = run.recipe(), summary_of(run)
    except Problem:
        return {}
    return {metric: bars.figure(recipe, summary, metric) for metric in list(summary.last)[:MOST_FIGURES]}


def run_command(content: Message) -> None:
    """Run the person's program with a message. Raises Problem where it fails or takes too long.

    No shell reads the message: text of models and files must not become a command.
    """
    _refuse_others_file()
    words = shlex.split(preferences.get("notify.command"))
    data = msgspec.json.encode(content)
    named = {f"DLWB_{name.upper()}": getattr(content, name) for name in ("run", "recipe", "what", "text")}
    environment = {**os.environ, **named, "DLWB_FIGURES": msgspec.json.encode(content.figures).decode()}
    program = one_line(words[0], 60)
    # A file, as a pipe stays open for as long as anything lives that the program has started.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as text:
        text.write(data)
        text.seek(0)
        home = os.path.expanduser("~")  # noqa: PTH111 - Path raises where there is no home
        try:
            process = subprocess.Popen(
                words,
                stdin=text,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=home if os.path.isdir(home) else "/",  # noqa: PTH112
                start_new_session=True,
            )
        except OSError as error:
            raise Problem(f"{program} cannot be run: {error.strerror}.") from error
        try:
            code = process.wait(COMMAND_PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise Problem(f"{program} was ended after {COMMAND_PATIENCE:.0f} s.") from None
        output.seek(max(0, output.seek(0, os.SEEK_END) - 2000))
        last = one_line(output.read().decode("utf-8", "replace").strip().rpartition("\n")[2], 200)
    if code:
        raise Problem(f"{program} ended with exit code {code}" + (f": {last}" if last else "."))


def _refuse_others_file() -> None:
    """Problem where somebody else may write the preferences: they could have any program run in this person's name."""
    status = paths.preferences().stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o002:
        raise Problem(
            f"Others may write {one_line(str(paths.preferences()))}, so its notify.command is not run.", "Make it yours alone: chmod 600."
        )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect could lead from https to http, or to another host."""

    def redirect_request(self, *words: Any) -> None:
        return None


def call_webhook(content: Message) -> None:
    """Send a message to the person's webhook. Raises Problem where that fails; it names the host alone, as the path may be a secret."""
    url = preferences.get("notify.webhook")
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": f"dlwb/{__version__}"}
    request = urllib.request.Request(url, msgspec.json.encode(content), headers, method="POST")
    host = one_line(request.host, 80)
    # What goes to this machine goes through no proxy.
    proxies = urllib.request.ProxyHandler({} if request.type == "http" else None)
    opener = urllib.request.build_opener(_NoRedirect, proxies)
    try:
        with _at_most(WEBHOOK_PATIENCE), opener.open(request, timeout=WEBHOOK_PATIENCE) as answer:
            answer.read(1024)
    except urllib.error.HTTPError as error:
        moved = ", a redirect, which is not followed" if 300 <= error.code < 400 else ""
        raise Problem(f"The webhook at {host} answered {error.code} {one_line(str(error.reason), 80)}{moved}.") from error
    except http.client.HTTPException as error:
        raise Problem(f"What answers at {host} is no web server: {one_line(repr(error), 200)}.") from error
    except OSError as error:
        reason = getattr(error, "reason", None) or error.strerror or error
        if isinstance(reason, TimeoutError):
            raise Problem(f"The webhook at {host} gave no answer for {WEBHOOK_PATIENCE:.0f} s.") from error
        raise Problem(f"The webhook at {host} cannot be reached: {one_line(str(reason), 200)}.") from error


@contextlib.contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """TimeoutError after so many seconds: a socket's own limit begins anew with every byte. Only in the main thread."""

    def over(number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


WAYS: dict[str, Callable[[Message], None]] = dict(zip(signalling.WAYS, (run_command, call_webhook), strict=True))


def ways() -> list[str]:
    """The ways that this person has set up."""
    return [name for name in WAYS if preferences.get(name)]


def send(content: Message, left: list[str]) -> list[str]:
    """Send a message by these ways; those that worked are taken out of the list. Returns what failed, in sentences."""
    failures = []
    for name in list(left):
        try:
            WAYS[name](content)
            left.remove(name)
        except Problem as problem:
            failures.append(f"{name}: {problem}")
        except OSError as error:  # no room for a temporary file, preferences that are gone
            failures.append(f"{name}: {error.strerror or error}.")
    return failures


def work(every: float = MINUTE) -> None:
    """Send what waits, a message in `every` seconds, until nothing waits any more."""
    while signals.unsent():
        held = lock.Lock.take(paths.signals() / "lock")
        if held is None:
            return  # whoever holds it looks again after it is free
        held.write({"host": lock.host(), "process": process(os.getpid())})
        try:
            _work(every)
        finally:
            held.release()


def _work(every: float) -> None:
    last = paths.signals() / "last"
    while signals.unsent():
        with contextlib.suppress(FileNotFoundError):
            # Of a clock that was set back the last message lies in the future.
            time.sleep(min(every, max(0.0, last.stat().st_mtime + every - time.time())))
        new = signals.unsent()
        content, left = message([one for _, one in new]), ways()
        for trial in range(TRIES):
            if trial:
                time.sleep(every)
            last.touch()
            failures = send(content, left)
            if not trial:
                failures += preferences.faults("notify.")
            _note(content, failures)
            if not left:
                break
        for file, _ in new:
            signals.sent(file)


def _note(content: Message, failures: list[str]) -> None:
    """Write into the output of the runs that a message is about why it was not sent."""
    runs = {one.run for one in content.signals} or {content.run}
    for identity in runs if failures else ():
        output = Run(paths.runs() / identity).output
        for failure in failures if output.parent.is_dir() else ():
            signalling.note(output, failure)
    with contextlib.suppress(OSError):
        files.write(paths.signals() / "failures.json", msgspec.json.encode({"failures": failures, "time": time.time()}), sync=False)


def last_failures() -> list[str]:
    """Why the last message was not sent; [] where it was."""
    kept = files.read_object(paths.signals() / "failures.json").get("failures")
    return [str(failure) for failure in kept] if isinstance(kept, list) else []


def test(run: str = "a-test") -> tuple[Message, list[str]]:
    """Send a message at once that says it is a test; returns it, and what failed."""
    signal = Signal(what="test", run=run, recipe="none", text="dlwb: this is how a signal reaches you.", figures={"valid/loss": 0.25})
    content = message([signal])
    return content, send(content, ways())


if __name__ == "__main__":
    work()
    sys.exit(0)
