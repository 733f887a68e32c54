"""Noise on one block of weights after another (after Dolgova & Stich 2026)."""

from __future__ import annotations

import math

from benchmark.errors import LetheError
from benchmark.theory.noisy_descent import gradient_clipping_m


def blockwise_m(
    *,
    blocks: int,
    radius: float,
    clip: float,
    step_size: float,
    weight_decay: float,
    steps: int,
    sigma: float,
) -> float:
    """GDP parameter of clipped noisy descent on B blocks in turn: sqrt(B) times that of one.

    While a block has its noisy steps all others stand still, and none moves again before the last
    one is done. Whatever the blocks to come hold, two runs are m_1-GDP apart on this block given
    the blocks before; adaptive composition gives m^2 = B m_1^2 (Dong, Roth & Su 2022). It is not
    true of a schedule that trains a block with noise behind it before the others have theirs: their
    gradients would bring back, without noise, what that noise has covered.

    Args:
        blocks: B, disjoint sets of coordinates.
        radius: C0, that each block is projected onto at its turn.
        clip: C1, the norm that a block's gradient is clipped to.
        step_size: eta.
        weight_decay: lambda.
        steps: T, of each block.
        sigma: noise per coordinate of the block and step.

    Raises:
        AssumptionBroken: if 1 - eta lambda lies outside [0, 1], sigma is not positive or a constant
            negative.
        LetheError: if there is no block or no step.
    """
    if blocks < 1:
        raise LetheError(f"weights are cut into at least one block, not {blocks}")
    return math.sqrt(blocks) * gradient_clipping_m(
        radius=radius,
        clip=clip,
        step_size=step_size,
        weight_decay=weight_decay,
        steps=steps,
        sigma=sigma,
    )
