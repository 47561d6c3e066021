"""Observer: what a worker remembers of the requests that it answers, and what that says about drift at the end of each window."""

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.encoding import baseline
from workbench.encoding.coding import Item
from workbench.encoding.model_folder import ModelFolder
from workbench.problems import one_line
from workbench.serving import drift
from workbench.serving.drift import Finding

PER_SECOND = 200
"""Requests that are looked at in a second: beyond, the looking would cost more than it tells."""

JUDGED_EVERY = 10
"""Labels between two judgements of them."""


class Observer:
    """Watches one model. A new version has an observer of its own, so what an update mends is quiet at once."""

    def __init__(self, folder: ModelFolder, per_second: float = PER_SECOND) -> None:
        self.coding = folder.coding()
        named = "baseline.json" in folder.model.files
        self.before = baseline.read(folder.path / "baseline.json") if named else baseline.Baseline()
        self.watched = max(1, len(self.before.numbers) + len(self.before.shares))
        self.findings: list[Finding] = []
        """Of the last whole window."""
        self.words: list[Finding] = []
        """New and vanished words: of the window so far, else of the last one."""
        self.since: dict[str, float] = {}
        """When each alarm began."""
        self.windows = 0
        self.labels = drift.Labels(self.before.right, self.before.tested)
        self._labelled = 0
        self._label: Finding | None = None
        self._per_second, self._second, self._looked = per_second, 0.0, 0
        self._begin()

    @property
    def watches(self) -> bool:
        """Whether the model has a baseline."""
        return bool(self.before.numbers or self.before.shares or self.before.words)

    def _begin(self) -> None:
        self._seen = 0
        self._numbers: dict[str, list[float]] = {}
        self._answers: Counter[str] = Counter()
        self._texts = drift.Words(self.before.words, max(1, self.before.texts))

    def saw(self, answered: Sequence[tuple[Any, Item, Mapping[str, Any]]]) -> None:
        """Note inputs that were answered together: raw, encoded, and the answer."""
        if not self.watches:
            return
        for raw, item, answer in answered[: self._room(len(answered))]:
            for name, value in {**baseline.measured(self.coding, raw, item), **baseline.scored(answer)}.items():
                self._numbers.setdefault(name, []).append(value)
            if self.coding.labels:
                self._answers[str(answer["answer"])] += 1
            if self.before.words:
                self._texts.add(baseline.words_of(self.coding, raw))
                if self._texts.texts in drift.LOOKS:
                    self._look_at_words()
            self._seen += 1
            if self._seen == drift.WINDOW:
                self._end()

    def label(self, answer: str, truth: str) -> None:
        """A label that came later."""
        self.labels.add(answer == truth)
        self._labelled += 1
        if self._labelled % JUDGED_EVERY == 0:
            self._label = self.labels.judged()
            self._dated([self._label] if self._label else [], {"labels"})

    def report(self) -> dict[str, Any]:
        """`{"seen", "windows", "rows", "words", "alarms"}` for the endpoint's log: rows as the table of drift has them."""
        findings = [*self.findings, *([self._label] if self._label else [])]
        return {
            **({"accuracy": self._label.now, "interval": list(self.labels.interval())} if self._label else {}),
            "seen": self._seen,
            "windows": self.windows,
            "rows": [self._row(finding) for finding in findings],
            "words": [self._row(finding) for finding in self.words],
            "alarms": [sentence(finding) for finding in (*findings, *self.words) if finding.level == "alarm"],
        }

    def _room(self, count: int) -> int:
        now = time.monotonic()
        if now >= self._second + 1:
            self._second, self._looked = now, 0
        room = min(count, max(0, math.floor(min(self._per_second, 1e12)) - self._looked))
        self._looked += room
        return room

    def _look_at_words(self) -> None:
        more = self._texts.more()
        if more or self._texts.texts == drift.WINDOW:
            self.words = [*more, *(self._texts.fewer() if self._texts.texts == drift.WINDOW else ())]
            self._dated(self.words, {finding.what for finding in self.words})

    def _end(self) -> None:
        findings = drift.numbers(self.before.numbers, self._numbers, self.watched)
        if self._answers and (shares := self.before.shares.get("answer")):
            findings.append(drift.classes("answer", shares, self._answers, self.watched))
        order = {"alarm": 0, "remark": 1, "": 2}
        self.findings = sorted(findings, key=lambda finding: (order[finding.level], finding.p))
        self._dated(self.findings, {finding.what for finding in self.findings})
        self.windows += 1
        self._begin()

    def _dated(self, findings: Sequence[Finding], judged: set[str]) -> None:
        """Keep the time since which each of these has been an alarm."""
        alarms = {finding.what for finding in findings if finding.level == "alarm"}
        self.since = {what: at for what, at in self.since.items() if what not in judged or what in alarms}
        for what in alarms:
            self.since.setdefault(what, time.time())

    def _row(self, finding: Finding) -> list[str | float]:
        numbers = [float(f"{value:.4g}") if math.isfinite(value) else "" for value in (finding.before, finding.now, finding.p, finding.psi)]
        since = self.since.get(finding.what)
        began = time.strftime("%H:%M:%S", time.localtime(since)) if since else ""
        return [one_line(finding.what, 60), finding.statistic, *numbers, finding.level, began]


COLUMNS = ["what", "statistic", "from", "to", "p", "PSI", "level", "since"]
"""Of the rows that `report` gives."""


def sentence(finding: Finding) -> str:
    """An alarm in one sentence: what moved, from where to where, p, PSI."""
    index = f", PSI {finding.psi:.2f}" if math.isfinite(finding.psi) else ""
    what = one_line(finding.what, 60)
    return f"{what}: {finding.statistic} {finding.before:.4g} → {finding.now:.4g}, p {finding.p:.1g}{index}"
