"""All device-hours of this home: of the runs in the list and in the trash, of endpoints, and of what was removed for good."""

import time

from workbench.events import Status
from workbench.problems import Problem
from workbench.runs import index, trash, usage
from workbench.runs.log import Tail
from workbench.runs.run import list_runs
from workbench.runs.spans import Spans
from workbench.runs.usage import Use
from workbench.serving.endpoint import Endpoint, list_endpoints, state_of

SERVING = ("InService", "Updating", "RollingBack")
"""The states in which an endpoint answers."""


def collect() -> list[Use]:
    """Every interval in which anything of this home worked; of what works now, up to this moment."""
    looks, deleted, endpoints = index.look_at(list_runs()), trash.deleted(), list_endpoints()
    uses = [use for look in looks for use in of_look(look)]
    for run in deleted:
        try:
            uses += usage.of_run(run)
        except Problem:
            continue  # its log is of another version; the list names what cannot be read
    for endpoint in endpoints:
        uses += of_endpoint(endpoint)
    # A crash may have left in the trash what is noted as removed.
    there = {look.run.id for look in looks} | {run.id for run in deleted}
    return uses + [use for use in usage.removed() if use.run not in there]


def of_look(look: index.Look) -> list[Use]:
    """The intervals of a run that was looked at."""
    spans = list(look.summary.spans or [])
    if spans and look.state.state == "running" and not look.state.host:
        spans[-1] = spans[-1]._replace(seconds=spans[-1].seconds + max(0.0, time.time() - look.summary.updated))
    return usage.intervals(look.run, spans, look.recipe)


def of_endpoint(endpoint: Endpoint) -> list[Use]:
    """The intervals in which an endpoint served, on the CPU; none where its log cannot be read."""
    spans, last, written = Spans(SERVING), 0.0, 0.0
    try:
        for events in Tail(endpoint.events).rows():
            for event in events:
                if type(event) is Status:
                    spans.turn(event, last)
                last, written = event.clock, event.time
    except Problem:
        return []
    state = state_of(endpoint)
    if state.state in SERVING and not state.host:
        last += max(0.0, time.time() - written)
    host = usage.elsewhere(endpoint.lock)
    return [Use(began=span.began, seconds=span.seconds, device="cpu", endpoint=endpoint.id, host=host) for span in spans.upto(last)]


def warning() -> str:
    """A sentence for who starts a run while at least 80 % of their budget are used; "" where there is no budget, or enough of it."""
    if usage.preferred() is None:
        return ""
    try:
        budget = usage.budget(collect())
    except (Problem, OSError):
        return ""  # a folder that cannot be read must not stop a start; every list says so
    return budget.warning if budget else ""
