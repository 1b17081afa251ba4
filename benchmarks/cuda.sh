#!/usr/bin/env bash
# All that needs a GPU, as one command in a checkout: `bash benchmarks/cuda.sh [FOLDER FOR RESULTS]`.
# It makes an environment of its own beside the results, with the CUDA build of torch that pip picks.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-cuda-results}
mkdir -p "$out"
nvidia-smi | tee "$out/gpu.txt"
[ -x "$out/venv/bin/python" ] || python3 -m venv "$out/venv"
"$out/venv/bin/pip" install --quiet -e '.[dev]'
python=$out/venv/bin/python
# Inside of the sandbox first: whatever else is measured means nothing where it hides the GPU.
"$python" -m pytest -q -n 0 tests/referee/test_gpus.py | tee "$out/sandbox.txt"
"$python" -m benchmarks.cuda | tee "$out/examples.txt"
for example in keydoor squad trading; do
  # Shares of the time: environment, forward, backward, optimiser, and the roofline of the products.
  "$python" -m simverse.profile --candidate "examples/$example/candidate" --device cuda | tee "$out/profile-$example.txt"
done
"$python" -m benchmarks.scaling --device cuda --picture "$out/scaling.png" --save "$out/scaling.json" | tee "$out/scaling.txt"
