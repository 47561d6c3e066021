"""Data sets that are being fetched or verified, each in a thread of its own, whatever screen is open. They end with the program."""

import threading
import time
from collections.abc import Callable

from workbench.datasets.store import stored
from workbench.datasets.store.fetch import fetch
from workbench.datasets.store.stored import Stored
from workbench.formatting import size
from workbench.preparation import listening
from workbench.problems import Problem


class _Stopped(BaseException):
    """A person stopped the download. A BaseException, so that no `except Exception` on the way takes it for a network error."""


class Job:
    """`fetch` or `verify` of one data set. `state` is running, done, stopped or failed; `message` is the sentence about it."""

    def __init__(self, what: str, data_set: Stored, ended: Callable[["Job"], None]) -> None:
        self.what, self.data_set, self.ended = what, data_set, ended
        self.state = "running"
        self.message = ""
        self.done = data_set.bytes - data_set.missing if what == "fetch" else 0
        self.stopping = False
        self._began = time.monotonic()
        self._bytes_before = self.done
        # A daemon: quitting must not wait for a download. What came is kept, and the next fetch goes on from there.
        self._thread = threading.Thread(target=self._work, name=f"{what} {data_set.reference}", daemon=True)

    def start(self) -> "Job":
        self._thread.start()
        return self

    def stop(self) -> None:
        """End it when the next piece arrives; what was downloaded stays."""
        self.stopping = True

    @property
    def share(self) -> float:
        """The finished share, from 0 to 1."""
        return min(1.0, self.done / max(1, self.data_set.bytes))

    @property
    def rate(self) -> str:
        """The speed in bytes per second, as text; "" while it is not known."""
        # In the first second the figure jumps: connecting takes most of it.
        seconds = time.monotonic() - self._began
        return f"{size((self.done - self._bytes_before) / seconds)}/s" if seconds > 1 and self.done > self._bytes_before else ""

    def _work(self) -> None:
        try:
            # Each thread has a listener of its own, so that downloads side by side report apart.
            with listening(self._progress):
                if self.what == "fetch":
                    fetch(self.data_set.name, self.data_set.variant)
                    self.message = f"{self.data_set.reference} is here."
                else:
                    self._verify()
            self.state = "done"
        except _Stopped:
            self.state, self.message = "stopped", f"{self.data_set.reference}: stopped; the downloaded part is kept."
        except Problem as problem:
            self.state, self.message = "failed", str(problem)
        except OSError as error:
            self.state, self.message = "failed", f"{self.data_set.reference}: {error.strerror}."
        self.ended(self)

    def _progress(self, what: str, done: int, total: int) -> None:
        if self.stopping:
            raise _Stopped
        # Checking and unpacking go over bytes that are counted already.
        if not what.startswith("fetching "):
            return
        # The callback counts within one file; a person wants to see how far the whole set is.
        before = 0
        for key, file in self.data_set.about.files.items():
            if what.endswith(f" {key}"):
                break
            before += file.bytes
        self.done = before + done

    def _verify(self) -> None:
        right = 0
        for key, wrong in stored.verify(self.data_set.name, self.data_set.variant):
            if wrong:
                raise Problem(wrong)
            right += 1
            self.done += self.data_set.about.files[key].bytes
        files = "its file is" if right == 1 else f"all {right} files are"
        self.message = f"{self.data_set.reference}: {files} correct."
