"""The parts of ``gpu_check.py``, each of which runs in a process of its own and writes one JSON.

python benchmarks/gpu_parts.py convolutions FOLDER SECONDS [--dry] [--without openequivariance]
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import torch

from intertwine.bench import installed, machine
from intertwine.numerics import write_atomically

ROOT = Path(__file__).resolve().parents[1]
#: What has to be imported, and the names of their distributions.
PEERS = {
    "ase": "ase", "vesin": "vesin", "tomli_w": "tomli-w", "e3nn": "e3nn", "matscipy": "matscipy", "nequip": "nequip",
    "mace": "mace-torch", "cuequivariance_torch": "cuequivariance-torch",
    "cuequivariance_ops_torch": "cuequivariance-ops-torch-cu13", "triton": "triton", "llvmlite": "llvmlite",
    "lightning": "lightning", "torch_geometric": "torch-geometric",
}  # fmt: skip


class Record:
    """What a part found: written to the disk whenever something is added.

    Args:
        path: the JSON.
        seconds: that the part has.
        dry: whether nothing is measured, only tried.
        without: names of libraries to leave out.
    """

    def __init__(self, path: Path, seconds: float, dry: bool = False, without: Collection[str] = ()) -> None:
        self.path, self.end, self.dry, self.without = path, time.monotonic() + seconds, dry, without
        self.device = torch.device("cuda" if torch.cuda.is_available() and not dry else "cpu")
        self.content: dict[str, Any] = {"dry": dry, "finished": False, "rows": [], "errors": [], "skipped": []}

    @property
    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()

    def save(self) -> None:
        """Write everything, whole or not at all."""
        write_atomically(self.path, (json.dumps(self.content, indent=1, default=str) + "\n").encode())

    def note(self, **values: Any) -> None:
        """Add to the document."""
        self.content |= values
        self.save()

    def add(self, *rows: dict[str, Any]) -> None:
        """Add rows."""
        self.content["rows"] += rows
        self.save()

    @contextlib.contextmanager
    def attempt(self, name: str, needs: float = 0.0) -> Iterator[bool]:
        """A block whose failure is written down and goes no further; gives whether there is time for it, ``needs``
        seconds.
        """
        if self.left < needs:
            self.content["skipped"].append(f"{name}: {self.left:.0f} s are left, it needs {needs:.0f}")
            self.save()
            yield False
            return
        try:
            yield True
        except Exception as error:
            lines = traceback.format_exc().splitlines()
            self.content["errors"].append(
                {"what": name, "error": f"{type(error).__name__}: {error}"[:500], "traceback": lines[-30:]}
            )
            print(f"{name}: {error!r}", file=sys.stderr)
            self.save()
        finally:
            if self.device.type == "cuda":
                # after a fault on the card nothing works, and the next attempts say so
                with contextlib.suppress(RuntimeError):
                    torch.cuda.empty_cache()


def versions(record: Record) -> None:
    """Part 1: the machine, what can be imported, and how fast a copy is."""
    from gpu import bandwidth

    record.note(machine=machine(), torch=torch.__version__, cuda=torch.version.cuda, python=sys.version)
    for module, name in PEERS.items():
        with record.attempt(f"import {module}"):
            if record.dry and installed(name) is None:
                continue  # a wheel for cards, which no processor has
            started = time.monotonic()
            importlib.import_module(module)
            record.add({"import": module, "version": installed(name), "s": time.monotonic() - started})
    with record.attempt("copy"):
        record.note(copy_bytes_per_second=bandwidth(record.device, 2**12 if record.dry else 2**28))
    with record.attempt("card") as there:
        if there and record.device.type == "cuda":
            about = torch.cuda.get_device_properties(0)
            record.note(card=about.name, memory=about.total_memory, multiprocessors=about.multi_processor_count)
    with record.attempt("driver"):
        if shutil.which("nvidia-smi"):
            asked = "--query-gpu=driver_version,clocks.sm,clocks.mem,temperature.gpu,power.draw"
            done = subprocess.run(
                ["nvidia-smi", asked, "--format=csv"], capture_output=True, text=True, timeout=20, check=True
            )
            record.note(driver=done.stdout.splitlines())


def certificates(record: Record) -> None:
    """Part 2: the tests of the kernels, and meanwhile certificates of layers and models."""
    from gpu_certificates import layers, models

    with tests(record) as finish:
        layers(record)
        models(record)
        finish()


@contextlib.contextmanager
def tests(record: Record) -> Iterator[Callable[[], None]]:
    """The tests of the kernels run beside the block; what is given waits for them and writes down how they ended."""
    several = ["-n", "10"] if not record.dry and importlib.util.find_spec("xdist") else []
    which = ["tests/kernels/test_gpu.py", "tests/kernels/test_gpu_device.py"]
    # the interpreter of Triton 3.6 can't loop with numpy 2.4; what it would show, the card shows
    selection = [
        "-k",
        "missing_triton or equal_plans or test_precisions" if record.dry else "not values_and_derivatives",
    ]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-o",
        "addopts=",
        "-p",
        "no:cacheprovider",
        "-q",
        "--tb=short",
        *several,
        *selection,
        *which,
    ]
    inherited = os.environ | ({} if record.dry else {"TRITON_INTERPRET": "0"})
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=inherited, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )

        def finish() -> None:
            with record.attempt("tests of the kernels"):
                try:
                    code: int | None = process.wait(max(1.0, record.left - 3))
                except subprocess.TimeoutExpired:
                    code = None
                output.seek(0)
                lines = output.read().splitlines()
                record.note(tests={"exit code": code, "last": lines[-1:], "output": lines[-150:] if code else []})

        try:
            yield finish
        finally:
            process.kill()


def convolutions(record: Record) -> None:
    """Part 3: fused convolutions beside other libraries' (``gpu.py``)."""
    import gpu

    tiny = {"A": gpu.Size("2x0e+1x1o", "0e+1o", 1, 6, 3), "A x 2": gpu.Size("2x0e+1x1o", "0e+1o", 1, 12, 6)}
    copied = gpu.bandwidth(record.device, 2**12 if record.dry else 2**28)
    record.note(
        copy_bytes_per_second=copied, large=[name for name in (tiny if record.dry else gpu.LARGE) if " x " in name]
    )
    for name, size in (tiny if record.dry else gpu.SMALL | gpu.LARGE).items():
        with record.attempt(name, 0 if record.dry else 8) as there:
            if there:
                record.add(*gpu.rows_of(name, gpu.Problem(size, record.device), copied, record.without))


