"""Try an endpoint: one request with all its parts, the answer with all of its, and the way between them."""

import json
from functools import partial
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.strip import Strip
from textual.widgets import Input

from workbench.problems import Problem, clean, one_line
from workbench.serving import operate
from workbench.serving.endpoint import Endpoint
from workbench.tui import keys
from workbench.tui.drawing import palette, strips
from workbench.tui.keys import Key
from workbench.tui.models import asking_endpoint
from workbench.tui.models.asking_endpoint import Asked
from workbench.tui.panels.endpoint_rows import short_number
from workbench.tui.panels.form import Entry
from workbench.tui.panels.key_bar import KeyBar
from workbench.tui.panels.lines import Lines
from workbench.tui.screens.key_screen import KeyScreen

LONG = 240
"""Characters of a text in a body that are shown."""
ONE_LINE = 70
"""Characters of a body that stands in one line."""
ANY = "any"


class TryEndpointScreen(KeyScreen):
    """Enter sends; a text, JSON or the path of a picture is typed in place of the model's own example."""

    DEFAULT_CSS = """
    TryEndpointScreen #top { height: 2; padding: 0 1; }
    TryEndpointScreen #request { height: 2fr; padding: 0 1; }
    TryEndpointScreen #typed { height: 1; layout: horizontal; margin: 0 1; }
    TryEndpointScreen #typed Lines { width: 12; }
    TryEndpointScreen #typed Entry { width: 1fr; }
    TryEndpointScreen #answer { height: 3fr; padding: 1 1 0 1; }
    """
    KEYS: ClassVar[tuple[Key, ...]] = (
        Key("enter", "send", "send", "Send the request", "⏎"),
        Key("tab", "variant", "variant", "Ask another variant, or any, as the weights have it", "Tab"),
        Key("down", "example", "example", "Take the next of the inputs that the model was exported with", "↓"),
        Key("up", "example_before", "", "Take the one before", "↑"),
        Key("pageup", "page_up", "", "Scroll the answer up", "PgUp"),
        Key("pagedown", "page_down", "", "Scroll the answer down", "PgDn"),
        Key("escape", "back", "back", "Go back", "Esc"),
        *(key for key in keys.ALWAYS if key.name != "quit"),
        Key("ctrl+q,ctrl+c", "quit", "quit", "Quit dlwb; runs and endpoints go on without it", "^q"),
    )
    BINDINGS = keys.bindings(KEYS)

    def __init__(self, endpoint: Endpoint, variant: str = "") -> None:
        """Raises Problem where its directory is damaged."""
        super().__init__()
        self.endpoint = endpoint
        self.about = endpoint.about
        self.config = endpoint.config(endpoint.current.config)
        self.targets = ["", *(plan.name for plan in self.config.variants)]
        self.target = variant if variant in self.targets else ""
        self.examples: list[Any] = []
        self.place = 0
        self.asked: Asked | None = None
        self.sending = False
        self.trouble = ""
        self._take_examples()

    def _take_examples(self) -> None:
        plan = asking_endpoint.first_variant(self.config, self.target)
        self.label = plan.label
        self.examples = asking_endpoint.examples_of(plan) or [{}]
        self.place = 0

    @property
    def raw(self) -> Any:
        """The example that is asked, or was there before a person typed."""
        return self.examples[self.place % len(self.examples)]

    def compose(self) -> ComposeResult:
        yield Lines(id="top")
        yield Lines(id="request")
        with Horizontal(id="typed"):
            yield Lines(id="label")
            yield Entry(id="entry")
        yield Lines(id="answer")
        yield KeyBar()

    def on_mount(self) -> None:
        for name, source in (("top", self._top), ("request", self._request), ("label", self._label), ("answer", self._answer)):
            self.query_one(f"#{name}", Lines).source = source
        self._fill()
        self.set_focus(self.entry)

    @property
    def entry(self) -> Entry:
        return self.query_one("#entry", Entry)

    def _fill(self) -> None:
        """Put the example into the line."""
        self.entry.value = clean(asking_endpoint.typed(self.raw)[1])
        self.tell()

    def tell(self) -> None:
        """Draw all again."""
        for panel in self.query(Lines):
            panel.rebuild()

    # -- what stands where -----------------------------------------------------------------------------------------------------

    def _top(self, width: int) -> list[Strip]:
        parts = [("Try it  ", palette.heading), (self.endpoint.id, palette.bold), (f"   {self.label}", palette.dim)]
        chosen: list[strips.Part] = [("variant  ", palette.faint)]
        for name in self.targets:
            chosen.append((f" {name or ANY} ", palette.badge if name == self.target else palette.dim))
        return [strips.line(width, parts, chosen), strips.line(width, [])]

    def _label(self, width: int) -> list[Strip]:
        key, _ = asking_endpoint.typed(self.raw)
        name = "picture's file" if key == "picture" else key or "JSON"
        return [strips.line(width, [(f"{one_line(name, width - 2)} ▸", palette.accent)])]

    def _request(self, width: int) -> list[Strip]:
        lines = [
            _heading("request", "", width),
            strips.line(width, [("POST ", palette.bold), (f"{self.endpoint.url}{asking_endpoint.PATH}", palette.accent)]),
        ]
        try:
            head = asking_endpoint.head_of(self.about, self.target)
            body = asking_endpoint.body_of(self.raw, self._typed)
        except Problem as problem:
            return [*lines, *strips.paragraph(str(problem), width, palette.bad)]
        lines += [_header(name, "Bearer …" if name == "Authorization" else value, width) for name, value in head.items()]
        lines += [_header("Content-Length", f"{len(body):,}", width), strips.line(width, [])]
        return lines + strips.paragraph(readable(body), width, palette.plain, "  ")

    def _answer(self, width: int) -> list[Strip]:
        if self.trouble:
            return strips.paragraph(self.trouble, width, palette.bad)
        if self.sending or self.asked is None:
            return strips.paragraph("waits for the answer …" if self.sending else "Enter sends the request.", width, palette.dim)
        asked = self.asked
        took = f"{1000 * asked.seconds:.1f} ms"
        lines = [_heading("answer", took, width)]
        if not asked.status:
            return lines + strips.paragraph(asked.reason, width, palette.bad)
        style = palette.good if asked.status == 200 else palette.warn if asked.status < 500 else palette.bad
        lines.append(strips.line(width, [(f"{asked.status} {one_line(asked.reason, 60)}", style)]))
        lines += [_header(name, value, width) for name, value in asked.headers]
        lines.append(strips.line(width, []))
        lines += strips.paragraph(readable(asked.body), width, palette.plain, "  ")
        return [*lines, strips.line(width, []), *self._way(asked, width)]

    def _way(self, asked: Asked, width: int) -> list[Strip]:
        """Where the request went, and what the parts of the way take."""
        found = {name.lower(): one_line(value, 80) for name, value in asked.headers}
        variant, label = found.get("x-amzn-invoked-production-variant", ""), found.get("x-model-version", "")
        hops = ["this terminal", f"router {self.endpoint.url.removeprefix('http://')}"]
        hops += [f"variant {variant}", f"{label} in its worker"] if variant else ["no variant: the router answered itself"]
        newest = operate.latest(self.endpoint)
        figures = [
            f"{name} {short_number(newest[f'{tag}/{variant}'])} {unit}"
            for tag, name, unit in (
                ("compute", "the model computes", "ms a batch"),
                ("batch", "batches of", "inputs"),
                ("p50", "half of all within", "ms"),
            )
            if f"{tag}/{variant}" in newest
        ]
        lines = [_heading("way", "", width), *strips.paragraph("  →  ".join(hops), width, palette.plain, "  ")]
        return lines + (strips.paragraph(f"lately {', '.join(figures)}", width, palette.dim) if figures else [])

    # -- keys ------------------------------------------------------------------------------------------------------------------

    @property
    def _typed(self) -> str:
        """What stands in the line; the example itself where it is as it was, cut or cleaned for the line."""
        before = asking_endpoint.typed(self.raw)[1]
        value = self.entry.value
        return (
            before if value == clean(before)[: len(value)] and len(value) >= min(len(clean(before)), self.entry.max_length or 0) else value
        )

    @on(Input.Changed)
    def _changed(self) -> None:
        self.query_one("#request", Lines).rebuild()

    @on(Input.Submitted)
    def do_send(self) -> None:
        if self.sending:
            return  # Enter pressed twice quickly
        try:
            body = asking_endpoint.body_of(self.raw, self._typed)
            asking_endpoint.head_of(self.about, self.target)
        except Problem as problem:
            self.trouble = str(problem)
            self.tell()
            return
        self.trouble, self.sending = "", True
        self.tell()
        self.run_worker(partial(self._ask, self.target, body), thread=True, group="asking")

    def _ask(self, target: str, body: bytes) -> None:
        asked = asking_endpoint.ask(self.about, target, body)
        if self.app.is_running:
            self.app.call_from_thread(self._answered, asked)

    def _answered(self, asked: Asked) -> None:
        self.asked, self.sending = asked, False
        if self.is_attached:
            self.query_one("#answer", Lines).top = 0
            self.tell()

    def do_variant(self) -> None:
        before, text = self.raw, self.entry.value
        self.target = self.targets[(self.targets.index(self.target) + 1) % len(self.targets)]
        self._take_examples()
        if type(self.raw) is type(before) and asking_endpoint.typed(self.raw)[0] == asking_endpoint.typed(before)[0]:
            self.entry.value = text  # the same question to another variant
            self.tell()
        else:
            self._fill()

    def do_example(self) -> None:
        self.place += 1
        self._fill()

    def do_example_before(self) -> None:
        self.place -= 1
        self._fill()

    def do_page_up(self) -> None:
        self.query_one("#answer", Lines).scroll_by(-8)

    def do_page_down(self) -> None:
        self.query_one("#answer", Lines).scroll_by(8)

    def do_back(self) -> None:
        self.dismiss()


def _heading(text: str, right: str, width: int) -> Strip:
    return strips.line(
        width,
        [(text, palette.bold), (" " + "─" * max(0, width - len(text) - len(right) - 2), palette.faint)],
        [(f" {right}" * bool(right), palette.accent)],
    )


def _header(name: str, value: str, width: int) -> Strip:
    return strips.line(width, [(f"{one_line(name, 60)}: ", palette.faint), (one_line(value, 400), palette.plain)])


def readable(body: bytes) -> str:
    """A body for people: JSON indented, long texts in it cut."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return clean(body[:4000].decode(errors="replace"))
    whole = json.dumps(_cut(value), ensure_ascii=False)
    return clean(whole if len(whole) <= ONE_LINE else json.dumps(_cut(value), indent=2, ensure_ascii=False))


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > LONG:
        return f"{value[:60]}… ({len(value):,} characters)"
    if isinstance(value, list):
        short = [_cut(item) for item in value[:20]]
        return [*short, f"… {len(value):,} in all"] if len(value) > 20 else short
    return {key: _cut(item) for key, item in value.items()} if isinstance(value, dict) else value
