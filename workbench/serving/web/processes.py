"""Starts the function host, the gateway and the page of an endpoint, and ends them together."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from workbench.problems import Problem
from workbench.serving.web import HANDLERS, function, gateway

SHIPPED = HANDLERS / "review.py"
PATIENCE = 20.0
"""Seconds that a process may take to answer."""


class Web:
    """The three processes."""

    def __init__(self, url: str, gateway: str, processes: dict[str, "subprocess.Popen[bytes]"]) -> None:
        self.url, self.gateway, self.processes = url, gateway, processes

    def wait(self) -> None:
        """Until one of them ends, which is a Problem, or Ctrl-C."""
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                for name, process in self.processes.items():
                    if process.poll() is not None:
                        raise Problem(f"The {name} ended with exit code {process.returncode}.")
                time.sleep(0.2)


@contextlib.contextmanager
def started(
    name: str,
    url: str,
    about: str,
    *,
    handler: Path | None = None,
    routes: Path | None = None,
    port: int = 8090,
    folder: Path | None = None,
) -> Iterator[Web]:
    """The page of the endpoint `name` at `url`: the page at 127.0.0.1:`port`, its gateway at the next port; both end with the block.

    `about` is what the page says of it; `folder` a model with whose encoder the function makes the numbers itself. Raises Problem where a
    port is taken, the handler is not trusted, or the routes are wrong.
    """
    handler = handler or SHIPPED
    function.source_of(handler)  # refused here, not in a process whose words nobody reads
    page, address = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"
    with tempfile.TemporaryDirectory(prefix="dlwb-web-") as scratch, contextlib.ExitStack() as stack:
        place = Path(scratch) / "predict.sock"
        if routes is None:
            routes = Path(scratch) / "routes.yaml"
            routes.write_text(f"routes: [{{path: /predict, method: POST, function: predict}}]\norigins: ['{page}']\n")
        gateway.read(routes)
        environment = os.environ | {
            "ENDPOINT_NAME": name,
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url,
            "AWS_REGION": os.environ.get("AWS_REGION", "us-east-1"),
            "AWS_DEFAULT_REGION": os.environ.get("AWS_REGION", "us-east-1"),
            # Signed with these, and checked by nobody here.
            "AWS_ACCESS_KEY_ID": os.environ.get("AWS_ACCESS_KEY_ID", "local"),
            "AWS_SECRET_ACCESS_KEY": os.environ.get("AWS_SECRET_ACCESS_KEY", "local"),
        }
        if folder:
            environment["MODEL_FOLDER"] = str(folder)
        module = "workbench.serving.web"
        commands = {
            "function": ["-m", f"{module}.function", str(handler), str(place)],
            "gateway": ["-m", f"{module}.gateway", str(routes), str(port + 1), f"predict={place}"],
            "page": ["-m", f"{module}.page", str(port), address, about],
        }
        processes = {}
        for part, words in commands.items():
            process = subprocess.Popen(
                [sys.executable, "-P", *words],
                env=environment,
                stdin=subprocess.PIPE,  # its end is the end of this process
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for this process, which ends them in their order
            )
            processes[part] = process
            stack.callback(_end, process)
        _await("function", processes["function"], lambda: place.exists())
        _await("gateway", processes["gateway"], lambda: _answers(port + 1))
        _await("page", processes["page"], lambda: _answers(port))
        yield Web(page, address, processes)


def _answers(port: int) -> bool:
    line = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        line.request("GET", "/")
        return line.getresponse().status in (200, 404)
    except (OSError, HTTPException):
        return False
    finally:
        line.close()


def _await(name: str, process: "subprocess.Popen[bytes]", ready: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not ready():
        if process.poll() is not None:
            hint = "Its port may be taken: choose another with --port." if name != "function" else ""
            raise Problem(f"The {name} could not be started: exit code {process.returncode}.", hint)
        if time.monotonic() > end:
            raise Problem(f"The {name} does not answer.")
        time.sleep(0.05)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
