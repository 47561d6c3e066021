"""`python -m workbench.serving.web.environment MEGABYTES`: where a function runs; events and results are JSON lines.

The first line has the source, whose bytes the host has checked. What the function prints goes to stderr.
"""

import contextlib
import json
import os
import resource
import signal
import sys
import time
import traceback
import types
from typing import Any

ROOM = 1 << 30
"""Bytes of address space beside the function's memory: libraries that are mapped and not used."""
GRACE = 5
"""Seconds after the time limit."""


class Context:
    """What a handler is told beside the event, by AWS Lambda's names."""

    def __init__(self, about: dict[str, Any]) -> None:
        self.aws_request_id = str(about["id"])
        self.function_name = str(about["name"])
        self.memory_limit_in_mb = str(about["memory"])
        self._end = time.monotonic() + float(about["seconds"])

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the host ends this process."""
        return max(0, int((self._end - time.monotonic()) * 1000))


def main(megabytes: int) -> int:
    """Load the function, then answer until stdin ends."""
    limit = (megabytes << 20) + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def say(**line: Any) -> None:
        print(json.dumps(line), file=out)

    first = json.loads(sys.stdin.readline())
    begin = time.monotonic()
    module = types.ModuleType("handler")
    module.__file__ = first["file"]
    sys.modules["handler"] = module
    try:
        exec(compile(first["source"], first["file"], "exec"), module.__dict__)  # the host has compared its hash with the trusted ones
        handler = module.__dict__["handler"]
    except BaseException as error:
        traceback.print_exc()
        say(ok=False, type=type(error).__name__, message=str(error)[:500] or type(error).__name__)
        return 1
    say(ok=True, milliseconds=(time.monotonic() - begin) * 1000)
    own = os.getpid()
    for line in sys.stdin:
        asked = json.loads(line)
        # The host ends what is late. Where it was killed itself, this does: a function must not run on for ever.
        signal.alarm(int(asked["context"]["seconds"]) + GRACE)
        try:
            result = handler(asked["event"], Context(asked["context"]))
            if os.getpid() != own:
                # A copy that the function forked and let return: its result would be taken for that of the next event.
                os._exit(0)
            say(ok=True, result=result)
        except BaseException as error:
            if os.getpid() != own:
                os._exit(1)
            traceback.print_exc()
            with contextlib.suppress(BrokenPipeError):
                say(ok=False, type=type(error).__name__, message=str(error)[:500])
        signal.alarm(0)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
