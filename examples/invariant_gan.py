"""A generative adversarial network whose discriminator does not see orientation, from few images.

    python examples/invariant_gan.py [picture.png]

A generator makes images of noise, and a discriminator tells them from the data. Where the data have no preferred
orientation, a discriminator that is invariant to the group asks the generator for the data up to a turn only, and
learns from fewer of them (Dey, Chen, Ghafurian, ICLR 2021, arXiv:2005.00683; cited by the AIDD lecture). Data: 80
images of the handwritten digit 4, of 8 x 8 pixels, each turned by a random multiple of 90 degrees. Both discriminators
have three convolutions and as many weights: one of the group p4 (translations and quarter turns), the other plain.

The distance of two sets of images is the kernel distance (MMD) of the sets with all four turns of each image,

    MMD^2 = mean k(x, x') + mean k(y, y') - 2 mean k(x, y),   k(x, y) = exp(-|x - y|^2 / (2 s^2)),

means over different images, s the median distance of the test images. It does not depend on how each image is turned.

What is asserted: the logit of the invariant discriminator stays the same under quarter turns to 1e-5, before and after
the training, and that of the plain one does not; after as many steps, with the same noise and images, the generator of
the invariant one is nearer to the images that neither saw, in the mean of two seeds, and nearer than the mean image.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from intertwine.data.images import digits
from intertwine.models import CNN, P4CNN

DIGIT, TRAINED = 4, 80
NOISE, STEPS, BATCH, SEEDS = 16, 500, 16, (0, 1)
PENALTY, EVERY = 1.0, 4  # of the gradient at the data; steps from one to the next


def images_of(digit: int, generator: torch.Generator) -> Tensor:
    """All images of one digit, each in a random one of four orientations (n, 1, 8, 8), in a random order."""
    store = digits()
    values = store.fields["x"].reshape(-1, 1, 8, 8)[store.fields["label"] == digit]
    values = values[torch.randperm(len(values), generator=generator)]
    turns = torch.randint(0, 4, (len(values),), generator=generator)
    return torch.stack([torch.rot90(x, int(k), (1, 2)) for x, k in zip(values, turns, strict=True)])


class Generator(nn.Module):
    """Images (n, 1, 8, 8) with values from 0 to 1, of noise (n, NOISE)."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.first = nn.Linear(NOISE, 8 * width * 4)
        self.second = nn.Conv2d(8 * width, 2 * width, 3, padding=1)
        self.third = nn.Conv2d(2 * width, 1, 3, padding=1)

    def forward(self, noise: Tensor) -> Tensor:
        f = F.leaky_relu(self.first(noise), 0.2).unflatten(1, (-1, 2, 2))
        f = F.leaky_relu(self.second(F.interpolate(f, scale_factor=2)), 0.2)
        return torch.sigmoid(self.third(F.interpolate(f, scale_factor=2)))


class Discriminator(nn.Module):
    """A logit (n,) of images, from the invariants of a convolutional network."""

    def __init__(self, network: P4CNN | CNN) -> None:
        super().__init__()
        self.network = network
        self.last = nn.Linear(network.width, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.network.maps(images).flatten(2).mean(2)).squeeze(1)


def discriminator(kind: str) -> Discriminator:
    """ "invariant" or "plain"; the group has four elements, so p4's kernels have four times as many weights a map."""
    sizes = {"layers": 3, "kernel": 3, "strides": (2,), "norm": "none", "activation": "silu"}
    return Discriminator(P4CNN(width=8, **sizes) if kind == "invariant" else CNN(width=16, **sizes))


def trained(kind: str, data: Tensor, seed: int) -> tuple[Generator, Discriminator]:
    """A generator and its discriminator: the logistic loss, with a penalty of the gradient at the data (R1)."""
    torch.manual_seed(seed)
    maker = Generator()
    judge = discriminator(kind)
    generator = torch.Generator().manual_seed(seed)
    makes = torch.optim.Adam(maker.parameters(), 1e-3, betas=(0.5, 0.99))
    judges = torch.optim.Adam(judge.parameters(), 1e-3, betas=(0.5, 0.99))
    for step in range(STEPS):
        real = data[torch.randint(0, len(data), (BATCH,), generator=generator)]
        made = maker(torch.randn(BATCH, NOISE, generator=generator))
        both = judge(torch.cat([real, made.detach()]))
        loss = F.softplus(-both[:BATCH]).mean() + F.softplus(both[BATCH:]).mean()
        if step % EVERY == 0:
            real = real.clone().requires_grad_()
            (slope,) = torch.autograd.grad(judge(real).sum(), real, create_graph=True)
            loss = loss + 0.5 * PENALTY * EVERY * slope.square().flatten(1).sum(1).mean()
        judges.zero_grad()
        loss.backward()
        judges.step()
        loss = F.softplus(-judge(maker(torch.randn(BATCH, NOISE, generator=generator)))).mean()
        makes.zero_grad()
        loss.backward()
        makes.step()
    return maker, judge


