"""Follows a run: its events as lines, its output, its end. Ctrl-C ends the following and never the run."""

import os
import sys
import time
from collections.abc import Iterator

import msgspec

from workbench import files, preparation, terminal
from workbench.cli.printing import table
from workbench.events import Answer, AnyEvent, Images, Mark, Scalars, Status, Table, Tagged, Text, spelled
from workbench.formatting import number
from workbench.launch import slurm, start
from workbench.problems import clean
from workbench.runs import compare, lock, sweeps
from workbench.runs.comparisons import Comparison
from workbench.runs.log import Tail
from workbench.runs.run import Run
from workbench.runs.state import state_of
from workbench.runs.summary import summary_of
from workbench.runs.tunings import Tuning

# The log has no way to wake a reader; a fifth of a second looks immediate and costs nothing measurable.
EVERY = 0.2
"""Seconds between two looks at a log."""
LONGEST = 1 << 20
"""Characters of a line that are kept back until its end comes."""
FINISHED, FAILED, STOPPED, LET_GO = 0, 1, 3, 130


def at_its_end(run: Run) -> Tail:
    """The run's log, read to its present end, so that `follow` begins there."""
    tail = Tail(run.events)
    for _ in tail.read():
        pass
    return tail


def follow(run: Run, as_json: bool = False, *, to_its_end: bool = True, started: bool = False, tail: Tail | None = None) -> int:
    """Print a run's events: JSON lines on stdout, or lines for people on stderr; returns the exit code for the run's end.

    It begins at the position of `tail`, else at the log's first line. Ctrl-C ends only the following; but a run that was `started` just
    now and has no step yet is canceled.
    """
    tail, progress = tail or Tail(run.events), _Progress()
    try:
        while True:
            alive = _is_alive(run)  # before reading: else the last lines of a run that ends in between would be missed
            for event in tail.read():
                if as_json:
                    print(msgspec.json.encode(spelled(msgspec.to_builtins(event))).decode(), flush=True)
                elif isinstance(event, Status) and event.share is not None:
                    progress.show(event)
                elif line := described(event):
                    progress.end()
                    print(line, file=sys.stderr, flush=True)
            if not (alive and to_its_end):
                break
            time.sleep(EVERY)
    except KeyboardInterrupt:
        if started and not start.has_trained(run):
            print("\nCanceling the start …", file=sys.stderr, flush=True)
            canceled = start.cancel(run)
            print(
                "The start is canceled: nothing of the run is left."
                if canceled
                else f"{run.id} already trains, or has ended: it stays, and it stops.",
                file=sys.stderr,
            )
            return LET_GO
        print(
            f"\n{run.id} goes on in the background. `dlwb stop {run.id}` stops it, `dlwb logs -f {run.id}` shows its output.",
            file=sys.stderr,
        )
        return LET_GO
    progress.end()
    if tail.remark:
        print(f"! {tail.remark}", file=sys.stderr)
    return _ended(run) if to_its_end else FINISHED


