#!/usr/bin/env bash
# A tarball that runs on another Linux of the same architecture: the program for any processor, the shared libraries that it needs
# beside it (found through $ORIGIN), documentation and licences. The C library is the other machine's: it must be as new as the
# one here, which `hinge-.../README.txt` names.
#
#   tools/make_tarball.sh [FOLDER]        default: dist; leaves FOLDER/hinge-VERSION-linux-ARCHITECTURE.tar.gz
#
# JOBS (default: all processors) compile at a time. The same tree and system give the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-dist}
build=build/tarball
for tool in objdump strip dpkg-query tar gzip; do
  command -v "$tool" >/dev/null || { echo "tools/make_tarball.sh: $tool is missing" >&2; exit 1; }
done

# DT_RPATH and not DT_RUNPATH: the libraries' own needs are looked for beside them as well.
cmake --preset cpu -B "$build" -DHINGE_NATIVE=OFF -DHINGE_TESTS=OFF -DCMAKE_EXE_LINKER_FLAGS="-Wl,--disable-new-dtags" \
  -DCMAKE_INSTALL_RPATH='$ORIGIN/../lib' >/dev/null
cmake --build "$build" --target hinge -j"${JOBS:-$(nproc)}"

version=$("$build/hinge" --version | awk '{print $2}')
name=hinge-$version-linux-$(uname -m)
stage=$out/$name
rm -rf "$stage"
mkdir -p "$stage/bin" "$stage/lib" "$stage/licences" "$stage/tools"
cmake -DCMAKE_INSTALL_LOCAL_ONLY=ON -DCMAKE_INSTALL_PREFIX="$PWD/$build/prefix" -DCMAKE_INSTALL_COMPONENT=program -P "$build/cmake_install.cmake" >/dev/null
cp "$build/prefix/bin/hinge" "$stage/bin/"
strip "$stage/bin/hinge"
cp README.md LICENSE "$stage/"
cp -r docs "$stage/docs"
cp tools/from_pytorch.py tools/get_data.sh "$stage/tools/"

# Every library but the C library's own, which belongs to the kernel and the loader of the machine.
licence_of() {  # PATH NAME: the copyright file of the Debian package that holds PATH
  local file package
  file=$(readlink -f "$1")
  # Where /lib is a link to /usr/lib, dpkg may know a file by either name.
  package=$({ dpkg-query -S "$file" || dpkg-query -S "${file#/usr}"; } 2>/dev/null | head -n 1 | cut -d: -f1 || true)
  [ -n "$package" ] && [ -f "/usr/share/doc/$package/copyright" ] || { echo "tools/make_tarball.sh: no licence found for $1" >&2; exit 1; }
  cp -L "/usr/share/doc/$package/copyright" "$stage/licences/$2.txt"
}
while read -r library path; do
  case "$library" in
    linux-vdso* | ld-linux* | */ld-linux* | libc.so.* | libm.so.* | libpthread.so.* | libdl.so.* | librt.so.*) continue ;;
  esac
  [ -f "$path" ] || { echo "tools/make_tarball.sh: $library was not found by the loader" >&2; exit 1; }
  cp -L "$path" "$stage/lib/$library"
  licence_of "$path" "$library"
done < <(ldd "$build/hinge" | sed -n 's/^\s*\(\S*\) => \(\S*\).*/\1 \2/p')
# Compiled into the program.
for header in Eigen:/usr/include/eigen3/Eigen/Core nlohmann-json:/usr/include/nlohmann/json.hpp CLI11:/usr/include/CLI/CLI.hpp; do
  licence_of "${header#*:}" "${header%%:*}"
done

# The newest version of the C library's symbols that anything in here asks for.
glibc=$(objdump -T "$stage/bin/hinge" "$stage"/lib/* | grep -o 'GLIBC_2\.[0-9.]*' | sed 's/GLIBC_//' | sort -V | tail -n 1)
cat > "$stage/README.txt" <<END
hinge $version for Linux on $(uname -m), any processor of that kind. It needs the C library glibc $glibc or newer and nothing else:

  bin/hinge --help

Documentation: README.md and docs/README.md. Licence: LICENSE; of the libraries in lib/ and of what is compiled in: licences/.
Built for any processor it is slower than built for yours (README.md).
END

# Dates from the last commit, names in order, no owners: equal trees give equal bytes.
date=$(git log -1 --format=%ct 2>/dev/null || echo 0)
tar --sort=name --mtime="@$date" --owner=0 --group=0 --numeric-owner -C "$out" -cf - "$name" | gzip -9n > "$out/$name.tar.gz.partial"
mv "$out/$name.tar.gz.partial" "$out/$name.tar.gz"
echo "$out/$name.tar.gz: $(stat -c %s "$out/$name.tar.gz") bytes, needs glibc $glibc"
