"""Comparisons: creates, starts, resumes and stops them; and the small process of each, which starts one run after the other. No torch.

`python -m workbench.launch.comparing COMPARISON ANYWAY` holds the comparison's lock, and survives the program that started it.
"""

import contextlib
import os
import signal
import sys
import time
import types
from pathlib import Path
from typing import NamedTuple

import msgspec

from workbench import files, paths
from workbench.launch import choose_device, devices, estimate, logind
from workbench.launch import start as launch
from workbench.problems import Problem, one_line
from workbench.recipes import trust
from workbench.recipes.load import VARIANT, Loaded, load_recipe, variants
from workbench.recipes.recipe import Compare, dump_recipe
from workbench.runs import bars, directory, lock, notes
from workbench.runs.comparisons import Comparison, Part, Plan, diverged
from workbench.runs.run import Run, list_runs
from workbench.runs.state import state_of

EVERY = 0.2
"""Seconds between two looks at the runs that train."""
MOST_SEEDS = 20
PATIENCE = 5.0
"""Seconds that its process may take to write its id into the lock."""


def start(loaded: Loaded, device: str = "") -> Comparison:
    """Create the comparison of a recipe that is read, and start its process."""
    comparison = create(loaded, device)
    begin(comparison)
    return comparison


def with_seeds(loaded: Loaded, seeds: int) -> Loaded:
    """A recipe as a comparison of its seeds: it is the only variant, or has so many seeds of each of its own. Problem for odd numbers."""
    compare = loaded.recipe.compare
    if not 2 <= seeds <= MOST_SEEDS and not (compare and seeds == 1):
        raise Problem(f"{seeds} seeds cannot be compared.", f"Give 2 to {MOST_SEEDS}.")
    if not loaded.trains:
        raise Problem(f"{loaded.stem} is a lesson to explore: there is nothing to train with seeds.", "Start it without.")
    if compare:
        return load_recipe(loaded.path, [*loaded.overrides, f"compare.seeds={seeds}"])
    name = "".join(letter if VARIANT.fullmatch(letter) else "-" for letter in loaded.stem).lstrip("-")[:24] or "recipe"
    return msgspec.structs.replace(loaded, recipe=msgspec.structs.replace(loaded.recipe, compare=Compare(variants={name: {}}, seeds=seeds)))


class Outlook(NamedTuple):
    """What the start of a comparison would mean."""

    variants: int
    seeds: int
    seconds: float | None = None
    """Of all its runs, one after the other; None where nothing like one of them ran here."""

    @property
    def runs(self) -> int:
        """Number of runs."""
        return self.variants * self.seeds


def outlook(loaded: Loaded) -> Outlook:
    """How many runs a comparison has, and how long they take by what is known of past ones."""
    compare = loaded.recipe.compare
    assert compare
    chosen = variants(loaded)
    known = {stem: estimate.past_runs(stem) for stem in {variant.stem for variant in chosen.values()}}
    seconds = []
    for variant in chosen.values():
        name = launch.choose(variant).name
        device = next(one for one in devices.devices() if one.name == name)
        live = variant.schema.live if variant.schema else ()
        seconds.append(estimate.estimate(variant.recipe, device, known[variant.stem], live).seconds)
    whole = sum(one for one in seconds if one is not None) * compare.seeds
    return Outlook(len(chosen), compare.seeds, whole if None not in seconds else None)


def create(loaded: Loaded, device: str = "") -> Comparison:
    """Create the directory of a comparison, with the recipe of each variant; nothing runs yet."""
    compare = loaded.recipe.compare
    assert compare
    chosen = variants(loaded)
    for variant in chosen.values():
        launch.choose(variant, device)  # what is not there is refused now, and not by the last run
    recipe = loaded.recipe
    mirror = paths.mirror()
    plan = Plan(
        recipe=str(loaded.path.absolute()),
        title=recipe.title,
        metric=compare.metric or next((bar.metric for bar in recipe.bar), "") or recipe.train.keep_best or bars.headline(recipe),
        variants=list(chosen),
        sweep=compare.sweep,
        seeds=list(range(recipe.seed, recipe.seed + compare.seeds)),
        device=device,
        mirror=str(mirror) if mirror else "",
    )
    name = f"{loaded.stem}_{time.strftime('%Y-%m-%d_%H%M%S')}"
    with directory.new(paths.comparisons(), name, "The directory") as path:
        for place, (label, variant) in enumerate(chosen.items()):
            _write_variant(path / "variants" / f"{place:02}", label, variant, recipe.seed, len(chosen) > 1)
        (path / "recipe.yaml").write_text(dump_recipe(recipe))
        # Written last: a directory counts as a comparison once it has a plan.
        files.write(path / "comparison.json", msgspec.json.encode(plan), sync=False)
    return Comparison(path)


