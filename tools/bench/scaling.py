#!/usr/bin/env python3
"""How the training step's rate depends on the batch, and its time on the depth.

    tools/bench/scaling.py [--rounds 5] [--programs FOLDER] [--seconds S] [--out FILE.json]

ResNet-20 at batches of 32 to 512, and ResNet-20 to 110 at batch 128, each by hinge-workload in a process of its own, one after the
other, so that all have the same weather; a round is all of them. Tables have medians over rounds and the fastest. The depth table's
line is time = a + b * blocks through the fastest times (least squares), and how far each depth lies from it. Random weights and
pictures; needs nothing but the programs.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BATCHES = [32, 64, 128, 256, 512]
DEPTHS = [20, 32, 44, 56, 110]


def seconds_of(arguments, model, images):
    command = [str(arguments.programs / "hinge-workload"), "step", "--model", model, "--images", str(images), "--device", "cpu", "--seconds", str(arguments.seconds)]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"scaling: {' '.join(command)}: {run.stderr.strip()}")
    return json.loads(run.stdout)["seconds"]


def line_through(xs, ys):
    """a, b of the least-squares line."""
    mx, my = statistics.fmean(xs), statistics.fmean(ys)
    b = sum((x - mx) * (y - my) for x, y in zip(xs, ys)) / sum((x - mx) ** 2 for x in xs)
    return my - b * mx, b


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "build/cpu")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    works = {("resnet20", b): [] for b in BATCHES} | {(f"resnet{d}", 128): [] for d in DEPTHS}
    for _ in range(arguments.rounds):
        for (model, images), times in works.items():
            times.append(seconds_of(arguments, model, images))
    median = {work: statistics.median(times) for work, times in works.items()}
    least = {work: min(times) for work, times in works.items()}

    print("| ResNet-20, batch | ms a step (fastest) | images/s | of batch 128 |\n| --- | --- | --- | --- |")
    for b in BATCHES:
        work = ("resnet20", b)
        rate = b / median[work]
        print(f"| {b} | {1e3 * median[work]:.1f} ({1e3 * least[work]:.1f}) | {rate:.0f} | {rate * median[('resnet20', 128)] / 128:.3f} |")
    blocks = [(d - 2) // 2 for d in DEPTHS]
    a, b = line_through(blocks, [least[(f"resnet{d}", 128)] for d in DEPTHS])
    print(f"\nTime = {1e3 * a:.2f} ms + {1e3 * b:.3f} ms a block.\n")
    print("| depth | ms a step, batch 128 (fastest) | images/s | fastest, of the line |\n| --- | --- | --- | --- |")
    for d, n in zip(DEPTHS, blocks):
        work = (f"resnet{d}", 128)
        print(f"| {d} | {1e3 * median[work]:.1f} ({1e3 * least[work]:.1f}) | {128 / median[work]:.0f} | {least[work] / (a + b * n):.3f} |")
    if arguments.out:
        arguments.out.write_text(json.dumps({f"{m}, batch {n}": times for (m, n), times in works.items()}, indent=1) + "\n")


main()
