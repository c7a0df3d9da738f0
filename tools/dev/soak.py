#!/usr/bin/env python3
"""Runs hinge for a given time and looks whether anything grows: memory, open files, time.

    tools/dev/soak.py MINUTES [--program build/cpu/hinge] [--log FILE]

A third of the time goes to cycles of train, compress and eval on a small network and small data (a process each), the rest
to one training run, which is looked at from outside once a second. Prints the growth of each quantity, which is the slope by
least squares times the duration, and fails (exit code 1) where memory grows by more than 2 MiB, open files by one, or time by
15 %. Time is the processor's, as the machine may do other things too.
"""
import argparse
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MOST_MEMORY_KB, MOST_FILES, MOST_TIME = 2048, 0.5, 0.15


def write_data(folder, images):
    """CIFAR-10's layout: classes differ in colour."""
    folder.mkdir(parents=True)
    draw = random.Random(1)
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        with open(folder / name, "wb") as out:
            for i in range(images):
                label = i % 10
                out.write(bytes([label]) + bytes(min(255, 20 * label + draw.randrange(40)) for _ in range(3072)))


def slope(points):
    """Of (x, y), by least squares; 0 for fewer than two."""
    if len(points) < 2:
        return 0.0
    mean_x, mean_y = (sum(p[k] for p in points) / len(points) for k in (0, 1))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def growth(points):
    """Slope times the range of x: what the line gains from the first point to the last."""
    return slope(points) * (points[-1][0] - points[0][0]) if points else 0.0


def run(words, log):
    """Seconds of processor time and peak resident memory in kB of a command that has to work."""
    process = subprocess.Popen(words, stdout=log, stderr=log)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"soak: {' '.join(map(str, words))} ended with status {status}; see {log.name}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss


class Soak:
    def __init__(self, program, folder, log):
        self.program, self.folder, self.log = program, folder, log
        self.data = ["--data", "cifar10", "--data-dir", folder / "data", "--threads", "1"]
        self.small = ["--batch", "20", "--held-out", "20", "--seed", "1"]
        self.failures = []

    def check(self, what, points, most, unit, share_of=None):
        """Prints a row; a failure if the growth is beyond `most` (of `share_of`, where it is a share)."""
        gained = growth(points)
        value = gained / share_of if share_of else gained
        text = f"{100 * value:+.1f} %" if share_of else f"{gained:+.0f} {unit}"
        limit = f"{100 * most:.0f} %" if share_of else f"{most} {unit}"
        mean = sum(y for _, y in points) / max(len(points), 1)
        print(f"{what:<34} {len(points):>6} points   mean {mean:>12.2f} {unit:<6} growth {text:<12} allowed {limit}", flush=True)
        if not points or not value <= most:
            self.failures.append(what)

    def cycle(self):
        """Peak memory in kB of each command, and seconds in all."""
        runs = self.folder / "cycle"
        shutil.rmtree(runs, ignore_errors=True)
        runs.mkdir()
        train = [self.program, "train", "--model", "resnet8", *self.data, *self.small, "--epochs", "1", "--out", runs / "a"]
        compress = [self.program, "compress", "--weights", runs / "a/model.safetensors", *self.data, *self.small, "--target", "flops=0.6", "--search-epochs", "1", "--epochs", "1",
                    "--out", runs / "b"]
        score = [self.program, "eval", "--weights", runs / "b/model.safetensors", *self.data]
        done = [run(words, self.log) for words in (train, compress, score)]
        return [kb for _, kb in done], sum(seconds for seconds, _ in done)

    def cycles(self, seconds):
        begun, memory, times = time.monotonic(), [[], [], []], []
        while time.monotonic() - begun < seconds or len(times) < 3:
            peaks, spent = self.cycle()
            for series, kb in zip(memory, peaks):
                series.append((len(times), kb))
            times.append((len(times), spent))
        for name, series in zip(("train", "compress", "eval"), memory):
            self.check(f"cycles: peak memory of {name}", series, MOST_MEMORY_KB, "kB")
        self.check("cycles: time", times, MOST_TIME, "s", share_of=sum(y for _, y in times) / len(times))

    def one_run(self, seconds):
        """Of a training run that goes on until it is asked to stop: once a second resident memory, open files, epochs done."""
        out = self.folder / "long"
        words = [self.program, "train", "--model", "resnet8", *self.data, *self.small, "--epochs", "100000", "--checkpoint-every", "5", "--out", out]
        process = subprocess.Popen(words, stdout=self.log, stderr=self.log)
        begun, samples = time.monotonic(), []
        try:
            while time.monotonic() - begun < seconds:
                time.sleep(1)
                if process.poll() is not None:
                    sys.exit(f"soak: the long run ended by itself with {process.returncode}; see {self.log.name}")
                samples.append((time.monotonic() - begun, *self.sample(pathlib.Path(f"/proc/{process.pid}"), out / "metrics.jsonl")))
        finally:
            process.terminate()
            process.wait()
        samples = [s for s in samples if s[0] >= seconds / 10]  # buffers and caches have their size by then
        self.check("one run: resident memory", [(t, memory) for t, memory, _, _, _ in samples], MOST_MEMORY_KB, "kB")
        self.check("one run: open files", [(t, files) for t, _, files, _, _ in samples], MOST_FILES, "files")
        ends = samples[::max(len(samples) // 20, 1)]
        times = [(b[0], (b[3] - a[3]) / (b[4] - a[4])) for a, b in zip(ends, ends[1:]) if b[4] > a[4]]
        self.check("one run: time of an epoch", times, MOST_TIME, "s", share_of=sum(y for _, y in times) / max(len(times), 1) or 1)
        print(f"{samples[-1][4]} epochs in {seconds / 60:.1f} minutes")

    @staticmethod
    def sample(proc, metrics):
        """Resident memory in kB, open files, processor seconds, epochs done."""
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines() if ":" in line)
        ticks = (proc / "stat").read_text().rsplit(")", 1)[1].split()[11:13]  # utime, stime
        epochs = metrics.read_bytes().count(b"\n") if metrics.is_file() else 0
        return int(status["VmRSS"].split()[0]), len(os.listdir(proc / "fd")), sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"), epochs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("minutes", type=float)
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build/cpu/hinge")
    parser.add_argument("--log", default=str(ROOT / "build/soak.log"))
    arguments = parser.parse_args()
    if not arguments.program.is_file():
        sys.exit(f"soak: {arguments.program} is not built")
    with tempfile.TemporaryDirectory(prefix="hinge-soak-") as name, open(arguments.log, "w") as log:
        folder = pathlib.Path(name)
        write_data(folder / "data/cifar-10-batches-bin", 40)
        soak = Soak(arguments.program.resolve(), folder, log)
        soak.cycles(20 * arguments.minutes)
        soak.one_run(40 * arguments.minutes)
    print("soak: holds" if not soak.failures else f"soak: grew: {', '.join(soak.failures)}")
    return 1 if soak.failures else 0


if __name__ == "__main__":
    sys.exit(main())