def _write_variant(folder: Path, name: str, variant: Loaded, seed: int, many: bool) -> None:
    """A recipe like any other, complete, with a copy of a person's own project beside it: no edit meanwhile makes its seeds differ."""
    folder.mkdir(parents=True)
    if variant.project_file:
        (folder / "project.py").write_bytes(trust.read(variant.project_file))
    recipe = msgspec.structs.replace(
        variant.recipe,
        title=f"{name}: {variant.recipe.title}" if many else variant.recipe.title,
        seed=seed,
        project="./project.py" if variant.project_file else variant.recipe.project,
        config=paths.rooted(variant.recipe.config, variant.path.parent),
    )
    (folder / variant.path.name).write_text(dump_recipe(recipe))


def begin(comparison: Comparison, *, anyway: bool = False) -> None:
    """Start the process of a comparison, or resume it: it trains what has not finished. `anyway`: although code or data have changed."""
    standing = comparison.standing()
    if standing.state.state == "away":
        raise Problem(f"{comparison.id} is {standing.state.message}.", f"Resume it from {standing.state.host}.")
    if standing.state.state == "finished":
        raise Problem(f"All runs of {comparison.id} have finished.", f"`dlwb run {comparison.stem}` starts another comparison.")
    environment = dict(os.environ)
    if (mirror := comparison.plan().mirror) and "DLWB_MIRROR" not in environment:
        environment["DLWB_MIRROR"] = mirror
    command = [sys.executable, "-P", "-m", "workbench.launch.comparing", str(comparison.path.absolute()), "anyway" if anyway else ""]
    done = logind.call(command, environment)
    if done.returncode == 3:
        raise Problem(f"{comparison.id} is running already.", f"`dlwb stop {comparison.id}` stops it.")
    if done.returncode:
        raise Problem(f"{comparison.id} could not be started: {one_line(done.stderr.strip().rpartition(chr(10))[2]) or done.returncode}.")


def stop(comparison: Comparison) -> None:
    """Ask a comparison to start no further run, and to stop those that train: each finishes its step and saves a checkpoint."""
    deadline = time.monotonic() + PATIENCE
    # The lock first: a process that has ended may still take signals.
    while not (lock.is_held(comparison.lock) and comparison.signal(signal.SIGTERM)):
        if not lock.is_held(comparison.lock):
            raise Problem(f"{comparison.id} is not running, so it cannot be stopped.")
        # Just after its start the lock names no process yet.
        if time.monotonic() > deadline:
            raise Problem(f"{comparison.id} is running, but its process is not on this machine.", "Stop it from there.")
        time.sleep(0.05)


