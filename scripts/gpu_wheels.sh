#!/usr/bin/env bash
# Collect the wheels that a machine with a graphics card lacks: Python 3.12 on x86-64 Linux, no network there. At most
# 45 MiB.
#
#   scripts/gpu_wheels.sh [DIR]        # by default .whl in the repository; then scripts/gpu_check.sh --wheels DIR
#
# What to bring is in benchmarks/gpu_wheels.txt, what is there already in benchmarks/gpu_there.txt. Tags, sizes and
# needs are checked and printed by benchmarks/gpu_wheels.py. Packages without a wheel on PyPI are built here, where they
# hold no compiled code.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
folder=${1:-$root/.whl}
exec "$python" "$root/benchmarks/gpu_wheels.py" "$folder" --collect
