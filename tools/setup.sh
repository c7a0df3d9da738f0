#!/usr/bin/env bash
# Installs what hinge needs to build, where it is missing. Tried on Debian 12 and 13; the packages have the same names on Ubuntu.
#
#   tools/setup.sh            libraries and tools, Fashion-MNIST for the demo
#   tools/setup.sh --tests    the same and what the tests need
set -euo pipefail

packages=(g++ cmake ninja-build libboost-context-dev libdnnl-dev libeigen3-dev libfmt-dev nlohmann-json3-dev libcli11-dev zlib1g-dev libjpeg-dev libpng-dev
          dataset-fashion-mnist)
case "${1:-}" in
  "") ;;
  --tests) packages+=(catch2 python3 python3-numpy python3-pil python3-venv libstb-dev clang-format libopenmpi-dev openmpi-bin) ;;
  *) echo "tools/setup.sh: unknown option '$1', expected --tests or nothing" >&2; exit 2 ;;
esac

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "tools/setup.sh: these packages are missing and there is no sudo to install them: ${missing[*]}" >&2
    exit 1
  fi
  root=(sudo)
fi
echo "Installing: ${missing[*]}"
"${root[@]}" apt-get update -qq
if ! "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; then
  echo "tools/setup.sh: could not install: ${missing[*]}" >&2
  exit 1
fi
