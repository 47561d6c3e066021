"""The shell: `dlwb` alone opens the terminal program; the commands do the same from scripts. Results on stdout, everything else on stderr.

Exit codes: 0 done (wait, follow: the run finished), 1 a problem that a person can mend (the run failed), 2 wrong usage,
3 the run was stopped, 130 let go with Ctrl-C.
"""

import gc
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from workbench.problems import Problem, clean

if TYPE_CHECKING:
    from workbench.runs.runs import Run


def main() -> None:
    """Entry point of `dlwb`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without our signs is no reason to fail
    try:
        if len(sys.argv) == 1:
            gc.disable()  # nothing that is being imported is garbage; the program turns it on again once its list is painted
            from workbench.tui.app import run

            run()
            return
        _shell()()
        if sys.stdout is not None:
            sys.stdout.flush()
    except Problem as problem:
        _tell(clean(problem.message))
        if problem.hint:
            _tell(clean(problem.hint))
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read our results has gone (`dlwb runs | head`); nothing is left to say.
        sys.stdout = None
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        # Full or read-only disks, files that may not be read: nothing that a traceback would help with.
        _tell(clean(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"))
        sys.exit(1)


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def _print(text: str) -> None:
    print(text, flush=True)


def _shell() -> Any:
    import typer

    shell = typer.Typer(
        name="dlwb", no_args_is_help=False, add_completion=True, pretty_exceptions_enable=False, rich_markup_mode=None, help=__doc__
    )
    Recipe = Annotated[str, typer.Argument(help="A recipe's name, as in `dlwb list`, or a path to a .yaml file.")]
    Reference = Annotated[str, typer.Argument(help="A run: its id, a part of it, a recipe's name (its newest run), or `last`.")]
    AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
    Settings = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting: config.learning_rate=0.1")]

    @shell.command(name="list")
    def list_(as_json: AsJson = False) -> None:
        """List the recipes, by part."""
        from workbench import listing

        listing.show_recipes(as_json)

    @shell.command()
    def show(recipe: Recipe, settings: Settings = None, as_json: AsJson = False) -> None:
        """Show a recipe, every default filled in."""
        from workbench import listing

        listing.show_recipe(recipe, settings or [], as_json)

    @shell.command()
    def check(recipes: Annotated[list[str], typer.Argument(help="Recipes to check; none: all.")] = []) -> None:  # noqa: B006
        """Check recipes: every problem, with its line; nothing of theirs is run."""
        from workbench import listing

        if not listing.check(recipes):
            raise typer.Exit(1)

    @shell.command()
    def new(
        name: Annotated[str, typer.Argument(help="The new recipe's name.")],
        source: Annotated[str, typer.Option("--from", metavar="RECIPE", help="The recipe to copy.")],
        project: Annotated[bool, typer.Option("--project", help="Copy its Python file too.")] = False,
        here: Annotated[bool, typer.Option("--here", help="Into ./recipes/, which is made if need be.")] = False,
    ) -> None:
        """Copy a recipe, to be edited: into ./recipes/ where there is one, else into the home's."""
        from workbench.recipes import copy_recipe as copying

        made = copying.copy(name, source, project=project, here=here)
        _print(str(made.recipe))
        if made.project:
            _print(str(made.project))
            _tell(f"It is trusted as it is, being a copy. Once you have edited it: dlwb trust {made.project}")

    @shell.command()
    def trust(file: Annotated[Path, typer.Argument(help="A Python file with a project of your own.")]) -> None:
        """Let dlwb run a Python file of your own, as it is now."""
        from workbench.recipes import trust as trusting

        _tell(f"Trusted: {file}, SHA-256 {trusting.trust(file)}.")

    @shell.command()
    def run(
        recipe: Recipe,
        settings: Settings = None,
        device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "",
        follow: Annotated[bool, typer.Option("--follow", "-f", help="Show how it goes until it ends.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Train a recipe in the background; prints the run's id."""
        from workbench.follow import follow as follow_run
        from workbench.launch import start
        from workbench.listing import print_json

        made = start.start(recipe, settings or [], device)
        if warning := made.about().get("warning"):
            _tell(clean(f"! {warning}"))
        if not (follow and as_json):
            print_json({"run": made.id}) if as_json else _print(made.id)
        if follow:
            raise typer.Exit(follow_run(made, as_json, started=True))

    @shell.command(name="runs")
    def runs_(
        words: Annotated[list[str] | None, typer.Argument(metavar="[WORD]...", help="Only runs with these in name, tags or note.")] = None,
        as_json: AsJson = False,
    ) -> None:
        """List the runs, newest first."""
        from workbench import listing

        listing.show_runs(as_json, words or [])

    @shell.command()
    def compare(
        references: Annotated[list[str], typer.Argument(metavar="RUN...", help="Two or more runs.")], as_json: AsJson = False
    ) -> None:
        """Show runs side by side: the settings that differ, and what each reached."""
        from workbench import listing

        listing.show_comparison([_run(each) for each in references], as_json)

    @shell.command(context_settings={"ignore_unknown_options": True})
    def tag(run: Reference, words: Annotated[list[str], typer.Argument(metavar="WORD...", help="-WORD takes one off.")]) -> None:
        """Put tags on a run, or take them off."""
        from workbench.runs import notes

        _print(" ".join(notes.tag(_run(run), words).tags))

    @shell.command()
    def note(run: Reference, text: Annotated[list[str], typer.Argument(metavar="TEXT", help='"" takes the note off.')]) -> None:
        """Write a note on a run, in place of the one before."""
        from workbench.runs import notes

        _print(notes.note(_run(run), " ".join(text)).note)

    @shell.command()
    def logs(
        run: Reference,
        follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends.")] = False,
        events: Annotated[bool, typer.Option("--events", help="Its events, not what it printed.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Print what a run printed, or its events."""
        from workbench import follow as following

        found = _run(run)
        if events or as_json:
            raise typer.Exit(following.follow(found, as_json, to_its_end=follow))
        following.output(found, follow)

    @shell.command()
    def doctor(as_json: AsJson = False) -> None:
        """Look for what goes wrong on real machines: GPU, torch, disk, logout, terminal. Exit code 1 where something is bad."""
        from workbench.launch.doctor import report

        if not report.show(as_json):
            raise typer.Exit(1)

    def _command(reference: str, verb: str, request: dict[str, Any] | None = None) -> None:
        from workbench import follow
        from workbench.launch import start

        found = _run(reference)
        ok, message = follow.answer(found, start.command(found, verb, request))
        _tell(f"{found.id}: {message or verb + ': done'}")
        if not ok:
            raise typer.Exit(1)

    @shell.command()
    def stop(run: Reference) -> None:
        """Ask a run to finish its step, save a checkpoint, and end."""
        from workbench.launch import start

        found = _run(run)
        start.stop(found)
        _tell(f"{found.id} ends after its step; `dlwb wait {found.id}` waits for it.")

    @shell.command()
    def pause(run: Reference) -> None:
        """Pause a run: it saves a checkpoint and keeps its memory."""
        _command(run, "pause")

    @shell.command()
    def resume(
        run: Reference,
        anyway: Annotated[bool, typer.Option("--anyway", help="Although its project's code has changed.")] = False,
    ) -> None:
        """Go on with a paused run, or with one that ended, from its last checkpoint."""
        from workbench.launch import start
        from workbench.runs import runs

        found = _run(run)
        if runs.state(found).alive:
            _command(run, "resume")
            return
        start.launch(found, anyway=anyway)
        _print(found.id)

    @shell.command()
    def kill(run: Reference) -> None:
        """End a run at once, without a checkpoint; what was saved before stays."""
        from workbench.launch import start

        found = _run(run)
        start.kill(found)
        _tell(f"{found.id} was killed; `dlwb resume {found.id}` goes on from its last checkpoint.")

    @shell.command()
    def sample(
        run: Reference,
        settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="What is asked: prompt='Anna'")] = None,
    ) -> None:
        """Sample now from a live run's weights."""
        _command(run, "sample", _request(settings or []))

    @shell.command(name="set")
    def set_(run: Reference, settings: Annotated[list[str], typer.Argument(help="KEY=VALUE, as config.learning_rate=0.01")]) -> None:
        """Change live settings of a run, from its next step on."""
        _command(run, "set", _request(settings))

    @shell.command()
    def checkpoint(run: Reference) -> None:
        """Save a live run's state now, and keep it."""
        _command(run, "checkpoint")

    @shell.command()
    def wait(
        runs: Annotated[list[str], typer.Argument(help="Runs to wait for.")],
        bell: Annotated[bool, typer.Option("--bell", help="Then ring, and show a desktop notice where the terminal can.")] = False,
    ) -> None:
        """Wait until runs have ended; exit code 0 when all finished, 1 when one failed, 3 when one was stopped."""
        from workbench import follow

        codes = [follow.wait(_run(each), bell) for each in runs]
        raise typer.Exit(1 if 1 in codes else max(codes))

    @shell.command()
    def delete(run: Reference) -> None:
        """Move an ended run to the trash (runs/.trash)."""
        from workbench.runs import trash

        found = _run(run)
        _tell(f"{found.id} is in the trash; `dlwb restore {trash.delete(found).id}` brings it back.")

    @shell.command()
    def restore(run: Annotated[str, typer.Argument(help="A run in the trash; none: the last deleted one.")] = "last") -> None:
        """Bring a deleted run back from the trash."""
        from workbench.runs import trash

        _print(trash.restore(run).id)

    @shell.command(name="clean")
    def clean_(
        empty_trash: Annotated[bool, typer.Option("--trash", help="Remove deleted runs for good.")] = False,
        older: Annotated[float, typer.Option(metavar="DAYS", min=0, help="With --trash: only what was deleted so long ago.")] = 0,
        checkpoints: Annotated[list[str] | None, typer.Option(metavar="RUN", help="Remove all but its best and its newest.")] = None,
        yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Show where the disk went; with --trash or --checkpoints, make room."""
        from workbench.runs import disk_use

        if empty_trash:
            disk_use.clean_trash(older, yes)
        if checkpoints:
            disk_use.clean_checkpoints([_run(each) for each in checkpoints], yes)
        if not empty_trash and not checkpoints:
            disk_use.show(as_json)

    @shell.command()
    def preferences(settings: Annotated[list[str] | None, typer.Argument(help="KEY=VALUE; none: show all.")] = None) -> None:
        """Show or set what you prefer: notice=bell, …"""
        from workbench import preferences as preferring

        for word in settings or []:
            preferring.put(*_pair(word))
        for name, known in preferring.KNOWN.items():
            _print(f"{name}={preferring.get(name)}  ({', '.join(known.choices)}: {known.about})")

    @shell.command()
    def export(
        run: Reference,
        to: Annotated[str, typer.Option(help="html, csv, json or tensorboard")],
        out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; csv and json else go to stdout.")] = None,
    ) -> None:
        """Write a run as one page with charts, samples and settings, or its log for another program."""
        from workbench.runs.export import formats as exporting

        exporting.export(_run(run), to, out)

    results = typer.Typer(help="Show what the recipes were measured to reach; collect it from runs; write it into the README.")
    shell.add_typer(results, name="results")

    @results.callback(invoke_without_command=True)
    def results_(context: typer.Context, as_json: AsJson = False) -> None:
        from workbench.runs import measured as results

        if context.invoked_subcommand is None:
            results.show(as_json)

    @results.command()
    def collect(
        references: Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="Finished runs.")] = None,
        recipe: Annotated[str, typer.Option(help="Every finished run of this recipe, too.")] = "",
    ) -> None:
        """Put finished runs among the committed results."""
        from workbench.runs import measured as results

        for said in results.collect(references or [], recipe):
            _tell(said)

    @results.command()
    def drop(references: Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids of runs.")]) -> None:
        """Take runs out of the committed results."""
        from workbench.runs import measured as results

        results.drop(references)

    @results.command()
    def carry(
        references: Annotated[list[str], typer.Argument(metavar="RUN...", help="Finished runs of the code before: ids or paths.")],
    ) -> None:
        """Keep results although the code has changed: replay these runs with it, and see that every bit is the same."""
        from workbench.launch import carry as carrying

        for said in carrying.carry(references):
            _tell(said)

    @results.command()
    def render(check: Annotated[bool, typer.Option("--check", help="Only see whether it is right.")] = False) -> None:
        """Write the README's table of results anew."""
        from workbench.runs import measured as results

        results.render(check)

    data = typer.Typer(help="The data sets: what there is, and what of it is here.", no_args_is_help=True, rich_markup_mode=None)
    shell.add_typer(data, name="data")
    DataSet = Annotated[str, typer.Argument(metavar="NAME[:VARIANT]", help="A data set, as in `dlwb data list`.")]
    Variant = Annotated[str, typer.Option(help="One of its variants.")]

    @data.command(name="list")
    def list_data(as_json: AsJson = False) -> None:
        """List the data sets and their variants, and where they are."""
        from workbench import data

        data.show(as_json)

    @data.command(name="fetch")
    def fetch_data(name: DataSet, variant: Variant = "") -> None:
        """Fetch a data set, or the rest of it; prints where its files are."""
        from workbench import data

        data.fetch(name, variant)

    @data.command(name="verify")
    def verify_data(
        names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="None: all that are here.")] = None,
    ) -> None:
        """Hash the files that are here; exit code 1 where one is not what it should be."""
        from workbench import data

        if not data.verify(names or []):
            raise typer.Exit(1)

    @data.command(name="remove")
    def remove_data(name: DataSet, variant: Variant = "") -> None:
        """Delete what was downloaded of a data set. A mirror is never changed."""
        from workbench import data

        data.remove(name, variant)

    return shell


def _run(reference: str) -> "Run":
    from workbench.runs import runs

    return runs.find(reference)


def _request(settings: list[str]) -> dict[str, Any]:
    """KEY=VALUE words as a dictionary, values read as in a recipe."""
    from workbench.recipes.yaml_reader import flow_value

    request: dict[str, Any] = {}
    for word in settings:
        key, value = _pair(word)
        request[key], wrong = flow_value(value)
        if wrong:
            raise Problem(f"{key}: {wrong}.")
    return request


def _pair(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals:
        raise Problem(f"{word} is not KEY=VALUE.")
    return key.strip(), value.strip()


if __name__ == "__main__":
    main()
