"""Serving: `dlwb serve`, and `dlwb endpoint list`, `show`, `update`, `rollback`, `logs`, `stop` and `delete`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli.arguments import AsJson, pair
from workbench.cli.printing import print_json, put, table, tell
from workbench.problems import Problem, one_line

Named = Annotated[str, typer.Argument(metavar="ENDPOINT", help="An endpoint, as in `dlwb endpoint list`.")]


def serve(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="NAME, NAME:VERSION or NAME@ALIAS, as in `dlwb model list`; or a run, which is exported first."
        ),
    ] = "",
    name: Annotated[str, typer.Option(help="What the endpoint is called; without, as its model.")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where it listens; without, 8080 or the next free one.")] = 0,
    address: Annotated[str, typer.Option(help="The address it listens at; any other needs a token, in $DLWB_TOKEN_FILE.")] = "127.0.0.1",
    stop_when_idle: Annotated[str, typer.Option(metavar="TIME", help="Stop after so long without a request: 30m, 2h.")] = "",
    isolate: Annotated[
        bool, typer.Option("--isolate/--no-isolate", help="A process for each model; without, one inside the server.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Serve a model in the background; prints its URL.

    With --name alone an endpoint that was stopped starts again.
    """
    from workbench.encoding import model_folder
    from workbench.serving import calls, operate
    from workbench.serving.endpoint import find_endpoint
    from workbench.serving.rollout import seconds_of

    idle = seconds_of(stop_when_idle) if stop_when_idle else 0.0
    if model:
        endpoint = operate.serve(_exported(model), name=name, host=address, port=port, idle=idle, isolate=isolate)
    elif name:
        if port or idle or not isolate or address != "127.0.0.1":
            raise Problem("--name alone starts an endpoint as it was.", "Name a model as well, or leave out the other options.")
        endpoint = find_endpoint(name)
        operate.start(endpoint)
    else:
        raise Problem("There is no model named.", "`dlwb model list` lists what can be served; a run is exported first.")
    if as_json:
        print_json(operate.plain(endpoint))
        return
    put(endpoint.url)
    plan = endpoint.config(endpoint.current.config).variants[0]
    tell(f"{endpoint.id} answers. Ask it: {calls.curl(model_folder.read(plan.folder), endpoint.url)}")
    tell(f"`dlwb endpoint show {endpoint.id}` watches it, `dlwb endpoint stop {endpoint.id}` stops it.")


def _exported(reference: str) -> str:
    """A model's reference; of a run, the model that it was exported as, which is done now where it was not."""
    from workbench.encoding import model_store

    try:
        model_store.place(reference)
        return reference
    except Problem as problem:
        from workbench.runs.run import find_run

        try:
            run = find_run(reference)
        except Problem:
            raise problem from None
    for label in map(
        "{0[0]}:{0[1]}".format, [(name, version) for name in model_store.names() for version in model_store.versions(name)][::-1]
    ):
        if model_store.find(label).model.run == run.id:
            return label
    from workbench.launch import exporting

    folder, compared = exporting.into_store(run, "", lambda what: tell(f"{what} …"))
    tell(f"{folder.label}, {compared}")
    return folder.label


def list_(as_json: AsJson = False) -> None:
    """List the endpoints: state, URL, weights, traffic."""
    from workbench.serving import operate
    from workbench.serving.endpoint import list_endpoints

    rows = []
    for endpoint in list_endpoints():
        try:
            rows.append(operate.plain(endpoint))
        except Problem as problem:  # one that is damaged must not hide the others
            rows.append({"name": endpoint.id, "state": "damaged", "message": problem.message})
    if as_json:
        print_json(rows)
    elif not rows:
        tell("There is no endpoint. `dlwb serve MODEL` starts one.")
    else:
        table(["ENDPOINT", "STATE", "URL", "VARIANTS", "REQ/S", "P99", "ERRORS"], [_row(row) for row in rows], right=3)


def _row(row: dict[str, Any]) -> list[str]:
    if "url" not in row:
        return [row["name"], row["state"], "", row["message"], "", "", ""]
    figures = row["figures"] if row["alive"] else {}
    rate, p99, errors = (figures.get(name) for name in ("rate", "p99", "errors"))
    return [
        row["name"],
        row["state"],
        row["url"],
        ", ".join(_share(variant) for variant in row["variants"]),
        f"{rate:.1f}" if rate is not None else "",
        f"{p99:.1f} ms" if p99 is not None else "",
        f"{errors:.0f}" if errors is not None else "",
    ]


