"""Carries a trained reader into a wider one that at first says the same (Chen et al. 2016, Net2Net, section 3.1).

Every added channel is a copy of an old one. What a layer took from the old channel it takes from both, in shares that
add up to one; the shares are drawn at random, so that the copies learn different things from the first step on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LEAST_SHARE = 0.25
_FROM_IMAGE = "image"


def _streams(name: str) -> tuple[tuple[str, ...], str]:
    """Return the streams of channels that a layer takes in, and the one it gives: one width each, one map each."""
    if name.startswith("fine."):
        given = ("stem", "low", "low", "fine", "fine", "fine")
        place = int(name.split(".")[1])
        if place == 0:
            return (_FROM_IMAGE,), given[0]
        return (given[place - 1],), given[place]
    if name.startswith("context."):
        return ("fine",) if name.startswith("context.0.") else ("wide",), "wide"
    if name.startswith("merge."):
        return ("fine", "wide"), "merged"
    if name.startswith("deep."):
        return ("merged",), "merged"
    return ("merged",) if name.startswith("cells.") else ("wide",), name.split(".", maxsplit=1)[0]


def widened(weights: dict[str, Tensor], network: nn.Module, *, seed: int = 1) -> dict[str, Tensor]:
    """Return the weights of the narrower network in the shapes of this one; equal outputs to rounding.

    Raises ``ValueError`` where a layer of this network is narrower than the one the weights come from.
    """
    chance = torch.Generator().manual_seed(seed)
    wanted = {name: value for name, value in network.state_dict().items() if name in weights}
    maps = {_FROM_IMAGE: torch.arange(3)}
    for name, value in wanted.items():
        _, gives = _streams(name)
        if value.ndim and gives not in maps:
            maps[gives] = _map(len(weights[name]), len(value), chance)
    result = {}
    for name, value in wanted.items():
        takes, gives = _streams(name)
        old = weights[name].float() if weights[name].is_floating_point() else weights[name]
        if old.ndim:
            old = old[maps[gives]]
        if old.ndim > 1:
            widths = [int(maps[stream].max()) + 1 for stream in takes]
            parts = zip(old.split(widths, dim=1), takes, strict=True)
            old = torch.cat([_shared(part, maps[stream], chance) for part, stream in parts], 1)
        if old.shape != value.shape:
            raise ValueError(f"{name}: {tuple(weights[name].shape)} does not widen to {tuple(value.shape)}")
        result[name] = old
    return result


def _map(old: int, new: int, chance: torch.Generator) -> Tensor:
    """Return for each new channel the old one it copies: first all of them, then some again."""
    return torch.cat([torch.arange(old), torch.randperm(old, generator=chance)[: max(0, new - old)]])


def _shared(weight: Tensor, copied: Tensor, chance: torch.Generator) -> Tensor:
    """Return ``(out, new in, …)`` from ``(out, old in, …)``, each old input's weight shared among its copies."""
    shares = torch.empty(len(weight), len(copied)).uniform_(_LEAST_SHARE, 1 - _LEAST_SHARE, generator=chance)
    total = torch.zeros(len(weight), weight.shape[1]).index_add_(1, copied, shares)
    shares /= total[:, copied]
    return weight[:, copied] * shares.reshape(*shares.shape, *[1] * (weight.ndim - 2))
