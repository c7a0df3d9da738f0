#!/usr/bin/env bash
# Sets up, builds and runs every check: include directions, all tests plain and under
# AddressSanitizer and UndefinedBehaviorSanitizer.
#
#   tools/test.sh            everything
#   tools/test.sh cpu        plain only           (or: asan-ubsan)
#
# Tests on real CIFAR-10 and pretrained networks use $HINGE_SHARED (default ../shared) and say so when they skip.
set -euo pipefail
cd "$(dirname "$0")/.."
presets=("${@:-cpu}")
[ $# -eq 0 ] && presets=(cpu asan-ubsan)

tools/setup.sh --tests
/usr/bin/python3 tools/dev/check_includes.py
tools/dev/check_format.sh
export HINGE_SHARED=${HINGE_SHARED:-$PWD/../shared}
export HINGE_CIFAR=${HINGE_CIFAR:-$PWD/build/cifar}
if [ -d "$HINGE_SHARED/data/cifar10" ] && [ ! -f "$HINGE_CIFAR/cifar-10-batches-bin/test_batch.bin" ]; then
  # Debian's own Python: the one that the packages above belong to.
  /usr/bin/python3 "$HINGE_SHARED/tools/unpack-cifar" "$HINGE_SHARED/data" "$HINGE_CIFAR" cifar10
fi
# ONNX Runtime judges what hinge export writes. Debian has no package of it; without network its tests skip and say so.
# With the system's packages, so that Debian's torch is seen where it is installed.
if ! build/venv/bin/python -c 'import onnx, onnxruntime, safetensors' 2>/dev/null; then
  mkdir -p build
  { /usr/bin/python3 -m venv --system-site-packages build/venv && build/venv/bin/pip install -q onnx onnxruntime safetensors; } ||
    echo "tools/test.sh: no ONNX Runtime from PyPI; its tests will skip" >&2
fi
for preset in "${presets[@]}"; do
  cmake --preset "$preset" >/dev/null
  cmake --build --preset "$preset"
  ctest --preset "$preset"
done
