#!/usr/bin/env bash
# Fails and names the places where a source isn't formatted as .clang-format says. Versions of clang-format differ in
# what they make of one configuration, so only the one the tree is kept with is asked.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=$(clang-format --version 2>/dev/null | grep -o 'version [0-9]*' | cut -d' ' -f2 || true)
if [ "$version" != 14 ]; then
  echo "format: skipped: clang-format ${version:-is not installed}, the tree is kept with 14"
  exit 0
fi
find . -path ./build -prune -o -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) -print0 |
  xargs -0 clang-format --dry-run -Werror
echo "format: holds"