class _Progress:
    """How far a preparation is: on a terminal one line that is drawn anew, elsewhere a line for each tenth, and each ten seconds."""

    def __init__(self) -> None:
        self._open = False
        self._printed = ("", -1)
        self._printed_at = 0.0

    def show(self, status: Status) -> None:
        if sys.stderr.isatty():
            # To the start of the line, and erase it.
            print(f"\r\x1b[K{clean(status.message)}", end="", file=sys.stderr, flush=True)
            self._open = True
            return
        tenth = (status.message.partition(":")[0], int((status.share or 0.0) * 10))
        if tenth != self._printed or status.clock - self._printed_at >= 10.0:
            self._printed, self._printed_at = tenth, status.clock
            print(described(status), file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the line that was drawn, for what is printed next."""
        if self._open:
            print(file=sys.stderr)
        self._open = False


def wait(run: Run, bell: bool = False) -> int:
    """Wait for a run's end; with `bell`, then ring and show a desktop notice."""
    try:
        while _is_alive(run):
            time.sleep(EVERY)
    except KeyboardInterrupt:
        print(f"\n{run.id} goes on.", file=sys.stderr)
        return LET_GO
    if bell:
        print(terminal.BELL + terminal.notice(f"{run.id} {state_of(run).words}"), end="", file=sys.stderr, flush=True)
    return _ended(run)


def follow_comparison(comparison: Comparison) -> int:
    """Print a line for each run of a comparison that ends, and at last its table; returns the exit code for its end."""
    told: set[str] = set()
    try:
        while True:
            # Asked before the runs: else what ends in between would be missed.
            alive = lock.is_held(comparison.lock)
            for part, state in comparison.standing().parts:
                if state and not state.alive and state.attempt and part.run not in told:
                    told.add(part.run)
                    print(f"{part.variant}, seed {part.seed}: {state.words}", file=sys.stderr, flush=True)
            if not alive:
                break
            time.sleep(EVERY)
    except KeyboardInterrupt:
        print(
            f"\n{comparison.id} goes on in the background. `dlwb stop {comparison.id}` stops it.",
            file=sys.stderr,
        )
        return LET_GO
    print_table(comparison, compare.arms(comparison))
    return wait_for_group(comparison)


def wait_for_group(group: Comparison | Tuning) -> int:
    """Wait for the end of a comparison or a tuning; returns the exit code for it."""
    try:
        while lock.is_held(group.lock):
            time.sleep(EVERY)
    except KeyboardInterrupt:
        print(f"\n{group.id} goes on.", file=sys.stderr)
        return LET_GO
    state = group.standing().state
    print(f"{group.id} {state.state}. {state.message} {state.hint}".rstrip(), file=sys.stderr)
    return {"finished": FINISHED, "stopped": STOPPED}.get(state.state, FAILED)


def print_table(comparison: Comparison, arms: compare.Arms) -> None:
    """The table of a comparison, with what validation chooses, what failed and what makes it unfair."""
    differences = f"; each difference is to {arms.rows[0].name}, paired by seed, with its 95 % interval" if len(arms.rows) > 1 else ""
    print(f"{arms.metric}{differences}")
    table(compare.HEADS, list(compare.cells(arms)))
    for sentence in sweeps.words(chosen) if (chosen := sweeps.choice(comparison, arms)) else ():
        print(clean(sentence))
    for remark in arms.remarks:
        print(f"! {clean(remark)}", file=sys.stderr)


def _is_alive(run: Run) -> bool:
    """Whether a run is alive; of one that Slurm starts, Slurm is asked from time to time."""
    state = state_of(run)
    if state.job and state.alive:
        slurm.look_again([run])
    return state.alive


def _ended(run: Run) -> int:
    state = state_of(run)
    print(f"{run.id} {state.words}. {state.message} {state.hint}".rstrip(), file=sys.stderr)
    if state.state == "finished":
        for tag, value in sorted(summary_of(run).last.items()):
            if tag.startswith("test/"):
                print(f"{tag} {number(float(value))}", flush=True)
    return {"finished": FINISHED, "stopped": STOPPED}.get(state.state, FAILED)


def described(event: AnyEvent) -> str:
    """An event as one line for people; a text keeps its own lines."""
    place = f"step {event.step:>7}  epoch {event.epoch:6.2f}  "
    if isinstance(event, Scalars):
        shown = [f"{tag} {number(value)}" for tag, value in event.values.items() if not tag.startswith("system/")]
        return place + "  ".join(shown) if shown else ""
    if isinstance(event, Status):
        warning = f"\n! {event.warning}" if event.warning else ""
        return f"{place}{event.state}{': ' + event.message if event.message else ''}{warning}"
    if isinstance(event, Mark):
        return f"{place}{event.text}"
    if isinstance(event, Text):
        return f"{place}{event.tag}\n{event.prompt}{event.text}"
    if isinstance(event, Answer):
        return f"{place}{event.message}" if event.message else ""
    if isinstance(event, Images):
        return f"{place}{event.tag}  {event.file}"
    if isinstance(event, Table) and event.tag == preparation.TAG:
        return "\n".join(["the data:", *found_lines(event)])
    return f"{place}{event.tag}" if isinstance(event, Tagged) else ""


def found_lines(table: Table) -> list[str]:
    """What was found, used and left out, a line for each row."""
    lines = []
    for row in table.rows:
        what, number, used, left_out = (clean(str(cell)) for cell in [*row, "", "", "", ""][:4])
        parts = [number, used and f"used: {used}", left_out and (f"left out: {left_out}" if number or used else left_out)]
        lines.append(f"  {what}: {'; '.join(filter(None, parts))}".removesuffix(": "))
    return lines


def output(run: Run, to_its_end: bool) -> None:
    """Print the output of a run, cleaned; with `to_its_end`, continue until it ends."""
    position = 0
    rest = ""
    try:
        while True:
            alive = _is_alive(run)
            for end, data in _more(run, position):
                position = end
                # Only whole lines: the last one may still grow, but no further than memory allows.
                *lines, rest = (rest + data.decode("utf-8", "replace")).split("\n")
                if len(rest) > LONGEST:
                    lines, rest = [*lines, rest], ""
                for line in lines:
                    print(clean(line))
            if position and _size(run) < position:
                position = 0  # a new output.log has begun, see ending.OUTPUT_LIMIT
            if not (alive and to_its_end):
                break
            time.sleep(EVERY)
    except KeyboardInterrupt:
        return
    if rest:
        print(clean(rest))
    sys.stdout.flush()


def _more(run: Run, position: int) -> Iterator[tuple[int, bytes]]:
    try:
        file = files.open_plain(run.output)
    except (FileNotFoundError, NotADirectoryError):  # no output yet; or the run's folder is gone
        return
    except OSError as error:
        raise files.problem(f"The output {run.output}", "read", error, run.output) from error
    try:
        yield from files.pieces(file, position, 1 << 16)
    finally:
        os.close(file)


def _size(run: Run) -> int:
    try:
        return run.output.stat().st_size
    except OSError:
        return 0