def _share(variant: dict[str, Any]) -> str:
    return f"{variant['name']} {'shadow' if variant['shadow'] else format(variant.get('weight', 0), '.0%')}"


def show(endpoint: Named, as_json: AsJson = False) -> None:
    """Show an endpoint: variants, figures, configurations, and what happened last."""
    from workbench.events import Mark
    from workbench.runs.log import Tail
    from workbench.serving import operate
    from workbench.serving.endpoint import find_endpoint

    chosen = find_endpoint(endpoint)
    about = operate.plain(chosen)
    marks = [event for event in Tail(chosen.events).read() if isinstance(event, Mark)][-12:]
    if as_json:
        print_json({**about, "timeline": [{"time": mark.time, "text": mark.text} for mark in marks]})
        return
    put(f"{about['name']} · {about['state']} · {about['url']} · configuration {about['config']}")
    if about["message"]:
        put(one_line(about["message"]))
    columns = ("rate", "p50", "p95", "p99", "4xx", "errors", "requests")
    rows = [
        [
            variant["name"],
            variant["model"],
            _share(variant).partition(" ")[2],
            *(f"{variant[key]:.4g}" if key in variant else "" for key in columns),
        ]
        for variant in about["variants"]
    ]
    table(["VARIANT", "MODEL", "WEIGHT", "REQ/S", "P50 MS", "P95 MS", "P99 MS", "4XX", "5XX", "REQUESTS"], rows, right=7)
    if marks:
        import time

        put("")
        table(["WHEN", "WHAT"], [[time.strftime("%m-%d %H:%M:%S", time.localtime(mark.time)), mark.text] for mark in marks])


def update(
    endpoint: Named,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL[=SHARE]", help="A version (4), @ALIAS or NAME:VERSION; alone it gets all traffic, 4=10% a share of it."
        ),
    ] = None,
    duration: Annotated[
        str, typer.Option("--for", metavar="TIME", help="A canary: the share lasts so long, then all traffic follows.")
    ] = "",
    step: Annotated[str, typer.Option(metavar="SHARE", help="With --for: add so much each time, instead of all at once.")] = "",
    weight: Annotated[list[str] | None, typer.Option(metavar="VARIANT=SHARE", help="Change the share of a variant, live.")] = None,
    shadow: Annotated[str | None, typer.Option(metavar="MODEL", help="Give this model copies of all requests; `none` ends it.")] = None,
    limit: Annotated[
        list[str] | None, typer.Option(metavar="WHAT=VALUE", help="errors=5% or p99=200 (ms): a canary above it is taken back.")
    ] = None,
    capture: Annotated[str, typer.Option(metavar="SHARE", help="Write this share of the requests to captures/; 0 ends it.")] = "",
) -> None:
    """Change an endpoint while it serves: another version, a canary, weights, a shadow. A version that errs never gets traffic."""
    from workbench.serving import operate
    from workbench.serving.endpoint import find_endpoint
    from workbench.serving.rollout import seconds_of, share_of

    chosen = find_endpoint(endpoint)
    if weight:
        if variant or duration or step or shadow is not None or limit or capture:
            raise Problem("--weight goes alone.", "The other options make a new configuration.")
        named = {key: share_of(value) for key, value in map(pair, weight)}
        tell(f"{chosen.id}: {operate.ask(chosen, 'weights', {'weights': named})}")
        return
    request: dict[str, Any] = {}
    if variant:
        split = [word.partition("=") for word in variant]
        request["variants"] = [(model.strip(), share_of(share) if equals else None) for model, equals, share in split]
    if duration:
        request["seconds"] = seconds_of(duration)
    if step:
        request["step"] = share_of(step)
    if shadow is not None:
        request["shadow"] = "" if shadow == "none" else shadow
    if limit:
        request["limits"] = {key: _limit(key, value) for key, value in map(pair, limit)}
    if capture:
        request["capture"] = share_of(capture)
    if not request:
        raise Problem("There is nothing to change.", "Name --variant, --weight, --shadow, --limit or --capture.")
    tell(f"{chosen.id}: {operate.ask(chosen, 'update', request)}")


