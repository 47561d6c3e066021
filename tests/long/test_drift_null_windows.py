"""1,000 windows of held-out real reviews raise an alarm in 1 % at most; and after how many texts the word banana stands out."""

from collections import Counter
from pathlib import Path

import numpy as np

from workbench.datasets import imdb
from workbench.serving import drift

WINDOWS = 1000


def test_null_windows_and_the_word_of_the_course(mirror: Path) -> None:
    reviews = imdb.read()
    test, held_out = ([set(text) for text in reviews[name].texts] for name in ("test", "train"))
    lengths_before, lengths = (np.array([len(text) for text in reviews[name].texts], float) for name in ("test", "train"))
    before = Counter(word for words in test for word in words)
    rng, words_alarms, number_alarms = np.random.default_rng(0), 0, 0
    for _ in range(WINDOWS):
        places = rng.choice(len(held_out), drift.WINDOW, replace=False)
        window, alarmed = drift.Words(before, len(test)), False
        for place in places:
            window.add(held_out[place])
            alarmed |= window.texts in drift.LOOKS and bool(window.more())
        words_alarms += alarmed
        number_alarms += drift.number("words", lengths_before, lengths[places], 3).level == "alarm"
    first = []
    for _ in range(100):
        window = drift.Words(before, len(test))
        for place in rng.choice(len(held_out), drift.WINDOW, replace=False):
            window.add(held_out[place] | ({"banana"} if rng.random() < 0.2 else set()))
            if window.texts in drift.LOOKS and any(finding.what == "banana" for finding in window.more()):
                first.append(window.texts)
                break
    print(f"alarms in {WINDOWS} null windows: words {words_alarms}, numbers {number_alarms}; banana after {sorted(first)}")
    assert words_alarms <= WINDOWS / 100 and number_alarms <= WINDOWS / 100
    assert len(first) == 100 and np.median(first) <= 50
