"""All commands, in the groups and the order of `dlwb --help`: the most common first."""

from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from workbench import __version__
from workbench.cli import (
    compare,
    completion,
    course,
    data,
    endpoints,
    explore,
    fork,
    generate,
    look,
    machine,
    models,
    open_log,
    predict,
    queue,
    results,
    start,
    steer,
    submit,
    tune,
    usage,
    web,
)
from workbench.cli.printing import put

HELP = """Train deep-learning recipes and look at runs. `dlwb` alone opens the terminal program; the commands do the same from scripts.

Results go to stdout, everything else to stderr; --json prints for programs. In a terminal a table is as wide as the terminal, and long
cells continue in the next line; in a pipe or a file each row is one line.

Exit codes: 0 success (wait, follow: the run finished), 1 a problem that you can solve (the run failed), 2 wrong usage, 3 the run was
stopped, 130 left with Ctrl-C.
"""
GROUPS: dict[str, list[Callable[..., None]]] = {
    "Start and look": [
        look.list_,
        start.run,
        tune.tune,
        start.exec_,
        explore.explore,
        look.runs_,
        open_log.open_,
        look.logs,
        look.show,
        look.check,
        start.new,
        start.trust,
        course.course,
        submit.submit,
    ],
    "Steer": [
        steer.pause,
        steer.resume,
        steer.step,
        steer.stop,
        steer.kill,
        steer.wait,
        steer.set_,
        steer.sample,
        steer.checkpoint,
        fork.fork,
        fork.rollback,
    ],
    "Compare and export": [compare.compare, compare.export, compare.tag, compare.note],
    "Data": [],
    "Models": [predict.predict, endpoints.serve, web.web],
    "Machine": [machine.doctor, usage.usage, machine.clean, machine.delete, machine.restore, machine.preferences, machine.notify],
}
DATA: list[Callable[..., None]] = [data.list_, data.fetch, data.verify, data.remove]
ENDPOINTS: list[Callable[..., None]] = [
    endpoints.list_,
    endpoints.show,
    endpoints.update,
    endpoints.rollback,
    endpoints.feedback,
    endpoints.logs,
    endpoints.stop,
    endpoints.delete,
]
MODELS: list[Callable[..., None]] = [models.add, models.list_, models.show, models.alias, models.verify]
QUEUE: list[Callable[..., None]] = [queue.list_, queue.first, queue.hold, queue.release]
TUNINGS: list[Callable[..., None]] = [tune.list_, tune.show, tune.stop, tune.resume]
RESULTS: list[Callable[..., None]] = [results.collect, results.drop, results.carry]


class Grouped(TyperGroup):
    """Shows the commands in groups. Typer can do this only with Rich's boxes, and importing them takes longer than all the rest."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each group, in the order of GROUPS."""
        groups: dict[str, list[tuple[str, str]]] = {name: [] for name in GROUPS}
        commands = [command for command in self.commands.values() if not command.hidden]
        longest = max(len(command.name or "") for command in commands)
        for command in commands:
            # click indents by 2 and puts 2 spaces between the columns; 2 more for safety, so that each command keeps one line.
            line = command.get_short_help_str(formatter.width - longest - 6).removesuffix(".")
            groups[str(command.rich_help_panel)].append((f"{command.name:<{longest}}", line))  # type: ignore[attr-defined]
        for name, lines in groups.items():
            with formatter.section(name):
                formatter.write_dl(lines)


def _print_version(wanted: bool) -> None:
    if wanted:
        put(f"dlwb {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")] = False,
    show_completion: Annotated[
        bool,
        typer.Option("--show-completion", callback=completion.show, is_eager=True, help="Print the script with which a shell completes."),
    ] = False,
    install_completion: Annotated[
        bool,
        typer.Option(
            "--install-completion", callback=completion.install, is_eager=True, help="Install it; bash, zsh or fish may be named after it."
        ),
    ] = False,
) -> None:
    pass


def shell() -> typer.Typer:
    """The commands of `dlwb`."""
    plain: dict[str, Any] = {"rich_markup_mode": None, "pretty_exceptions_enable": False, "add_completion": False}
    app = typer.Typer(name="dlwb", cls=Grouped, **plain)
    app.callback(help=HELP)(_root)
    for group, commands in GROUPS.items():
        _add(app, commands, rich_help_panel=group)
    app.command(hidden=True)(generate.generate)
    sets = typer.Typer(help="List, fetch, verify and remove data sets.", no_args_is_help=True, **plain)
    _add(sets, DATA)
    app.add_typer(sets, name="data", rich_help_panel="Data")
    exported = typer.Typer(help="Show, check and name exported models.", no_args_is_help=True, **plain)
    _add(exported, MODELS)
    app.add_typer(exported, name="model", rich_help_panel="Models")
    served = typer.Typer(help="List, change and stop what is served.", no_args_is_help=True, **plain)
    _add(served, ENDPOINTS)
    app.add_typer(served, name="endpoint", rich_help_panel="Models")
    waiting = typer.Typer(help="List what waits for a GPU; reorder, hold or release it.", **plain)
    waiting.callback(invoke_without_command=True)(queue.queue)
    _add(waiting, QUEUE)
    app.add_typer(waiting, name="queue", rich_help_panel="Steer")
    tuned = typer.Typer(help="List, show, stop and resume tunings.", no_args_is_help=True, **plain)
    _add(tuned, TUNINGS)
    app.add_typer(tuned, name="tuning", rich_help_panel="Start and look")
    measured = typer.Typer(help="Show, and collect, what the recipes were measured to reach.", **plain)
    measured.callback(invoke_without_command=True)(results.results)
    _add(measured, RESULTS)
    app.add_typer(measured, name="results", rich_help_panel="Compare and export")
    return app


def _add(app: typer.Typer, commands: list[Callable[..., None]], **how: Any) -> None:
    for command in commands:
        # `-WORD` removes a tag: click must not take it for an option. What follows a command of one's own is that command's.
        settings = {"ignore_unknown_options": True} if command in (compare.tag, models.alias) else {}
        settings |= {"allow_interspersed_args": False} if command is start.exec_ else {}
        # Names like `list_` only avoid Python's own: the command is `list`.
        app.command(name=command.__name__.rstrip("_"), context_settings=settings, **how)(command)
