"""Comparisons: creates, starts, resumes and stops them; and the small process of each, which starts one run after the other. No torch.

`python -m workbench.launch.comparing COMPARISON ANYWAY` holds the comparison's lock, and survives the program that started it.
"""

import sys
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from workbench import files, paths
from workbench.launch import estimate, group_process
from workbench.launch import start as launch
from workbench.problems import Problem
from workbench.recipes.load import VARIANT, Loaded, load_recipe, variants
from workbench.recipes.recipe import Compare, dump_recipe
from workbench.runs import bars, directory, lock, notes
from workbench.runs.compare import arms
from workbench.runs.comparisons import Comparison, Part, Plan, diverged
from workbench.runs.run import Run
from workbench.runs.state import state_of

MOST_SEEDS = 20


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
    seconds = [group_process.seconds_of(variant, known[variant.stem]) for variant in chosen.values()]
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
        metric=bars.compared(recipe),
        variants=list(chosen),
        sweep=compare.sweep,
        seeds=list(range(recipe.seed, recipe.seed + compare.seeds)),
        device=device,
        mirror=str(mirror) if mirror else "",
    )
    name = f"{loaded.stem}_{time.strftime('%Y-%m-%d_%H%M%S')}"
    with directory.new(paths.comparisons(), name, "The directory") as path:
        for place, (label, variant) in enumerate(chosen.items()):
            title = f"{label}: {variant.recipe.title}" if len(chosen) > 1 else variant.recipe.title
            group_process.keep_recipe(path / "variants" / f"{place:02}", variant, title, recipe.seed)
        (path / "recipe.yaml").write_text(dump_recipe(recipe))
        # Written last: a directory counts as a comparison once it has a plan.
        files.write(path / "comparison.json", msgspec.json.encode(plan), sync=False)
    return Comparison(path)


def begin(comparison: Comparison, *, anyway: bool = False) -> None:
    """Start the process of a comparison, or resume it: it trains what has not finished. `anyway`: although code or data have changed."""
    standing = comparison.standing()
    if standing.state.state == "away":
        raise Problem(f"{comparison.id} is {standing.state.message}.", f"Resume it from {standing.state.host}.")
    if standing.state.state == "finished":
        raise Problem(f"All runs of {comparison.id} have finished.", f"`dlwb run {comparison.stem}` starts another comparison.")
    group_process.begin(comparison, "workbench.launch.comparing", ["anyway" if anyway else ""], comparison.plan().mirror)


class Runner(group_process.Runner):
    """Starts the runs of a comparison and waits for them."""

    def __init__(self, comparison: Comparison, held: lock.Lock, anyway: bool) -> None:
        super().__init__(comparison, held)
        self.comparison = comparison
        self.anyway = anyway
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
        while live or (waiting and not self.got_sigterm):
            live = [run for run in live if state_of(run).alive]
            if self.got_sigterm:
                self.stop_runs(live)
            elif waiting and len(live) < room:
                started = self._start(waiting.pop(0))
                if started:
                    live.append(started)
                    room = max(1, group_process.gpus(started))
                continue
            time.sleep(group_process.EVERY)
        self.turn("stopped" if self.got_sigterm else "ended")
        self._tell()

    def _tell(self) -> None:
        """Tell that it ended, with the mean of each variant."""
        standing = self.comparison.standing()
        table = arms(self.comparison, standing)
        failed = any(part.problem or (state and state.state == "failed" and not diverged(state)) for part, state in standing.parts)
        figures = {f"{table.metric} of {arm.name}": arm.own.mean for arm in table.rows if arm.own}
        self.give_signal("failure" if failed else "end", standing.state.message, figures)

    def _start(self, place: int) -> Run | None:
        """The run of a part, started or resumed; None where that fails, which is noted."""
        part = self.parts[place]
        try:
            run = part.place or self._create(place)
            if not state_of(run).alive:
                launch.launch(run, anyway=self.anyway)
            self._note(place, problem="")
            return run
        except (OSError, Problem) as error:
            self._note(place, problem=group_process.sentence(error))
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

    def _adopted(self) -> list[Part]:
        """The parts with their runs, also one that was created just before the death of this process and is not noted."""
        parts = self.comparison.parts()
        for run, about in self.unnoted("comparison", {part.run for part in parts}):
            for place, part in enumerate(parts):
                if part.variant == about.get("variant") and part.seed == run.recipe().seed and not part.place:
                    parts[place] = msgspec.structs.replace(part, run=run.id)
        return parts


def _lives(part: Part) -> bool:
    """Whether its run lives."""
    run = part.place
    return run is not None and state_of(run).alive


def _is_over(part: Part) -> bool:
    """Whether its run has a result: it finished, or it diverged."""
    state = state_of(run) if (run := part.place) else None
    return state is not None and (state.state == "finished" or diverged(state))


def main(words: list[str]) -> int:
    """Train the comparison in a process of its own; exit codes as `group_process.main`."""
    comparison, anyway = Comparison(Path(words[0])), words[1] == "anyway"
    return group_process.main(comparison, lambda held: Runner(comparison, held, anyway))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
