"""Reads what the terminal sends, as Textual's events: any bytes, a paste of any length, and of a flood of keys only the newest."""

import re
import time
from codecs import getincrementaldecoder
from collections.abc import Generator, Iterable, Iterator

from textual import events
from textual._xterm_parser import BRACKETED_PASTE_END, BRACKETED_PASTE_START, XTermParser
from textual.message import Message

FLOOD = 128
"""So many keys that come in one piece are all used; of more, only the newest: a list takes so many within a second."""
PASTED = 64
"""So many letters in one piece were pasted, also where the terminal does not say so: nobody types them at once."""
LARGEST = 1 << 20
"""Most characters of a paste that are kept: far more than any field takes."""
OPEN = 2.0
"""Seconds after which a paste ends although no end came: without this limit it would swallow every key from then on."""
# An X10 mouse report (three characters of any kind), a control sequence (ECMA-48, section 5.4), a function key, a key with Alt or Esc.
_SEQUENCE = r"\x1b\[M.{3}|\x1b\[[0-?]*[ -/]*[@-~]|\x1bO[ -~]|\x1b[^\x1b]?"
_TOKENS = re.compile(rf"{_SEQUENCE}|[^\x1b]", re.DOTALL)
_LETTERS = re.compile(rf"{_SEQUENCE}|([^\x00-\x1f\x7f]{{{PASTED},}})", re.DOTALL)
_UNFINISHED = re.compile(r"\x1b(?:O|\[(?:M.{0,2}|[0-?]*[ -/]*))?\Z", re.DOTALL)
_REPORTS = re.compile(r"\x1b\[(?:[IO]|48;.*t|\?.*\$y)")
"""What a terminal says by itself: it has the focus, it has another size, it knows a mode. No flood of keys may hide it."""


class Reader:
    """`feed` takes bytes; `tick` ends what waits too long: an escape sequence, or a paste."""

    def __init__(self) -> None:
        # A byte that is not UTF-8 (a letter of a Latin-1 terminal, an old mouse report) becomes U+FFFD.
        self._decode = getincrementaldecoder("utf-8")("replace").decode
        self._parser = XTermParser()
        self._begun = ""
        """An unfinished escape sequence; the parser has it already."""
        self._paste: str | None = None
        """The paste so far, while it is open."""
        self._edge = ""
        """The last characters of it: the marker of its end may come in two pieces."""
        self._since = 0.0

    def feed(self, data: bytes, *, typing: bool = False) -> Iterator[Message]:
        """The events of these bytes; with `typing` a field of text has the focus, and many letters at once are a paste into it."""
        text = self._decode(data)
        while text:
            if self._paste is not None:
                text = yield from self._pasted(text)
                continue
            text, begun, self._begun = self._begun + text, len(self._begun), ""
            keys, begin, rest = text.partition(BRACKETED_PASTE_START)
            if begin and begun > len(keys):
                self._renew()  # the marker itself was the unfinished sequence
            yield from self._keys(keys, begun, typing)
            if begin:
                self._begun, self._paste, self._edge, self._since = "", "", "", time.monotonic()
            text = rest

    def tick(self) -> Iterator[Message]:
        """The events whose time has come. Call it several times a second."""
        for event in self._safely(self._parser.tick()):
            self._begun = ""
            yield event
        if self._paste is not None and time.monotonic() - self._since > OPEN:
            text, self._paste = self._paste, None
            yield events.Paste(text)

    def _pasted(self, text: str) -> Generator[Message, None, str]:
        """Take text into the open paste; returns what follows its end."""
        paste, edge = self._paste or "", self._edge
        self._since = time.monotonic()
        place = (edge + text).find(BRACKETED_PASTE_END)
        if place < 0:
            self._paste, self._edge = (paste + text)[:LARGEST], (edge + text)[1 - len(BRACKETED_PASTE_END) :]
            return ""
        self._paste = None
        yield events.Paste((paste + text)[: len(paste) - len(edge) + place] if len(paste) < LARGEST else paste)
        return (edge + text)[place + len(BRACKETED_PASTE_END) :]

    def _keys(self, text: str, begun: int, typing: bool) -> Iterator[Message]:
        """The events of text outside of a paste; the parser has its first `begun` characters already."""
        end = _UNFINISHED.search(text)
        self._begun = end[0] if end else ""
        if len(text) > FLOOD:
            # The end of the sequence that the parser waits for comes first, whatever follows.
            first = _TOKENS.match(text) if begun else None
            if first:
                yield from self._safely(self._parser.feed(text[begun : first.end()]))
                text, begun = text[first.end() :], 0
            done = 0
            for piece in _LETTERS.finditer(text) if typing else ():
                if piece[1]:
                    yield from self._newest(text[done : piece.start()])
                    yield events.Paste(piece[1])
                    done = piece.end()
            yield from self._newest(text[done:])
        elif text[begun:]:
            yield from self._safely(self._parser.feed(text[begun:]))

    def _newest(self, text: str) -> Iterator[Message]:
        tokens = _TOKENS.findall(text)
        older = filter(_REPORTS.match, tokens[:-FLOOD])
        if kept := "".join([*older, *tokens[-FLOOD:]]):
            yield from self._safely(self._parser.feed(kept))

    def _safely(self, parsed: Iterable[Message]) -> Iterator[Message]:
        # Textual's parser raises for numbers that no terminal sends, as in "\x1b[1114112u"; afterwards it is of no more use.
        try:
            yield from parsed
        except Exception:
            self._renew()

    def _renew(self) -> None:
        old, self._parser = self._parser, XTermParser()
        for name in ("last_x", "last_y", "mouse_pixels", "terminal_size", "terminal_pixel_size"):
            setattr(self._parser, name, getattr(old, name))
