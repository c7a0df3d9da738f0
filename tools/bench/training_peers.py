#!/usr/bin/env python3
"""Training steps, steps of a search and proximal steps by hinge and PyTorch on this machine's CPU: compare_pytorch.py several times over.

    tools/bench/training_peers.py [--rounds 3] [--only TEXT] [--programs FOLDER] [--seconds S] [--out FILE.json]

A round is compare_pytorch.py in a process of its own for one work after the other, so that hinge and PyTorch take turns; the
table has medians over rounds, the fastest in brackets, and the ratio of the medians last. The product rate of the machine is asked for
before and after each, and a round below 0.8 of the best is left out. Works: the proximal step of ResNet-56, VGG-16 and ResNet-50; the
training step and the search's step of ResNet-20, ResNet-56 and VGG-16 at batch 128.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx512")
import torch  # noqa: E402

TOOLS = pathlib.Path(__file__).resolve().parents[1]
WORKS = ["prox of resnet56", "prox of vgg16", "prox of resnet50"] + [f"step of {m}, batch 128, 32x32, fp32" for m in ("resnet20", "resnet56", "vgg16")]
WORKS += [f"search step of {m}, batch 128, 32x32" for m in ("resnet20", "resnet56", "vgg16")]


def product_rate():
    a = torch.rand(768, 768)
    best = 1e9
    for _ in range(20):
        begin = time.perf_counter()
        torch.mm(a, a)
        best = min(best, time.perf_counter() - begin)
    return 2e-9 * 768**3 / best


def one(work, arguments):
    """{"hinge": seconds, "pytorch": seconds of its best form, "form", "rate"} of one comparison."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "one.json"
        command = [sys.executable, TOOLS / "compare_pytorch.py", "--device", "cpu", "--no-compile", "--only", work, "--seconds", str(arguments.seconds), "--out", out]
        before = product_rate()
        run = subprocess.run(command + (["--programs", arguments.programs] if arguments.programs else []), capture_output=True, text=True)
        if run.returncode != 0:
            sys.exit(f"training_peers: {work}: {run.stderr.strip()}")
        entry = json.loads(out.read_text())["results"][work]
    form, best = min(((f, s) for f, s in entry["pytorch"].items() if s is not None), key=lambda item: item[1])
    return {"hinge": entry["hinge"], "pytorch": best, "form": form, "rate": min(before, product_rate())}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--programs")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    rounds = {work: [] for work in WORKS if arguments.only in work}
    if not rounds:
        parser.error(f"--only {arguments.only}: no such work (known: {'; '.join(WORKS)})")
    for _ in range(arguments.rounds):
        for work in rounds:
            rounds[work].append(one(work, arguments))
    best_rate = max(r["rate"] for rs in rounds.values() for r in rs)
    print("| work | hinge, ms (fastest) | PyTorch | its form | PyTorch / hinge | disturbed rounds |")
    print("| --- | --- | --- | --- | --- | --- |")
    for work, all_rounds in rounds.items():
        quiet = [r for r in all_rounds if r["rate"] >= 0.8 * best_rate]
        used = quiet or all_rounds
        median = {who: statistics.median(r[who] for r in used) for who in ("hinge", "pytorch")}
        shown = {who: f"{1e3 * median[who]:.3f} ({1e3 * min(r[who] for r in used):.3f})" for who in median}
        print(f"| {work} | {shown['hinge']} | {shown['pytorch']} | {used[0]['form']} | {median['pytorch'] / median['hinge']:.2f} | "
              f"{len(all_rounds) - len(quiet)} of {len(all_rounds)}{'' if quiet else ' (used all the same)'} |")
    if arguments.out:
        arguments.out.write_text(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads(), "rounds": rounds}, indent=1) + "\n")


main()
