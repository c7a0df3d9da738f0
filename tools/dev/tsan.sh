#!/usr/bin/env bash
# The loader's tests, and training, compressing and scoring with three loader threads, under ThreadSanitizer.
#
#   tools/dev/tsan.sh
#
# With one OpenMP thread: gcc's libgomp isn't built for ThreadSanitizer, which would take its barriers for none. So this is about
# the threads that hinge starts itself.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
cmake --preset tsan >/dev/null
cmake --build --preset tsan
ctest --preset tsan
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -B -c 'import pathlib, sys; sys.path.insert(0, "tools/dev"); import soak; soak.write_data(pathlib.Path(sys.argv[1]), 20)' "$folder/data"
options=(--data cifar10 --data-dir "$folder/data" --threads 1)
training=("${options[@]}" --batch 10 --held-out 20 --loader-threads 3)
build/tsan/hinge train --model resnet8 "${training[@]}" --epochs 2 --checkpoint-every 3 --out "$folder/a"
build/tsan/hinge compress --weights "$folder/a/model.safetensors" "${training[@]}" --target flops=0.6 --search-epochs 1 --epochs 1 --out "$folder/b"
build/tsan/hinge eval --weights "$folder/b/model.safetensors" "${options[@]}"
echo "ThreadSanitizer: holds"
