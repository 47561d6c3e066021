"""How the sentiment lessons are served: typed reviews as codes, and their networks as graphs of padded codes."""

from collections.abc import Sequence

from torch import Tensor, nn

from workbench.encoding.coding import Coding
from workbench.encoding.kinds import Binary, Encoder, TextCodes
from workbench.encoding.serving import Serving
from workbench.torchkit.ngrams import Grams
from workbench.torchkit.review_networks import MeanOfVectors
from workbench.torchkit.reviews import CLASSES, ReviewProject


def served(project: ReviewProject, encoder: Encoder, words: Sequence[str], graph: nn.Module | None) -> Serving:
    """A lesson's network on codes, `words` numbered from 1; without a graph the project itself answers."""
    test = project.reviews["test"]
    return Serving(
        Coding(encoder, Binary(), CLASSES, ["", *words]),
        kind="onnx" if graph else "project",
        graph=graph,
        examples=lambda count: [{"review": " ".join(text)} for text in test.texts[:count]],
        truths=lambda count: [CLASSES[int(label)] for label in test.labels[:count]],
    )


class MeanOfCodes(nn.Module):
    """`MeanOfVectors` of padded codes from 1, which takes a bag with offsets: no exporter follows one with padding (pytorch#128930)."""

    def __init__(self, part: MeanOfVectors) -> None:
        super().__init__()
        self.part = part

    def forward(self, codes: Tensor) -> Tensor:
        """(reviews, n-grams) → (reviews,) log odds; 0 is padding."""
        real = codes > 0
        vectors = nn.functional.embedding((codes - 1).clamp(min=0), self.part.vectors.weight) * real[..., None]
        mean = vectors.sum(1) / real.sum(1, keepdim=True).clamp(min=1)
        logits: Tensor = self.part.last(self.part.dropout(mean))[:, 0]
        return logits


def named_grams(grams: Grams, words: Sequence[str]) -> list[str]:
    """What each n-gram is in words, `words` numbered from 1."""
    names = []
    for key in grams.keys.tolist():
        digits = []
        while key:
            key, digit = divmod(key, grams.size)
            digits.append(words[digit - 1])
        names.append(" ".join(reversed(digits)))
    return names


def bigrams(project: ReviewProject, grams: Grams, part: MeanOfVectors) -> Serving:
    """Of the network of words and pairs."""
    words = project.vocabulary.words
    names = named_grams(grams, words)
    known = set(names)
    # Words that stand in one training review alone are no feature, yet part the words beside them in pairs.
    rare = [word for word in words if word not in known]
    return served(project, TextCodes(tokens="review words and pairs", last=len(names)), [*names, *rare], MeanOfCodes(part))