def turns(images: Tensor) -> Tensor:
    """All four turns of each image (4 n, 1, 8, 8)."""
    return torch.cat([torch.rot90(images, k, (2, 3)) for k in range(4)])


def distance(x: Tensor, y: Tensor, width: float) -> float:
    """MMD^2 of two sets of images and their turns, without bias: 0 in the mean of two samples of one distribution."""
    n, m = len(x), len(y)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-torch.cdist(a.flatten(1), turns(b).flatten(1)).square() / (2 * width**2))

    def within(a: Tensor) -> Tensor:
        k = kernel(a, a).unflatten(1, (4, len(a)))  # of an image with itself no turn counts
        return (k.sum() - k.diagonal(dim1=0, dim2=2).sum()) / (4 * len(a) * (len(a) - 1))

    assert min(n, m) > 1
    return float(within(x) + within(y) - 2 * kernel(x, y).mean())


def change(judge: Discriminator, images: Tensor) -> float:
    """The largest change of a logit by quarter turns, beside the spread of the logits; computed in float64."""
    with torch.no_grad():
        logits = copy.deepcopy(judge).double()(turns(images.double())).unflatten(0, (4, len(images)))
    return float((logits - logits[0]).abs().max() / logits.std())


def main(picture: Path | None = None) -> dict[str, float]:
    torch.set_num_threads(1)
    data = images_of(DIGIT, torch.Generator().manual_seed(0))
    seen, unseen = data[:TRAINED], data[TRAINED:]
    width = float(torch.pdist(turns(unseen).flatten(1)).median())
    noise = torch.randn(200, NOISE, generator=torch.Generator().manual_seed(9))
    far: dict[str, list[float]] = {"invariant": [], "plain": []}
    moved: dict[str, list[float]] = {"invariant": [], "plain": []}
    shown = {}
    for kind in far:
        torch.manual_seed(0)
        moved[kind].append(change(discriminator(kind), unseen))
        for seed in SEEDS:
            maker, judge = trained(kind, seen, seed)
            with torch.no_grad():
                shown[kind] = maker(noise)
            far[kind].append(distance(shown[kind], unseen, width))
            moved[kind].append(change(judge, unseen))
    blurred = turns(seen).mean(0, keepdim=True).expand(2, -1, -1, -1)
    result = {f"{kind} distance": sum(x) / len(x) for kind, x in far.items()}
    result |= {"mean image": distance(blurred, unseen, width), "data": distance(seen, unseen, width)}
    result |= {"invariant change": max(moved["invariant"]), "plain change": min(moved["plain"])}
    for kind, values in far.items():
        print(f"squared distance, {kind} discriminator: " + ", ".join(f"{x:.4f}" for x in values))
    print(f"of the mean image {result['mean image']:.4f}; of the training images {result['data']:.4f}")
    print(f"change by turns: {result['invariant change']:.1e}; plain {result['plain change']:.1e}")
    if picture is not None:
        draw({"data": seen} | shown, picture)
    assert result["invariant change"] < 1e-5
    assert result["plain change"] > 1e-2
    # means over the seeds: where a single adversarial training ends hangs on the rounding of the machine
    assert result["invariant distance"] < result["plain distance"]
    assert result["invariant distance"] < result["mean image"]
    return result


def draw(rows: dict[str, Tensor], picture: Path) -> None:
    """Twelve images of each set."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(rows), 1, figsize=(7, 2), layout="constrained")
    for ax, (name, images) in zip(axes, rows.items(), strict=True):
        ax.imshow(F.pad(images[:12, 0], (1, 0), value=1.0).permute(1, 0, 2).flatten(1), cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
        ax.set_ylabel(name, rotation=0, ha="right", va="center")
        for side in ax.spines.values():
            side.set_visible(False)
    figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