def models(record: Record) -> None:
    """Part 4: NequIP and MACE beside nequip and mace-torch, eager and as CUDA graphs."""
    from gpu_models import cases, measure

    for title, build in cases(record.dry).items():
        with record.attempt(title, 0 if record.dry else 8) as there:
            if there:
                measure(record, title, build)


def profile(record: Record) -> None:
    """Part 5: where MACE at 4,096 atoms spends its time."""
    from gpu_models import profiled

    profiled(record)


TRAIN = "import json, sys; from intertwine.training import train; train(json.loads(sys.argv[1]), run=sys.argv[2])"


def demo(record: Record) -> None:
    """Part 6: the demo on the card for a minute, and its report; without the certificate, since certificates have a
    part of their own.

    What `intertwine train ethanol` does, but without typer, whose version there is anybody's guess.
    """
    training = {"accelerator": "auto", "certify": False}
    sections: dict[str, dict[str, Any]] = {"data": {"source": "ethanol"}, "training": training | {"minutes": 1.0}}
    if record.dry:
        sections = {
            "data": {"source": "ethanol", "limit": 24, "train": 12, "validation": 6},
            "training": training | {"epochs": 1},
        }
        sections["model"] = {"width": 4}
    with tempfile.TemporaryDirectory() as scratch, record.attempt("training on ethanol"):
        folder = Path(scratch) / "run"
        plain = {"INTERTWINE_KERNELS": "reference"} if record.dry else {}
        command = [sys.executable, "-c", TRAIN, json.dumps(sections), str(folder)]
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(
                command, cwd=scratch, env=os.environ | plain, stdout=output, stderr=subprocess.STDOUT
            )
            try:
                code: int | None = process.wait(max(1.0, record.left - 4))
            except subprocess.TimeoutExpired:
                code = None
            finally:
                process.kill()
            output.seek(0)
            lines = output.read().replace("\r", "\n").splitlines()
        record.note(**{"exit code": code, "output": lines[-40:]})
        if (folder / "report.json").exists():
            record.note(report=json.loads((folder / "report.json").read_text()))
        if (folder / "metrics.csv").exists():
            history = (folder / "metrics.csv").read_text().splitlines()
            record.note(epochs=len(history) - 1, history=[*history[:1], *history[-3:]])
        if code != 0:
            raise RuntimeError(
                f"exit code {code}: {(lines or ['no output'])[-1]}" if code is not None else "stopped: no time was left"
            )


DOES: dict[str, Callable[[Record], None]] = {
    "machine": versions, "certificates": certificates, "convolutions": convolutions, "models": models,
    "profile": profile, "demo": demo,
}  # fmt: skip


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=DOES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--without", nargs="*", default=[])
    chosen = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    warnings.simplefilter("ignore", DeprecationWarning)
    record = Record(chosen.folder / f"{chosen.part}.json", chosen.seconds, chosen.dry, chosen.without)
    record.save()
    if record.device.type == "cpu" and not chosen.dry:
        record.note(
            errors=[
                {
                    "what": chosen.part,
                    "error": "no CUDA device here; --dry tries the parts without one",
                    "traceback": [],
                }
            ]
        )
        raise SystemExit(1)
    torch.backends.cuda.matmul.allow_tf32 = False  # comparisons are in float32
    torch.backends.cudnn.allow_tf32 = False
    with record.attempt(chosen.part):
        DOES[chosen.part](record)
        record.note(finished=True)


if __name__ == "__main__":
    main()
