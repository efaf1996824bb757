#!/usr/bin/env bash
# Everything that a machine with a graphics card can tell, in at most eight minutes; see benchmarks/gpu_check.py.
#
#   scripts/gpu_check.sh [--dry] [--out DIR] [--wheels DIR] [--minutes 8]
#
# Needs this repository and a folder of wheels (scripts/gpu_wheels.sh), no network. The wheels are installed into a
# temporary folder, which is removed at the end. PYTHON names the interpreter that has torch; by default python3.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
out=$root/benchmarks/results/gpu wheels=$root/.whl minutes=8 options=()

while [ $# -gt 0 ]; do
  case $1 in
    --dry) options+=(--dry); shift ;;
    --out | --wheels | --minutes)
      [ $# -gt 1 ] || { echo "error: $1 needs a value" >&2; exit 2; }
      printf -v "${1#--}" %s "$2"; shift 2 ;;
    *) echo "usage: scripts/gpu_check.sh [--dry] [--out DIR] [--wheels DIR] [--minutes 8]" >&2; exit 2 ;;
  esac
done

site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
install() {
  "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --disable-pip-version-check \
    --root-user-action=ignore --upgrade --target "$site" "$@"
}
if ! compgen -G "$wheels/*.whl" >/dev/null; then
  echo "no wheels in $wheels: only what is installed already is used (scripts/gpu_wheels.sh collects them)"
elif ! install "$wheels"/*.whl; then # one that does not fit stops all: take them one by one, and do without it
  for wheel in "$wheels"/*.whl; do
    install "$wheel" || echo "warning: without $(basename "$wheel")" >&2
  done
fi
export PYTHONPATH=$root:$site${PYTHONPATH:+:$PYTHONPATH}
"$python" "$root/benchmarks/gpu_check.py" --out "$out" --minutes "$minutes" --spent "$SECONDS" "${options[@]}"
