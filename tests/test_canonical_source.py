"""What in a file's text changes its hash and what is only written otherwise, on one example with most of Python's syntax."""

import re

import pytest

from workbench.recipes import canonical_source

EXAMPLE = '''
"""A docstring."""
import math
import numpy as np
from workbench.torchkit import metrics
from workbench.torchkit.metrics import auc
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from workbench.runs.run import Run
RATE = 0.1
"""What it is."""
class A:
    size: int = 3
    """Attribute docstring."""
    def step(self, x, run: "Run", *, scale=2.0, **more):
        """Doc."""
        found = [each + 1 for each in x if each > 0]
        with open("f") as file, np.errstate():
            made = f"{len(found):>{self.size}} of" f" {RATE!r} {'a'}"
        try:
            text = metrics.roc_curve(found)
        except (ValueError, *()) as error:
            raise RuntimeError("no") from error
        match made:
            case {"a": [first, *others], **rest} if (n := len(rest)) > 1:
                return first, others, n
            case str() | None:
                pass
        return auc(text) + math.pi * -RATE, lambda a, /, b=1, *c: (a, b, 1e-05, b"\\xff", 1j, ...)
async def other():
    global RATE
    RATE += 1
    async for _ in other(): await _
    return {**{}, 1: 2}, (i for i in range(3)), "\\u2028é"
'''


def alone(text: str) -> str:
    return canonical_source.read(text.encode()).alone


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("RATE = 0.1", "RATE = 0.2"),
        ("scale=2.0", "scale=3.0"),
        ("each + 1", "each - 1"),
        ("math.pi", "math.e"),
        ("metrics.roc_curve(found)", "metrics.auc(found)"),
        ("-RATE", "+RATE"),
        ("scale=2.0", "scale_=2.0"),
        ("each > 0", "each >= 0"),
        ('"a": [first', '"b": [first'),
        ("return first, others", "return others, first"),
        ("    global RATE\n", ""),
        ("1e-05", "1e-06"),
        ("b=1", "b=True"),
        ("import numpy as np", "import torch as np"),
        ("size: int = 3", "size: float = 3"),
    ],
)
def test_what_computes_otherwise_has_another_hash(before: str, after: str) -> None:
    assert before in EXAMPLE
    assert alone(EXAMPLE.replace(before, after, 1)) != alone(EXAMPLE)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("made", "text_of_it"),
        ("error", "problem"),
        ("others", "more_of_them"),
        ("each", "value"),
        ("np", "numpy"),
        ("import auc\n", "import auc as area\nfrom workbench.torchkit.metrics import auc\n"),
        ('"""What it is."""\n', ""),
        ('        """Doc."""\n', "        # Doc.\n"),
        ("case str() | None:", "case str() | None:\n                'Nothing.'"),
        ("    async for", "\n    async   for"),
        ('{self.size}} of" f" ', "{self.size}} of "),
        ("from workbench.runs.run import Run", "from workbench.elsewhere import Run"),
    ],
)
def test_what_is_only_written_otherwise_has_the_same_hash(before: str, after: str) -> None:
    assert before in EXAMPLE
    text = EXAMPLE.replace("numpy as np", "numpy as numpy") if after == "numpy" else EXAMPLE
    assert alone(re.sub(rf"(?<!\w){re.escape(before)}", lambda _: after, text)) == alone(EXAMPLE)


def test_two_variables_are_not_one() -> None:
    assert alone("def f():\n    a = 1\n    b = 2\n    return a") != alone("def f():\n    a = 1\n    b = 2\n    return b")
    assert alone("def f(a):\n    return a") != alone("def f(b):\n    return b"), "callers name parameters"
    assert alone("def f():\n    a = 1\n    return locals()") != alone("def f():\n    b = 1\n    return locals()")
    shadow = "from workbench.datasets import {0}\ndef f():\n    text = 1\n    return text\nx = {0}.read"
    assert alone(shadow.format("text")) == alone(shadow.format("corpus")), "a variable is no module of the same name"


def test_every_version_of_python_has_the_same_hash() -> None:
    assert alone(EXAMPLE) == "a5c05e2482954d94"
