"""`python -m workbench.serving.worker FOLDER FD` answers frames of requests with one model over a Unix socket, until the other end closes.

A process of its own: whatever a body does to it, the router lives. What came while the last batch ran is the next batch.
"""

import contextlib
import ctypes
import importlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.encoding import model_folder
from workbench.encoding.coding import Item
from workbench.encoding.model_folder import ModelFolder
from workbench.problems import Problem, one_line
from workbench.serving import bounds, wire
from workbench.serving.inference import Asked
from workbench.serving.messages import Ask, Done, Frames, Label, Ready, Refusal, Refused, Reply, Report, Request, Stats, packed
from workbench.serving.observing import Observer
from workbench.serving.session import Session

PR_SET_PDEATHSIG = 1
MOST_TOGETHER = 64
"""Inputs that go through the model at once."""
_TROUBLE = "The model failed on this input."


class Answerer:
    """A model that answers requests, several at once."""

    def __init__(self, folder: ModelFolder | Path) -> None:
        """Opens the model and warms it with the largest batch. Raises Problem where it cannot be served."""
        self.session = Session(folder)
        self.observer = Observer(self.session.folder)
        examples = [example["input"] for example in self.session.folder.examples()]
        if not examples:
            raise Problem(f"{self.session.folder.label} has no examples, so that nobody can tell whether it answers right.", "", "data")
        for count in (1, MOST_TOGETHER) if self.session.batches else (1,):
            self._answers([examples[place % len(examples)] for place in range(count)], seen=False)

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """The replies in the order of the requests. One that cannot be read or answered costs no other its answer."""
        begin = time.perf_counter()
        read = [self._read(request) for request in requests]
        raws = [raw for asked in read if isinstance(asked, Asked) for raw in asked.raws]
        answers = self._answers(raws)
        place, replies = 0, []
        for asked in read:
            if isinstance(asked, Reply):
                replies.append(asked)
                continue
            mine = answers[place : place + len(asked.raws)]
            place += len(asked.raws)
            replies.append(self._reply(asked, mine))
        took = time.perf_counter() - begin
        for reply in replies:
            reply.batch, reply.model = len(requests), took
        return replies

    def report(self) -> dict[str, Any]:
        """What the observer has seen."""
        return self.observer.report()

    def _read(self, request: Request) -> Asked | Reply:
        try:
            return wire.read(self.session.coding, request)
        except Refusal as refusal:
            return Reply(refusal.code, message=str(refusal))
        except Exception as error:
            return _failed(error)

    def _reply(self, asked: Asked, answers: Sequence[dict[str, Any] | Problem]) -> Reply:
        try:
            return wire.reply(asked, answers)
        except Exception as error:
            return _failed(error)

    def _answers(self, raws: Sequence[Any], seen: bool = True) -> list[dict[str, Any] | Problem]:
        session = self.session
        if not session.batches:
            return [self._alone(raw) for raw in raws]
        answers: list[dict[str, Any] | Problem] = [Problem(_TROUBLE)] * len(raws)
        good: list[tuple[int, Item]] = []
        for place, raw in enumerate(raws):
            try:
                good.append((place, session.coding.encode(raw)))
            except Problem as problem:
                # Its traceback holds this frame, and with it these answers: a circle that waits for the collector with all its pixels.
                answers[place] = problem.with_traceback(None)
            except Exception as error:
                answers[place] = _trouble(error)
        # Texts of similar length together: a batch is padded to its longest.
        good.sort(key=lambda pair: pair[1].array.size)
        for start in range(0, len(good), MOST_TOGETHER):
            self._run(good[start : start + MOST_TOGETHER], raws, answers, seen)
        return answers

    def _alone(self, raw: Any) -> dict[str, Any] | Problem:
        try:
            return self.session.answers([raw])[0]
        except Exception as error:
            return _trouble(error)

    def _run(self, good: list[tuple[int, Item]], raws: Sequence[Any], answers: list[dict[str, Any] | Problem], seen: bool) -> None:
        session = self.session
        try:
            outputs = session.outputs(session.coding.batch([item for _, item in good]))
            for (place, _), output in zip(good, outputs, strict=True):
                try:
                    answers[place] = session.decoded(output)
                except Problem as problem:
                    answers[place] = Refusal(500, problem.message)
        except Exception as error:
            if len(good) > 1:
                # One of them is the cause; the others get their answers.
                for pair in good:
                    self._run([pair], raws, answers, seen)
            else:
                answers[good[0][0]] = _trouble(error)
            return
        if seen:
            try:
                answered = [(raws[place], item, told) for place, item in good if isinstance(told := answers[place], dict)]
                self.observer.saw(answered)
            except Exception as error:
                print(f"what was seen is not counted: {one_line(repr(error))}", file=sys.stderr)


def _trouble(error: Exception) -> Refusal:
    # The log says what it was; a client gets no inner details.
    print(f"{_TROUBLE} {one_line(repr(error))}", file=sys.stderr, flush=True)
    return Refusal(500, _TROUBLE)


def _failed(error: Exception) -> Reply:
    return Reply(500, message=_trouble(error).message)


def serve(folder: Path, line: socket.socket) -> int:
    """Answer until the other end closes."""
    with contextlib.ExitStack() as stack:
        try:
            read = model_folder.read(folder)
            stack.enter_context(bounds.memory(read))
            answerer = Answerer(read)
        except Problem as problem:
            line.sendall(packed(Refused(problem.message, problem.hint)))
            return 1
        _answer(answerer, line)
    return 0


def _answer(answerer: Answerer, line: socket.socket) -> None:
    line.sendall(packed(Ready()))
    if answerer.observer.watches:
        # Beside the first requests: the one that ends a window must not wait for the import.
        threading.Thread(target=importlib.import_module, args=("scipy.stats",), daemon=True).start()
    frames = Frames()
    while data := line.recv(1 << 20):
        for frame in frames.feed(data):
            if isinstance(frame, Ask):
                line.sendall(packed(Done(answerer.answer(frame.requests))))
            elif isinstance(frame, Label):
                answerer.observer.label(frame.answer, frame.truth)
            elif isinstance(frame, Stats):
                line.sendall(packed(Report(answerer.report())))


def main() -> None:
    """The process."""
    # Whoever stops the server at the keyboard stops it, not the worker under the answers that are still to come.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A batch may take hours, and only after it would a closed line be seen: the kernel ends this process with the router (prctl(2)).
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    folder, file = sys.argv[1:]
    with socket.socket(fileno=int(file)) as line:
        try:
            code = serve(Path(folder), line)
        except ConnectionError:  # the router was killed
            code = 1
    sys.stderr.flush()
    os._exit(code)  # nothing is left to be cleaned up, and libraries take their time for it


if __name__ == "__main__":
    main()
