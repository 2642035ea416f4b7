"""Fusions and their parts: one interface, padding invisible, equal to the textbook."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from benchmarks import reference as literal
from d2e2s.fusion_d2e2s import FUSIONS, MaskedBiLSTM, MultiHeadAttention

SIZE = 24
LENGTHS = (1, 5, 9)


def batch(size: int = SIZE, count: int = 3) -> tuple[list[Tensor], Tensor]:
    """`count` tensors `(B, N, size)` with noise in the padding, and the mask."""
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(len(LENGTHS), max(LENGTHS), size, generator=generator) for _ in range(count)]
    return parts, torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]


def moved(module: nn.Module) -> nn.Module:
    """The module with no weight at 0 or 1."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.eval()


@pytest.mark.parametrize("heads", [4, 8, 12])
@pytest.mark.parametrize("name", FUSIONS)
def test_fusion_equals_its_literal_form(name: str, heads: int) -> None:
    """Also: the same shapes for every fusion, and nothing read from padding."""
    fusion, (parts, mask) = moved(FUSIONS[name](SIZE, heads, 0.0)), batch()
    fused = fusion(*parts, mask)
    assert fused.shape == parts[0].shape
    for b, length in enumerate(LENGTHS):
        alone = literal.FUSIONS[name](fusion, *(part[b, :length] for part in parts))
        torch.testing.assert_close(fused[b, :length], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", FUSIONS)
def test_fusion_reads_every_input(name: str) -> None:
    fusion, (parts, mask) = moved(FUSIONS[name](SIZE, 4, 0.0)), batch()
    inputs = [part.requires_grad_() for part in parts]
    fusion(*inputs, mask)[mask].square().sum().backward()
    for part in inputs:
        assert part.grad is not None and part.grad[mask].abs().sum(-1).all() and not part.grad[~mask].any()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in fusion.parameters())


@pytest.mark.parametrize("name", FUSIONS)
def test_dropout_acts_in_training_only(name: str) -> None:
    fusion, (parts, mask) = moved(FUSIONS[name](SIZE, 4, 0.5)), batch()
    assert torch.equal(fusion(*parts, mask), fusion(*parts, mask))
    fusion.train()
    assert not torch.equal(fusion(*parts, mask), fusion(*parts, mask))


def test_attention_equals_torchs() -> None:
    """`nn.MultiheadAttention` with the same weights, where every key has the zero bias."""
    ours, (parts, mask) = moved(MultiHeadAttention(SIZE, 4, 0.0)), batch()
    theirs = nn.MultiheadAttention(SIZE, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, torch.zeros(2 * SIZE)]))
        theirs.out_proj.load_state_dict(ours.output.state_dict())
    queries, memory = parts[:2]
    expected, _ = theirs(queries, memory, memory, key_padding_mask=~mask)
    torch.testing.assert_close(ours(queries, memory, mask), expected, atol=1e-5, rtol=1e-5)


def test_bilstm_equals_a_packed_one() -> None:
    lstm, (parts, mask) = moved(MaskedBiLSTM(SIZE, 6)), batch()
    states = lstm(parts[0], mask)
    packed = literal.packed_lstm(lstm, [row[:length] for row, length in zip(parts[0], LENGTHS, strict=True)])
    for row, length, expected in zip(states, LENGTHS, packed, strict=True):
        torch.testing.assert_close(row[:length], expected, atol=1e-5, rtol=1e-5)


def test_bilstm_reads_both_ways() -> None:
    lstm, (parts, mask) = moved(MaskedBiLSTM(SIZE, 6)), batch()
    x = parts[0].requires_grad_()
    for node in (0, LENGTHS[1] - 1):
        (gradient,) = torch.autograd.grad(lstm(x, mask)[1, node].sum(), x)
        assert gradient[1, : LENGTHS[1]].abs().sum(-1).all() and not gradient[1, LENGTHS[1] :].any()
