"""Flatten a network of your own, read what was done and what was refused, export it, compare the two.

    python examples/flatten_your_network.py

The network below is plain torch: it knows nothing of juggler. Put your own in its place.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

import juggler


class Branches(nn.Module):
    """Two branches and a shortcut, as a re-parameterised network has them, and an ordinary residual pair."""

    def __init__(self, channels: int = 16, classes: int = 4) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(channels)
        )
        self.large = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels))
        self.small = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels))
        self.skip = nn.BatchNorm2d(channels)
        self.narrow = nn.Sequential(nn.Conv2d(channels, 8, 1), nn.Conv2d(8, channels, 3, padding=1))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Map images `[n, 3, H, W]` to logits `[n, classes]`."""
        x = torch.relu(self.stem(x))
        x = torch.relu(self.large(x) + self.small(x) + self.skip(x))
        x = torch.relu(self.narrow(x))
        return self.head(x)


def main() -> None:
    """Flatten, print, export, compare."""
    torch.manual_seed(0)
    network = Branches().eval()  # in training mode it would be refused
    images = torch.randn(64, 3, 32, 32)

    done = juggler.flatten(network, images[:1], inputs=images)
    print("Done:")
    for r in done.rewrites:
        print(f"  {r.rule:<16} {' + '.join(r.nodes)} -> {r.result}, error {r.error:.1e}")
    print("Refused:")
    for refusal in done.refusals:
        print(f"  {refusal.rule:<16} {' + '.join(refusal.nodes)}: {refusal.reason}")
        print(f"  {'':<16} remedy: {refusal.remedy}")

    proof = done.certificate
    before, after = done.wide_graph, done.flat_graph
    print(f"{len(before.nodes)} ops -> {len(after.nodes)} ops, {before.macs:,} -> {after.macs:,} MACs")
    print(
        f"Passed: {proof.passed}; float64 {proof.worst('float64'):.1e}, float32 {proof.worst('float32'):.1e}"
    )
    print(f"Same class on {proof.classes_agreed} of {proof.classes_compared} images")

    path = juggler.export(done.model, images[:1], "flat.onnx")
    with juggler.open_session(path) as session:
        (logits,) = session.run(images.numpy())
    with torch.no_grad():
        difference = np.abs(logits - network(images).numpy()).max()
    print(f"{path}: ONNX Runtime and the wide network in torch differ by {difference:.1e} at most")


if __name__ == "__main__":
    main()
