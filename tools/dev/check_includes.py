#!/usr/bin/env python3
"""Checks who includes whom against docs/architecture.md's table.

Each room may include itself, the standard library and what its row names. Vendor headers (oneDNN, CUDA, Boost.Context, MPI) appear
only in kernels/cpu, kernels/cuda, kernels/simt, engine/parallel and .cpp files of engine/core. Exits with 1 and one line per violation.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROOMS = ["engine/parallel", "kernels/simt", "kernels/device", "kernels/cuda", "kernels", "engine/core", "engine/cuda", "engine/autograd", "engine/ops", "engine/graph", "engine/nn",
         "engine/optim", "engine/parallel", "engine/infer", "engine/train", "engine/io", "compress", "models", "data", "tools", "tests"]
VENDOR = re.compile(r"^(mpi|nccl|dnnl|boost|cooperative_groups|cuda|cudnn|cublas|oneapi)")


def table():
    """Room -> rooms it may include, from the table between the markers in docs/architecture.md."""
    text = (ROOT / "docs/architecture.md").read_text()
    block = text.split("<!-- includes -->")[1]
    rows = re.findall(r"^\| `([\w/]+)` \| (.*?) \|", block, re.M)
    return {room: re.findall(r"`([\w/]+)`", allowed) for room, allowed in rows}


def room_of(path):
    """The most specific room a path (relative to the root) lies in."""
    return next((room for room in ROOMS if path.startswith(room + "/")), None)


def allowed(target, names):
    return any(target == name or target.startswith(name + "/") for name in names)


def main():
    rules = table()
    missing = [room for room in ROOMS if room not in rules]
    if missing:
        sys.exit(f"docs/architecture.md: no row for {', '.join(missing)}")
    errors = []
    files = [p for top in ("engine", "kernels", "compress", "models", "data", "tools", "tests")
             for p in sorted((ROOT / top).rglob("*")) if p.suffix in {".h", ".cpp", ".cu", ".cuh"}]
    for file in files:
        relative = file.relative_to(ROOT).as_posix()
        room = room_of(relative)
        for number, line in enumerate(file.read_text().splitlines(), 1):
            found = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if not found:
                continue
            name = found[2]
            if found[1] == '"':
                target = room_of(name)
                if target and target != room and not allowed(target, rules[room]):
                    errors.append(f"{relative}:{number}: {room} may not include {name}")
            elif VENDOR.match(name) and not (relative.startswith(("kernels/cpu/", "kernels/cuda/", "kernels/simt/", "engine/parallel/"))
                                             or (relative.startswith("engine/core/") and file.suffix == ".cpp")):
                errors.append(f"{relative}:{number}: vendor header <{name}> outside kernels/cpu, kernels/cuda")
    print("\n".join(errors) if errors else f"include directions hold in {len(files)} files")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
