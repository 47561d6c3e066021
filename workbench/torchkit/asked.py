"""How a PyTorch project's `predict` answers: by the coding that serving uses, so that both prepare an input in the same way."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.encoding.coding import Coding, png
from workbench.encoding.kinds import NextToken
from workbench.encoding.serving import Serving
from workbench.encoding.writing import written
from workbench.training.figures import as_array


def answered(coding: Coding, inputs: Any, network: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    """The answer to one raw input. `network` gets a batch of one, on the CPU; of a picture `seen` is what it got, `note` what was done."""
    item = coding.encode(inputs)
    answer = coding.decode(as_array(network(torch.from_numpy(coding.batch([item])))[0].float()))
    if isinstance(inputs, dict) and "picture" in inputs:
        answer |= {"seen": png(item.array), "note": item.note}
    return answer


def stepped(serving: Serving, codes: np.ndarray, state: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """A language model's graph as `writing.Step`."""
    device = next(serving.graph.parameters()).device
    outputs = serving.graph(*(torch.from_numpy(array).to(device) for array in (codes, *state)))
    logits, *after = (as_array(tensor) for tensor in (outputs if state else (outputs,)))
    return logits, after


def written_on(serving: Serving, inputs: Any, prompt: str) -> dict[str, Any]:
    """A request of a language model, where there is no prompt with this one, as `{"text", "next"}`; drawn anew each time."""
    assert isinstance(serving.coding.decoder, NextToken)
    asked = dict(inputs) if isinstance(inputs, dict) else {"prompt": inputs}
    asked = {"seed": int(np.random.randint(2**31)), **asked, "prompt": asked.get("prompt") or prompt}
    answer = written(serving.coding, asked, lambda codes, state: stepped(serving, codes, state))
    return {"text": answer["answer"], "next": answer["next"]}
