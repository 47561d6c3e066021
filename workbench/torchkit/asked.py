"""How a PyTorch project's `predict` answers: by the coding that serving uses, so that both prepare an input in the same way."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from workbench.encoding.coding import Coding, png
from workbench.training.figures import as_array


def answered(coding: Coding, inputs: Any, network: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    """The answer to one raw input. `network` gets a batch of one, on the CPU; of a picture `seen` is what it got, `note` what was done."""
    item = coding.encode(inputs)
    answer = coding.decode(as_array(network(torch.from_numpy(coding.batch([item])))[0].float()))
    if isinstance(inputs, dict) and "picture" in inputs:
        answer |= {"seen": png(item.array), "note": item.note}
    return answer
