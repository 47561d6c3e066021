"""`dlwb web`: a page where anybody can ask an endpoint, with a function and a gateway between, as in a cloud."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.printing import put, tell
from workbench.problems import Problem


def web(
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT", help="An endpoint whose model reads film reviews.")],
    handler: Annotated[Path | None, typer.Option(help="A function of your own, handler(event, context), that you trust.")] = None,
    routes: Annotated[Path | None, typer.Option(help="The gateway's routes, a YAML file; without, POST /predict.")] = None,
    port: Annotated[int, typer.Option(min=1024, max=65535, help="The page's port; the gateway takes the next one.")] = 8090,
    encode: Annotated[
        bool, typer.Option("--encode", help="The function makes the words' counts itself, as the course's first page.")
    ] = False,
) -> None:
    """Show an endpoint as a page, until Ctrl-C.

    Text in, answer out, and how long each hop took. The endpoint goes on.
    """

    from workbench.encoding import model_folder
    from workbench.encoding.kinds import BagOfWords, NextToken, TextCodes
    from workbench.serving import endpoint as endpoints
    from workbench.serving import operate
    from workbench.serving.web import processes

    # Asked to end, it ends its processes and goes, as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    found = endpoints.find_endpoint(endpoint)
    operate.insist_that_it_runs(found)
    variants = found.config(found.current.config).variants
    model = model_folder.read(variants[0].folder).model
    if not isinstance(model.encoder, TextCodes | BagOfWords) or isinstance(model.decoder, NextToken):
        raise Problem(f"{variants[0].label} reads no film reviews, and the page has a field for nothing else.", "", "data")
    # So that a closed terminal and a `kill` end the three processes as well.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    about = f"{found.id} · {', '.join(variant.label for variant in variants)}"
    folder = variants[0].folder if encode else None
    with processes.started(found.id, found.url, about, handler=handler, routes=routes, port=port, folder=folder) as web_:
        put(web_.url)
        tell(f"Gateway: {web_.gateway}. Ctrl-C ends both; {found.id} goes on.")
        web_.wait()