def _limit(key: str, value: str) -> float:
    from workbench.serving.rollout import share_of

    if key == "errors":
        return share_of(value)
    try:
        return float(value.removesuffix("ms"))
    except ValueError:
        raise Problem(f"{one_line(value, 40)!r} is no number of milliseconds.", "Write p99=200.") from None


def rollback(
    endpoint: Named,
    to: Annotated[int, typer.Option(metavar="N", min=0, help="The configuration to go back to; without, the one before.")] = 0,
) -> None:
    """Go back to an earlier configuration; it becomes a new one that is equal to it."""
    from workbench.serving import operate
    from workbench.serving.endpoint import find_endpoint

    chosen = find_endpoint(endpoint)
    tell(f"{chosen.id}: {operate.ask(chosen, 'rollback', {'to': to})}")


def feedback(
    name: Named,
    request: Annotated[str, typer.Argument(metavar="[REQUEST]", help="The id that the answer had, in its header x-request-id.")] = "",
    label: Annotated[str, typer.Argument(metavar="[LABEL]", help="What was right.")] = "",
    file: Annotated[Path | None, typer.Option(help="A CSV file of requests and labels, a line each, instead of one.")] = None,
) -> None:
    """Tell an endpoint what was right: labels that come later show what its inputs cannot. Answers are remembered for some time."""
    from workbench.serving import operate
    from workbench.serving.endpoint import find_endpoint

    endpoint = find_endpoint(name)
    if (file is None) == (not (request and label)):
        raise typer.BadParameter("Give a request's id and its label, or --file.")
    labels = _labels(file) if file else {request: label}
    known = 0
    pairs = list(labels.items())
    for start in range(0, len(pairs), LABELS_AT_ONCE):
        told = operate.ask(endpoint, "feedback", {"labels": dict(pairs[start : start + LABELS_AT_ONCE])})
        known += int(told.partition(" ")[0])
    if not known:
        text = f"{endpoint.id} remembers no answer to {one_line(pairs[0][0], 64) if pairs else 'these'}."
        raise Problem(text, "An answer waits for one label, until 20,000 newer ones have come or the server is started again.")
    tell(f"{endpoint.id}: {known:,} of {len(pairs):,} labels belong to answers that are remembered.")


LABELS_AT_ONCE = 30
"""As many as fit into one line of the control file."""


def _labels(file: Path) -> dict[str, str]:
    import csv

    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = [row for row in csv.reader(lines) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Problem(f"{one_line(str(file))} cannot be read: {one_line(str(error), 100)}.", "", "data") from None
    wrong = next((number for number, row in enumerate(rows, 1) if len(row) != 2 or len(row[0]) > 64 or len(row[1]) > 40), None)
    if wrong:
        raise Problem(f"{one_line(str(file))}: row {wrong} is no request and its label.", "Write REQUEST,LABEL in each line.", "data")
    return {identity: label for identity, label in rows if (identity, label) != ("request", "label")}


def logs(
    endpoint: Named,
    access: Annotated[bool, typer.Option("--access", help="The requests, one a line: when, id, variant, code, ms, bytes.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")] = 100,
) -> None:
    """Print what the endpoint's processes wrote, or its requests."""
    from workbench.problems import clean
    from workbench.runs import commands
    from workbench.serving.endpoint import find_endpoint

    chosen = find_endpoint(endpoint)
    file = chosen.access if access else chosen.output
    end = commands.size_of(file)
    text = commands.part(file, max(0, end - commands.READ_LIMIT)).decode(errors="replace")
    for line in text.splitlines()[-lines:]:
        put(clean(line))
    if not end:
        tell(f"{chosen.id} has written nothing there.")


def stop(endpoint: Named) -> None:
    """Stop an endpoint: what is in flight is answered. `dlwb serve --name NAME` starts it again."""
    from workbench.serving import operate
    from workbench.serving.endpoint import find_endpoint

    chosen = find_endpoint(endpoint)
    operate.stop(chosen)
    tell(f"{chosen.id} has stopped.")


def delete(endpoint: Named, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Delete an endpoint that is stopped, with its log, configurations and captures. Models stay."""
    from workbench.serving import operate
    from workbench.serving.endpoint import find_endpoint

    chosen = find_endpoint(endpoint)
    if not yes and not typer.confirm(f"Delete the endpoint {chosen.id} with its log?", err=True):
        raise typer.Exit(1)
    operate.delete(chosen)
    tell(f"{chosen.id} is deleted.")
