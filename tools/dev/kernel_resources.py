#!/usr/bin/env python3
"""Compiles the CUDA kernels for each architecture and writes what they use to docs/benchmarks/kernel-resources.md.

    tools/dev/kernel_resources.py [--nvcc NVCC] [--cuobjdump CUOBJDUMP]

Registers, shared memory and spills come from the compiled code, and so does the number of 16-byte loads and stores from
and to global memory (LDG.E.128, STG.E.128). Exits with 1 if a kernel spills or keeps anything in local memory, or if a
kernel that streams through memory has no 16-byte loads. The tools come with CUDA; PyPI has nvidia-cuda-cuobjdump and
nvidia-cuda-nvdisasm, of which the first needs the second beside it.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
ARCHITECTURES = ["sm_80", "sm_90"]
# A penalty is compiled into the proximal step where it is defined; here the group lasso stands for all.
INSTANCE = """#include "kernels/group_prox.cuh"
struct GroupLasso {
  SIMT_HOST_DEVICE double value(double norm) const { return norm; }
  SIMT_HOST_DEVICE double shrink(double norm, double step) const { return norm > step ? 1.0 - step / norm : 0.0; }
};
void instantiate(const hinge::kernels::GroupTable& table, const hinge::kernels::SgdOptions* options) {
  hinge::kernels::group_prox(table, GroupLasso(), nullptr);
  hinge::kernels::sgd_group_prox(table, options, GroupLasso(), nullptr);
}
"""
# Kernels whose speed is that of memory: they must read 16 bytes at a time.
STREAMING = re.compile(r"^(map_one|map_two|bias_kernel|convert|convolution_end_kernel<float4|low_rank_pair|dropout|apply|sgd|sgd_all|group_prox|l1_minus_l2|one_matrix_kernel<WriteNorm"
                       r"|channel_sums_kernel<[48]|input_gradient_kernel<\w+, \w+, [48]|pool_kernel<\w+, [48])")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def short_name(mangled):
    """map_two_kernel<Sum> for the mangled name of the kernel."""
    name = run("c++filt", mangled).strip()
    name = re.sub(r"hinge::(kernels::)?|cuda::|device::|\(anonymous namespace\)::|_GLOBAL__N__\w+::|\(bool\)|\(int\)", "", name)
    name = re.sub(r"_NV_ANON_NAMESPACE::", "", name)
    depth, end = 0, len(name)
    for i, letter in enumerate(name):
        depth += (letter == "<") - (letter == ">")
        if letter == "(" and depth == 0:
            end = i
            break
    return name[:end].removeprefix("void ")


def kernels_of(source, architecture, tools, folder):
    """{kernel: (registers, shared, stack + local, loads, stores)} of one source file."""
    cubin = folder / f"{source.stem}.{architecture}.cubin"
    run(tools.nvcc, "-std=c++20", f"-I{ROOT}", f"-arch={architecture}", "-O3", "-cubin", "-o", str(cubin), str(source))
    usage = run(tools.cuobjdump, "-res-usage", str(cubin))
    found = {}
    for name, registers, stack, shared, local in re.findall(
            r"Function (\S+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)", usage):
        found[name] = [int(registers), int(shared), int(stack) + int(local), 0, 0]
    for part in run(tools.cuobjdump, "-sass", str(cubin)).split("Function : ")[1:]:
        counts = found[part.split()[0]]
        counts[3] = len(re.findall(r"\bLDG\.E\.128", part))
        counts[4] = len(re.findall(r"\bSTG\.E\.128", part))
    return {short_name(name): counts for name, counts in found.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nvcc", default="nvcc")
    parser.add_argument("--cuobjdump", default="cuobjdump")
    tools = parser.parse_args()
    lines, faults = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        instance = folder / "group_prox.cuh.cu"
        instance.write_text(INSTANCE)
        for source in sorted((ROOT / "kernels/cuda").glob("*.cu")) + [instance]:
            by_architecture = [kernels_of(source, a, tools, folder) for a in ARCHITECTURES]
            label = "group_prox.cuh" if source == instance else source.name
            for kernel in sorted(by_architecture[0]):
                uses = [found[kernel] for found in by_architecture]
                cell = " / ".join
                lines.append(f"| {label} | `{kernel}` | {cell(str(u[0]) for u in uses)} | {uses[0][1]:,} | "
                             f"{cell(str(u[2]) for u in uses)} | {cell(f'{u[3]}, {u[4]}' for u in uses)} |")
                for architecture, use in zip(ARCHITECTURES, uses):
                    if use[2]:
                        faults.append(f"{kernel}, {architecture}: {use[2]} bytes of stack")
                    if STREAMING.match(kernel) and not use[3]:
                        faults.append(f"{kernel}, {architecture}: no 16-byte loads")
    version = re.search(r"release [\d.]+, V([\d.]+)", run(tools.nvcc, "--version"))[1]
    text = f"""# What the CUDA kernels use

Written by `tools/dev/kernel_resources.py` with nvcc {version}; compiled, not run: no GPU was at hand. Where two numbers
stand they are for {' / '.join(ARCHITECTURES)}. `stack` is what does not fit into registers (spills) or is indexed, and must be 0.
Loads and stores count the 16-byte instructions in the code.

| file | kernel | registers | shared bytes | stack | 16-byte loads, stores |
| --- | --- | --- | --- | --- | --- |
""" + "\n".join(lines) + "\n"
    (ROOT / "docs/benchmarks/kernel-resources.md").write_text(text)
    print("\n".join(faults) if faults else f"{len(lines)} kernels: no spills, 16-byte loads wherever memory is streamed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
