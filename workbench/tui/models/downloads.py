"""Data sets that are being fetched or verified, each in a thread of its own, whatever screen is shown. Closing the program ends them."""

import threading
import time
from collections.abc import Callable

from workbench.datasets.store import stored
from workbench.datasets.store.fetch import fetch, progress
from workbench.datasets.store.stored import Stored
from workbench.formatting import size
from workbench.problems import Problem


class _LetGo(BaseException):
    """Somebody stopped the download."""


class Job:
    """`fetch` or `verify` of one set. `state`: running, done, stopped or failed; `said`: what there is to say about it."""

    def __init__(self, what: str, each: Stored, ended: Callable[["Job"], None]) -> None:
        self.what, self.each, self.ended = what, each, ended
        self.state = "running"
        self.said = ""
        self.done = each.bytes - each.missing if what == "fetch" else 0
        self.stopping = False
        self._began = time.monotonic()
        self._had = self.done
        self._thread = threading.Thread(target=self._work, name=f"{what} {each.reference}", daemon=True)

    def start(self) -> "Job":
        self._thread.start()
        return self

    def stop(self) -> None:
        """End it at the next piece that comes; what came stays."""
        self.stopping = True

    @property
    def share(self) -> float:
        """How far it is, from 0 to 1."""
        return min(1.0, self.done / max(1, self.each.bytes))

    @property
    def rate(self) -> str:
        """Bytes a second."""
        seconds = time.monotonic() - self._began
        return f"{size((self.done - self._had) / seconds)}/s" if seconds > 1 and self.done > self._had else ""

    def _work(self) -> None:
        try:
            if self.what == "fetch":
                progress.set(self._told)
                fetch(self.each.name, self.each.variant)
                self.said = f"{self.each.reference} is here."
            else:
                self._verify()
            self.state = "done"
        except _LetGo:
            self.state, self.said = "stopped", f"{self.each.reference}: stopped; what came is kept."
        except Problem as problem:
            self.state, self.said = "failed", str(problem)
        except OSError as error:
            self.state, self.said = "failed", f"{self.each.reference}: {error.strerror}."
        self.ended(self)

    def _told(self, name: str, done: int, total: int) -> None:
        before = 0
        for key, file in self.each.about.files.items():
            if name.endswith(f" {key}"):
                break
            before += file.bytes
        self.done = before + done
        if self.stopping:
            raise _LetGo

    def _verify(self) -> None:
        right = 0
        for key, wrong in stored.verify(self.each.name, self.each.variant):
            if wrong:
                raise Problem(wrong)
            right += 1
            self.done += self.each.about.files[key].bytes
        files = "its file is" if right == 1 else f"all {right} files are"
        self.said = f"{self.each.reference}: {files} right."
