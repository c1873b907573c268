"""Linear layers for inference on a CPU, their weights laid out for the processor once.

`torch.nn.Linear` lays its weight out anew in every call. oneDNN keeps the layout; torch's compiler
uses these operators, and used directly they make encoding about an eighth faster without any
compilation.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class PackedLinear(nn.Module):
    """x W^T + b, as the Linear that it is made from, for float32 and without gradients.

    Args:
        linear: The layer; its weight is copied.
        num_rows: About how many rows a call has; any number is computed right.
    """

    def __init__(self, linear: nn.Linear, num_rows: int) -> None:
        super().__init__()
        weight = linear.weight.detach()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, num_rows)
        self.bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """float32[..., in] to float32[..., out]."""
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return y


def pack_linears(model: nn.Module, num_rows: int) -> None:
    """Replace every Linear of a float32 model on a CPU, where this torch can; else do nothing."""
    operators = ("_reorder_linear_weight", "_linear_pointwise")
    backend: Any = torch.backends.mkldnn
    if not (backend.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in operators)):
        return
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                setattr(module, name, PackedLinear(child, num_rows))
