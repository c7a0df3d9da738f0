#!/usr/bin/env python3
"""Strong and weak scaling of `mpirun -n N hinge train` on this machine's cores: images/s of whole epochs, as the program reports them.

    tools/bench/ranks.py [--model resnet20] [--ranks 1,2] [--batch 128] [--rounds 3] [--out FILE.json]

A rank has one core. Strong: the batch stays as it is and ranks divide it. Weak: each rank has a batch of that size. Beside them one
process with as many threads as there are ranks, which is what the ranks have to beat. All are run in turns, a round is all of them;
the table has medians over rounds and, in brackets, the fastest and the share of N times one rank. Images are pictures at random in
CIFAR's layout, made in a temporary folder; the network is trained for --epochs epochs of --images images and the last epoch counts.
Needs mpirun and the programs.
"""
import argparse
import json
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
HELD_OUT = 20


def write_pictures(folder, images):
    """CIFAR-10's six files of noise: `images` in five, and 100 to test on."""
    folder = folder / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    noise = random.Random(1)
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        with open(folder / name, "wb") as file:
            for i in range(images // 5 if name.startswith("data") else 100):
                file.write(bytes([i % 10]) + noise.randbytes(3072))


def images_per_second(arguments, data, ranks, threads, batch):
    """Of the last epoch's training: what comes before measures convolutions and warms up."""
    out = data / "run"
    shutil.rmtree(out, ignore_errors=True)
    command = [str(arguments.programs / "hinge"), "train", "--model", arguments.model, "--data", "cifar10", "--data-dir", str(data), "--held-out", str(HELD_OUT),
               "--batch", str(batch), "--epochs", str(arguments.epochs), "--threads", str(threads), "--device", "cpu", "--out", str(out)]
    if ranks > 1:
        command = ["mpirun", "--bind-to", "core", "-n", str(ranks), *command]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"ranks: {' '.join(command)}: exit code {run.returncode}\n{run.stdout}{run.stderr}")
    last = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    return (arguments.images - HELD_OUT) / last["seconds"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--ranks", default="1,2", help="numbers of ranks, the first of them 1")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--images", type=int, default=2580)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "build/cpu")
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    ranks = [int(n) if n.isdigit() else 0 for n in arguments.ranks.split(",")]
    if ranks[0] != 1 or ranks != sorted(set(ranks)):
        sys.exit(f"ranks: --ranks {arguments.ranks}: expected 1 and then larger numbers, such as 1,2")
    if arguments.images % 5 or arguments.images <= HELD_OUT + arguments.batch * ranks[-1]:
        sys.exit(f"ranks: --images {arguments.images}: expected a multiple of 5 that is more than one batch of {ranks[-1]} x {arguments.batch}")
    if ranks[-1] > 1 and not shutil.which("mpirun"):
        sys.exit("ranks: no mpirun (Debian: libopenmpi-dev)")
    # (kind, ranks): ranks, threads, batch
    works = {("one process", n): (1, n, arguments.batch) for n in ranks}
    works |= {("strong", n): (n, 1, arguments.batch) for n in ranks[1:]} | {("weak", n): (n, 1, n * arguments.batch) for n in ranks[1:]}
    rates = {work: [] for work in works}
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder)
        write_pictures(data, arguments.images)
        for _ in range(arguments.rounds):
            for work, shape in works.items():
                rates[work].append(images_per_second(arguments, data, *shape))
                print(f"{work[0]}, {work[1]}: {rates[work][-1]:.0f} images/s", file=sys.stderr)
    one = statistics.median(rates[("one process", 1)])

    def cell(work):
        median = statistics.median(rates[work])
        return f"{median:.0f} ({max(rates[work]):.0f}; {median / (work[1] * one):.2f})"

    print(f"{arguments.model}, images/s: median of {arguments.rounds} rounds (fastest; share of N times one core)\n")
    print(f"| cores | one process with threads, batch {arguments.batch} | ranks, strong: batch {arguments.batch} | ranks, weak: batch N x {arguments.batch} |\n| --- | --- | --- | --- |")
    for n in ranks:
        print(f"| {n} | " + " | ".join(cell((kind, n)) if (kind, n) in rates else "the same" for kind in ("one process", "strong", "weak")) + " |")
    if arguments.out:
        arguments.out.write_text(json.dumps({f"{kind}, {n}": values for (kind, n), values in rates.items()}, indent=1) + "\n")


main()
