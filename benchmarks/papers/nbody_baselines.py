"""The four baselines of the charged 5-body test (no learning but least squares on the training set), with standard
errors.

    python benchmarks/papers/nbody_baselines.py   # prints one table, writes benchmarks/results/nbody_baselines.json

Error: mean squared error of positions, over particles and xyz; its standard error is over trajectories. Fitted on the
3,000 training trajectories, evaluated on the 2,000 test ones, and on 20,000 for a sharper figure (half of the
trajectories have close encounters, so errors are heavy-tailed).

The fourth published figure, 0.0689, is quoted without a description. Some twenty linear baselines were tried after the
fact. Those with one coefficient for the velocity and one for the position agree best: x + t v + s (x - centroid), which
commutes with translations too, and a x + t v. They differ by 0.001, less than the standard error of either (0.0017), so
which was meant can't be told; adding the mean velocity is 1.9 standard errors away.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from intertwine.data.nbody import nbody

RESULTS = Path(__file__).resolve().parents[1] / "results"
FIXED = {"x": 0.0, "x + 1.0 v": 1.0}
FITTED = {
    "x + t v": ("v",),
    "x + t v + s (x - centroid)": ("v", "c"),
    "a x + t v": ("v", "x"),
    "x + t v + s F": ("v", "F"),
    "x + mean(v) + t (v - mean(v))": ("vm", "d"),
    "x + t v + s (x - centroid) + u mean(v)": ("v", "c", "vm"),
}
PUBLISHED = {"x": 0.2716, "x + 1.0 v": 0.1089, "x + t v": 0.0841} | dict.fromkeys(
    ("x + t v + s (x - centroid)", "a x + t v"), 0.0689
)


def features(x: Tensor, v: Tensor, q: Tensor) -> dict[str, Tensor]:
    """Vectors of each particle (S, N, 3): v, centred x, x, Coulomb force with each component clamped to +-100, mean v,
    and v - mean v.
    """
    d = x[:, :, None] - x[:, None]
    r2 = d.square().sum(-1) + torch.eye(x.shape[1], dtype=x.dtype)
    force = ((q[:, :, None] * q[:, None] / r2**1.5)[..., None] * d).sum(2).clamp(-100, 100)
    mean = v.mean(1, keepdim=True).expand_as(v)
    return {"v": v, "c": x - x.mean(1, keepdim=True), "x": x, "F": force, "vm": mean, "d": v - mean}


def score(prediction: Tensor, target: Tensor) -> tuple[float, float]:
    """Mean squared error and its standard error over trajectories."""
    errors = (prediction - target).square().mean((1, 2))
    return float(errors.mean()), float(errors.std() / len(errors) ** 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--test",
        type=int,
        default=20_000,
        help="trajectories of the large test set, whose first 2,000 are the standard one",
    )
    parser.add_argument("--seed", type=int, default=43)
    arguments = parser.parse_args()
    store = nbody(test=max(arguments.test, 2000), seed=arguments.seed)

    def part(indices: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        view = store.subset(indices)
        x, v, y, q = (view.field(name).reshape(len(view), 5, -1) for name in ("pos", "vel", "target_pos", "charge"))
        return x, y, features(x, v, q[..., 0])

    x, y, train = part(store.splits.train)
    x_test, y_test, test = part(store.splits.test)
    rows = []

    def add(name: str, names: tuple[str, ...], coefficients: Tensor) -> None:
        prediction = x_test + sum(c * test[n] for c, n in zip(coefficients, names))
        small, large = score(prediction[:2000], y_test[:2000]), score(prediction, y_test)
        published = PUBLISHED.get(name)
        distance = None if published is None else (small[0] - published) / small[1]
        figures = {"mse": small[0], "se": small[1], "mse_large": large[0], "se_large": large[1]}
        rows.append(
            {
                "baseline": name,
                "coefficients": coefficients.tolist(),
                **figures,
                "published": published,
                "distance_in_se": distance,
            }
        )
        comparison = "" if published is None else f"{published:.4f}  ({distance:+.1f} s.e.)"
        fit = ", ".join(f"{c:.3f}" for c in coefficients.tolist())
        print(
            f"{name:40s} {fit:22s} {small[0]:.4f} +- {small[1]:.4f}   {large[0]:.4f} +- {large[1]:.4f}   {comparison}"
        )

    print(f"{'prediction':40s} {'coefficients':22s} {'test 2,000':17s}   {f'test {len(x_test):,}':17s}   published")
    for name, t in FIXED.items():
        add(name, ("v",), torch.tensor([t], dtype=x.dtype))
    for name, names in FITTED.items():
        # momentum is conserved: the mean velocity's coefficient is 1, not fitted
        fixed = train["vm"] if names == ("vm", "d") else 0
        fitted = names[1:] if names == ("vm", "d") else names
        matrix = torch.stack([train[n].flatten() for n in fitted], dim=1)
        solution = torch.linalg.lstsq(matrix, (y - x - fixed).reshape(-1, 1)).solution[:, 0]
        add(name, names, torch.cat([torch.ones(len(names) - len(fitted), dtype=x.dtype), solution]))
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / "nbody_baselines.json"
    path.write_text(
        json.dumps(
            {"seed": arguments.seed, "train": 3000, "test": 2000, "test_large": len(x_test), "rows": rows}, indent=1
        )
    )
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
