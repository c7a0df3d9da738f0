#!/usr/bin/env bash
# Fetches a data set from its official source, checks it and unpacks it.
#
#   tools/get_data.sh cifar10|cifar100|fashion-mnist|imagenette DIR
#
# An interrupted download goes on where it stopped (FILE.part); nothing has its final name before it is whole and its
# checksum is right. Running it again does nothing where all is there.
#
# Checksums are those that the sources publish (cs.toronto.edu/~kriz/cifar.html, the README of zalandoresearch/fashion-mnist;
# for imagenette2-160, fast.ai publishes none: it is torchvision's). HINGE_DATA_SOURCES names a file with other lines of
# the same form, for mirrors: NAME FILE MD5 URL.
set -euo pipefail

sources="
cifar10 cifar-10-binary.tar.gz c32a1d4ab5d03f1284b67883e8d87530 https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz
cifar100 cifar-100-binary.tar.gz 03b5dce01913d631647c71ecec9e9cb8 https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz
fashion-mnist train-images-idx3-ubyte.gz 8d4fb7e6c68d591d4c3dfef9ec88bf0d http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz
fashion-mnist train-labels-idx1-ubyte.gz 25c81989df183df01b3e8a0aad5dffbe http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-labels-idx1-ubyte.gz
fashion-mnist t10k-images-idx3-ubyte.gz bef4ecab320f06d8554ea6380940ec79 http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-images-idx3-ubyte.gz
fashion-mnist t10k-labels-idx1-ubyte.gz bb300cfdad3c16e7a12a480ee83cd310 http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-labels-idx1-ubyte.gz
imagenette imagenette2-160.tgz e793b78cc4c9e9a4ccc0c1155377a412 https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-160.tgz
"
[ -n "${HINGE_DATA_SOURCES:-}" ] && sources=$(cat "$HINGE_DATA_SOURCES")

fail() {  # CODE MESSAGE
  echo "tools/get_data.sh: $2" >&2
  exit "$1"
}

known=$(awk 'NF { print $1 }' <<<"$sources" | uniq | paste -sd ' ')
[ $# -eq 2 ] || fail 2 "expected NAME DIR; names: $known"
name=$1 dir=$2
grep -qw -- "$name" <<<"$known" || fail 2 "unknown data set '$name', expected one of: $known"
command -v curl >/dev/null || fail 1 "curl is missing (Debian: apt-get install curl)"
mkdir -p "$dir"

has_sum() {  # FILE MD5
  [ -f "$1" ] && [ "$(md5sum <"$1" | cut -d ' ' -f 1)" = "$2" ]
}

fetch() {  # FILE MD5 URL
  local target="$dir/$1"
  has_sum "$target" "$2" && return
  if ! has_sum "$target.part" "$2"; then
    echo "Fetching $3"
    curl --fail --location --retry 3 --continue-at - --output "$target.part" "$3" ||
      fail 1 "$3: the download failed; run the same command again to go on"
  fi
  if ! has_sum "$target.part" "$2"; then
    local found
    found=$(md5sum <"$target.part" | cut -d ' ' -f 1)
    rm -f "$target.part"
    fail 1 "$3: checksum $found, expected $2; what was fetched is removed"
  fi
  mv "$target.part" "$target"
}

# The archive's one folder appears at once: it is unpacked beside its place and renamed.
unpack() {  # FILE
  local top
  top=$(tar -tzf "$dir/$1" 2>/dev/null | head -n 1 | cut -d / -f 1 || true)
  [ -n "$top" ] || fail 1 "$dir/$1: an empty archive"
  if [ ! -d "$dir/$top" ]; then
    rm -rf "$dir/.unpacking"
    mkdir "$dir/.unpacking"
    tar -xzf "$dir/$1" -C "$dir/.unpacking" --no-same-owner
    mv "$dir/.unpacking/$top" "$dir/$top"
    rm -rf "$dir/.unpacking"
  fi
  place="$dir/$top"
}

place=$dir
while read -r set file sum url; do
  [ "$set" = "$name" ] || continue
  fetch "$file" "$sum" "$url"
  case "$file" in *.tar.gz | *.tgz) unpack "$file" ;; esac
done <<<"$sources"

case "$name" in
  imagenette) echo "Ready: --data folder --data-dir $place" ;;
  *) echo "Ready: --data $name --data-dir $place" ;;
esac
