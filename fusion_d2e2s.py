"""How the semantic and the syntactic view of a sentence become one: a class for each fusion, one registry.

Every fusion has the same interface: `forward(nodes, semantic, syntactic, mask)` with three `(B, N, D)` tensors and a
`(B, N)` boolean mask of real nodes, to fused nodes `(B, N, D)`. To add one, write a class and enter it in `FUSIONS`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention with several heads (Vaswani et al. 2017, section 3.2).

    `forward(queries (B, N, D), memory (B, M, D), mask (B, M))` to `(B, N, D)`; masked memory is never attended to.
    """

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(size, size)
        # No bias: softmax cancels a key's, and the output's already does the value's work.
        self.key_value = nn.Linear(size, 2 * size, bias=False)
        self.output = nn.Linear(size, size)

    def forward(self, queries: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        query = self._split(self.query(queries))
        key, value = (self._split(part) for part in self.key_value(memory).chunk(2, dim=-1))
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, mask[:, None, None, :], dropout_p=dropout)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """`(B, N, D)` to `(B, heads, N, D / heads)`."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class MaskedBiLSTM(nn.Module):
    """Bidirectional LSTM to which padding is invisible, without packing (so without a host synchronisation).

    The backward direction reads each sentence reversed within its own length: padding comes last in both.
    `forward(x (B, N, I), mask (B, N))` to `(B, N, 2 * size)`.
    """

    def __init__(self, input_size: int, size: int) -> None:
        super().__init__()
        self.forwards = nn.LSTM(input_size, size, batch_first=True)
        self.backwards = nn.LSTM(input_size, size, batch_first=True)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        state = x.new_zeros(1, len(x), self.forwards.hidden_size)
        # Reverses the real part of each row, and is its own inverse there; padding gets whatever.
        order = (mask.sum(1, keepdim=True) - mask.cumsum(1))[..., None]
        ahead, _ = self.forwards(x, (state, state))
        back, _ = self.backwards(x.gather(1, order.expand_as(x)), (state, state))
        return torch.cat([ahead, back.gather(1, order.expand_as(back))], dim=-1)


def feed_forward(input_size: int, size: int, dropout: float) -> nn.Sequential:
    """Linear, ReLU, dropout, linear: `(..., input_size)` to `(..., size)`."""
    return nn.Sequential(nn.Linear(input_size, size), nn.ReLU(), nn.Dropout(dropout), nn.Linear(size, size))


class TINFusion(nn.Module):
    """Textual information network of D2E2S (Zhao et al. 2024): refine each branch, concatenate, BiLSTM, MLP."""

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.semantic = feed_forward(size, size, dropout)
        self.syntactic = feed_forward(size, size, dropout)
        self.semantic_norm = nn.LayerNorm(size)
        self.syntactic_norm = nn.LayerNorm(size)
        self.lstm = MaskedBiLSTM(2 * size, size // 2)
        self.output = feed_forward(size, size, dropout)

    def forward(self, nodes: Tensor, semantic: Tensor, syntactic: Tensor, mask: Tensor) -> Tensor:
        semantic = self.semantic_norm(nodes + self.semantic(semantic))
        syntactic = self.syntactic_norm(nodes + self.syntactic(syntactic))
        return self.output(self.lstm(torch.cat([semantic, syntactic], dim=-1), mask))


class Branches(nn.Module):
    """What the attention fusions share: `LN(h + h_sem)` and `LN(h + h_syn)`."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.semantic_norm = nn.LayerNorm(size)
        self.syntactic_norm = nn.LayerNorm(size)

    def forward(self, nodes: Tensor, semantic: Tensor, syntactic: Tensor) -> tuple[Tensor, Tensor]:
        return self.semantic_norm(nodes + semantic), self.syntactic_norm(nodes + syntactic)


class CrossAttentionFusion(nn.Module):
    """DESS: each branch queries the other; residuals; concatenate; Linear-ReLU-Dropout-Linear-LayerNorm."""

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.branches = Branches(size)
        self.to_syntactic = MultiHeadAttention(size, heads, dropout)
        self.to_semantic = MultiHeadAttention(size, heads, dropout)
        self.output = nn.Sequential(feed_forward(2 * size, size, dropout), nn.LayerNorm(size))

    def forward(self, nodes: Tensor, semantic: Tensor, syntactic: Tensor, mask: Tensor) -> Tensor:
        semantic, syntactic = self.branches(nodes, semantic, syntactic)
        from_syntax = semantic + self.to_syntactic(semantic, syntactic, mask)
        from_semantics = syntactic + self.to_semantic(syntactic, semantic, mask)
        return self.output(torch.cat([from_syntax, from_semantics], dim=-1))


class LightCrossAttentionFusion(nn.Module):
    """Half of cross-attention: the semantic branch queries the syntactic one; residual and LayerNorm."""

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.branches = Branches(size)
        self.attention = MultiHeadAttention(size, heads, dropout)
        self.norm = nn.LayerNorm(size)

    def forward(self, nodes: Tensor, semantic: Tensor, syntactic: Tensor, mask: Tensor) -> Tensor:
        semantic, syntactic = self.branches(nodes, semantic, syntactic)
        return self.norm(semantic + self.attention(semantic, syntactic, mask))


class GatedFusion(nn.Module):
    """Cross-attention both ways, a sigmoid gate between the two answers, residual on the nodes, LayerNorm."""

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.branches = Branches(size)
        self.to_syntactic = MultiHeadAttention(size, heads, dropout)
        self.to_semantic = MultiHeadAttention(size, heads, dropout)
        self.gate = nn.Linear(2 * size, size)
        self.norm = nn.LayerNorm(size)

    def forward(self, nodes: Tensor, semantic: Tensor, syntactic: Tensor, mask: Tensor) -> Tensor:
        semantic, syntactic = self.branches(nodes, semantic, syntactic)
        from_syntax = self.to_syntactic(semantic, syntactic, mask)
        from_semantics = self.to_semantic(syntactic, semantic, mask)
        gate = torch.sigmoid(self.gate(torch.cat([from_syntax, from_semantics], dim=-1)))
        return self.norm(nodes + gate * from_syntax + (1 - gate) * from_semantics)


# `none` is absent on purpose: without fusion there are no branches, and the model builds neither.
FUSIONS: dict[str, type[nn.Module]] = {
    "tin": TINFusion,
    "cross_attention": CrossAttentionFusion,
    "light_cross_attention": LightCrossAttentionFusion,
    "gated": GatedFusion,
}
