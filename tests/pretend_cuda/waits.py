"""Which of PyTorch's ops make the host wait for the device: those whose CUDA kernels copy a number back and synchronize.

Looked up in PyTorch's source (where its CUDA code calls `memcpy_and_sync`, `stream_synchronize` or `.item()`), and in its issues
12461 and 108968, which collect them. Ops that are made of others (`one_hot` without a number of classes, `combinations`,
`clip_grad_norm_(error_if_nonfinite=True)`, a GradScaler's step) are counted by those: their `item` or `nonzero` comes by here.
"""

from typing import Any

import torch

WAITS = {
    # copies one number: item(), bool(), float(), an index by a tensor without dimensions, a Python branch on a tensor
    "_local_scalar_dense": "item",
    # the size of the result has to be known
    "nonzero": "nonzero",
    "masked_select": "masked_select",
    "_unique": "unique",
    "_unique2": "unique",
    "unique_dim": "unique",
    "unique_consecutive": "unique",
    "unique_dim_consecutive": "unique",
    "_coalesce": "coalesce",
    # the largest and the smallest value are looked at first
    "bincount": "bincount",
    # whether there is an infinite or negative probability is looked at first
    "multinomial": "multinomial",
    "equal": "equal",
    "allclose": "item",
    # CuSOLVER and MAGMA say whether they converged
    "_linalg_eigh": "linalg",
    "linalg_eig": "linalg",
    "_linalg_eigvals": "linalg",
    "linalg_eigvals": "linalg",
    "_linalg_svd": "linalg",
    "linalg_lstsq": "linalg",
    "_linalg_check_errors": "linalg",
    # vectors that are too long are counted
    "embedding_renorm_": "embedding_renorm_",
    # lengths are needed on the host
    "_ctc_loss": "ctc_loss",
    "_pack_padded_sequence": "pack_padded_sequence",
}
"""By the op's name, what it is called in a count."""
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put", "_unsafe_masked_index"}
"""Take index tensors of the CPU, too: they are sent over. A boolean one goes through nonzero."""


def waiting(op: str, func: Any, args: Any, kwargs: Any) -> str:
    """What the op is called if the host waits in it, else ""."""
    if op in WAITS:
        return WAITS[op]
    if op == "repeat_interleave" and isinstance(args[-1] if len(args) == 1 else args[1], torch.Tensor):
        # The sum of the repeats is the result's length.
        return op if kwargs.get("output_size") is None else ""
    if op == "normal" and "Tensor" in func._overloadname.split("_")[-1]:
        # No deviation may be negative.
        return op
    if op == "histc" and list(args[2:4] or (0, 0)) == [0, 0]:
        # Without limits these are the smallest and the largest value.
        return op
    if op == "isin" and all(isinstance(given, torch.Tensor) for given in args[:2]):
        # With many elements to test for it sorts by unique; few are compared one by one.
        many = args[1].numel() >= 10.0 * args[0].numel() ** 0.145
        return op if many and not kwargs.get("assume_unique") else ""
    return ""


def indexed(op: str, args: Any) -> list[tuple[str, str]]:
    """What indexing by tensors costs, as kind and name: a mask on the device waits, indices on the CPU are sent."""
    costs = []
    for index in args[1]:
        if index is None:
            continue
        if index.dtype in (torch.bool, torch.uint8):
            # x[mask] = 1.0 is masked_fill_, which waits for nothing; so would a tensor of one number here, for which CUDA waits.
            accumulates = args[3] if len(args) > 3 else False
            if not (op.startswith(("index_put", "_index_put")) and args[2].numel() == 1 and not accumulates):
                costs.append(("wait", "boolean index"))
        elif index.device.type == "cpu" and index.dim():
            costs.append(("send", "index of the CPU"))
    return costs