class Runner:
    """Starts the runs of a comparison and waits for them."""

    def __init__(self, comparison: Comparison, held: lock.Lock, anyway: bool) -> None:
        self.comparison = comparison
        self.anyway = anyway
        self.lock = held
        self._got_sigterm = False
        signal.signal(signal.SIGTERM, self._on_sigterm)
        self.holder = {"host": lock.host(), "process": {"pid": os.getpid(), "ticks": lock.start_ticks(os.getpid())}, "state": "running"}
        self.lock.write(self.holder)
        self.plan = comparison.plan()
        self.parts = self._adopted()
        comparison.write(self.parts)

    def work(self) -> None:
        """Train every part that has no result yet, as many at once as there are devices for; a failed one does not stop the others."""
        waiting = [place for place, part in enumerate(self.parts) if not _is_over(part)]
        # After the death of this process its runs go on.
        waiting.sort(key=lambda place: not _lives(self.parts[place]))
        live: list[Run] = []
        room = 1
        while live or (waiting and not self._got_sigterm):
            live = [run for run in live if state_of(run).alive]
            if self._got_sigterm and self.holder["state"] == "running":
                self._turn("stopping")
                for run in live:
                    with contextlib.suppress(Problem):  # it has just ended
                        launch.stop(run)
            elif waiting and not self._got_sigterm and len(live) < room:
                started = self._start(waiting.pop(0))
                if started:
                    live.append(started)
                    # Runs of several GPUs find a free one themselves, see DeviceQueue.
                    room = max(1, sum(name.startswith("cuda") for name in choose_device.allowed(started)))
                continue
            time.sleep(EVERY)
        self._turn("stopped" if self._got_sigterm else "ended")

    def _start(self, place: int) -> Run | None:
        """The run of a part, started or resumed; None where that fails, which is noted."""
        part = self.parts[place]
        try:
            run = part.place or self._create(place)
            if not state_of(run).alive:
                launch.launch(run, anyway=self.anyway)
            self._note(place, problem="")
            return run
        except Problem as problem:
            self._note(place, problem=one_line(str(problem), 500))
        except OSError as error:
            self._note(place, problem=one_line(f"{error.strerror} ({error.filename})", 500))
        return None

    def _create(self, place: int) -> Run:
        part = self.parts[place]
        loaded = load_recipe(self.comparison.recipe_file(self.plan.variants.index(part.variant)), [f"seed={part.seed}"])
        belongs = {"comparison": self.comparison.id, "variant": part.variant}
        run = launch.create(loaded, *launch.choose(loaded, self.plan.device), belongs)
        self._note(place, run=run.id)
        notes.tag(run, [part.variant, self.comparison.stem[: notes.TAG_LENGTH]])
        return run

    def _note(self, place: int, **changes: str) -> None:
        self.parts[place] = msgspec.structs.replace(self.parts[place], **changes)
        self.comparison.write(self.parts)

    def _turn(self, state: str) -> None:
        self.holder["state"] = state
        self.lock.write(self.holder)

    def _adopted(self) -> list[Part]:
        """The parts with their runs, also one that was created just before the death of this process and is not noted."""
        parts = self.comparison.parts()
        noted = {part.run for part in parts}
        for run in list_runs():
            about = run.about() if run.id >= self.comparison.stamp and run.id not in noted else {}
            if about.get("comparison") == self.comparison.id:
                for place, part in enumerate(parts):
                    if part.variant == about.get("variant") and part.seed == run.recipe().seed and not part.place:
                        parts[place] = msgspec.structs.replace(part, run=run.id)
        return parts

    def _on_sigterm(self, number: int, frame: types.FrameType | None) -> None:
        self._got_sigterm = True


def _lives(part: Part) -> bool:
    """Whether its run lives."""
    run = part.place
    return run is not None and state_of(run).alive


def _is_over(part: Part) -> bool:
    """Whether its run has a result: it finished, or it diverged."""
    state = state_of(run) if (run := part.place) else None
    return state is not None and (state.state == "finished" or diverged(state))


def main(words: list[str]) -> int:
    """Fork; the child takes the lock, reports that, and works. Exit code 3: the lock is held."""
    comparison, anyway = Comparison(Path(words[0])), words[1] == "anyway"
    ready, signal_ready = os.pipe()
    if os.fork():
        os.close(signal_ready)
        answer = os.read(ready, 1)
        return answer[0] if answer else 1
    os.close(ready)
    os.setsid()
    try:
        held = lock.Lock.take(comparison.lock)
        if held is None:
            os.write(signal_ready, b"\x03")
            return 3
        runner = Runner(comparison, held, anyway)
    except (OSError, Problem) as error:
        print(error, file=sys.stderr, flush=True)  # its last line is what a person gets to read
        return 1
    os.write(signal_ready, b"\x00")
    os.close(signal_ready)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    runner.work()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
