#!/usr/bin/env python3
"""Breaks the sources of engine, kernels and compress in small ways, one at a time, and sees whether a test fails.

    tools/dev/mutate.py COUNT [--seed N] [--files GLOB] [--seconds S] [--list]

Works in a copy of the tree (build/mutants), which it builds once; the sources here are never touched. Mutants are drawn from
all places with the seed: the same seed draws the same mutants. What was tried stands in build/mutants.jsonl, one JSON object a
line; a mutant that stands there is not tried again, so a run that was stopped goes on where it was. A change that doesn't
compile, or compiles to the same object file, is no mutant. Prints the share killed and lists the survivors.
"""
import argparse
import fnmatch
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
COPY = ROOT / "build/mutants"
LOG = ROOT / "build/mutants.jsonl"

# Which tests judge a source: the first pattern that matches decides. In the order in which they are tried.
JUDGES = [
    ("kernels/cuda/*.cu", ["test_emulated"]),
    ("kernels/device/*.cuh", ["test_emulated"]),
    ("kernels/simt/*.cpp", ["test_emulated"]),
    ("kernels/*.cuh", ["test_emulated", "test_compress"]),
    ("kernels/*_table.cpp", ["test_emulated"]),
    ("kernels/*.cpp", ["test_kernels", "test_engine", "test_compress"]),
    ("engine/core/accelerator.cpp", ["test_engine", "test_emulated"]),
    ("engine/core/block_cache.cpp", ["test_engine", "test_emulated"]),
    ("engine/infer/device_program.cpp", ["test_emulated"]),
    ("engine/train/*.cpp", ["test_emulated", "test_models"]),
    ("engine/*.cpp", ["test_engine", "test_compress", "test_models"]),
    ("compress/regularizers/*.cu", ["test_compress", "test_emulated"]),
    ("compress/*.cpp", ["test_compress", "test_emulated"]),
]
# Not on this machine: they need a GPU, or only measure.
EXCLUDED = ["kernels/cuda/*.cpp", "engine/cuda/*"]

# name, what is found, what replaces it. Binary operators have a space on either side in this tree.
SWAPS = [
    ("comparison", r" < ", " <= "), ("comparison", r" <= ", " < "), ("comparison", r" > ", " >= "), ("comparison", r" >= ", " > "),
    ("comparison", r" == ", " != "), ("comparison", r" != ", " == "),
    ("operator", r" \+ ", " - "), ("operator", r" - ", " + "), ("operator", r" \* ", " / "), ("operator", r" / ", " * "),
    ("operator", r" % ", " * "), ("operator", r" \+= ", " -= "), ("operator", r" -= ", " += "),
    ("operator", r" && ", " || "), ("operator", r" \|\| ", " && "), ("operator", r"std::min\b", "std::max"), ("operator", r"std::max\b", "std::min"),
    ("constant", r"(?<![\w.])0(?![\w.])", "1"), ("constant", r"(?<![\w.])1(?![\w.])", "2"), ("constant", r"(?<![\w.])2(?![\w.])", "3"),
    ("constant", r"(?<![\w.])0\.0f?(?![\w.])", "1.0"), ("constant", r"(?<![\w.])1\.0f?(?![\w.])", "2.0"), ("constant", r"(?<![\w.])0\.5f?(?![\w.])", "0.25"),
    ("constant", r"\btrue\b", "false"), ("constant", r"\bfalse\b", "true"), ("off by one", r"\.size\(\)(?= *[;,)])", ".size() - 1"),
]
# A call or an assignment that is a line of its own; not a declaration, not a return.
STATEMENT = re.compile(r"^( +)(?!return|throw|break|continue|case|using|const |auto |else|static)([\w.\->\[\]():*]+ (?:[-+*/|&]?=) .*;|[\w.\->:\[\]]+\(.*\);)$")
# Neither what is said nor how it is measured is behaviour that a test must hold.
SKIPPED_LINE = re.compile(r"^\s*(#|//|using|namespace|template|static_assert|struct|class|enum)|fail\(|fail_usage\(|throw |#pragma|chrono")


def blanked(text):
    """The text with comments and literals of text blanked out, every character in its place."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match[0])
    return re.sub(r'//[^\n]*|/\*.*?\*/|R"\w*\(.*?\)\w*"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def judges_of(path):
    if any(fnmatch.fnmatch(path, pattern) for pattern in EXCLUDED):
        return []
    return next((judges for pattern, judges in JUDGES if fnmatch.fnmatch(path, pattern)), [])


def mutants_of(path):
    """Every mutant of a file: path, line, kind, begin, end (offsets) and what stands there instead."""
    text = (ROOT / path).read_text()
    code, offset = blanked(text), 0
    for number, line in enumerate(code.split("\n"), 1):
        if not SKIPPED_LINE.search(line):
            for kind, found, replacement in SWAPS:
                for match in re.finditer(found, line):
                    yield dict(path=path, line=number, kind=kind, begin=offset + match.start(), end=offset + match.end(), to=replacement)
            statement = STATEMENT.match(line)
            if statement:
                yield dict(path=path, line=number, kind="removed statement", begin=offset + len(statement[1]), end=offset + len(line), to=";")
        offset += len(line) + 1


def identity(mutant):
    line = (ROOT / mutant["path"]).read_text()
    key = "|".join(str(mutant[k]) for k in ("path", "kind", "begin", "to")) + hashlib.sha256(line.encode()).hexdigest()
    return hashlib.sha256(key.encode()).hexdigest()[:12]


class Copy:
    """A copy of the tree, built. `with copy.changed(mutant)`: there the change is in the file; the file is put back at the end."""

    def __init__(self):
        self.build = COPY / "build/cpu"
        # Files of the index and new ones; unchanged files keep their times, so that little is built again.
        names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n")
        for name in filter(None, names):
            source, target = ROOT / name, COPY / name
            if not source.is_file():
                continue
            if not target.is_file() or target.read_bytes() != source.read_bytes():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
        subprocess.run(["cmake", "--preset", "cpu"], cwd=COPY, check=True, stdout=subprocess.DEVNULL)

    def make(self, targets, seconds=1800):
        """None or the compiler's words."""
        done = subprocess.run(["cmake", "--build", self.build, "-j1", "--target", *targets], cwd=COPY, capture_output=True, text=True, timeout=seconds)
        return None if done.returncode == 0 else done.stdout[-2000:]

    def program(self, judge):
        return self.build / "tests" / ("emulated" if judge == "test_emulated" else "") / judge

    def run(self, judge, seconds):
        """'' if all tests hold, else what failed."""
        environment = dict(os.environ, OMP_WAIT_POLICY="passive", OMP_NUM_THREADS="2")
        process = subprocess.Popen([self.program(judge), "-a"], cwd=COPY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, start_new_session=True, text=True, errors="replace")
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return "time"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.returncode == 0:
            return ""
        named = re.findall(r"^-{20,}\n(.+)\n", output, re.M)
        return named[0] if named else f"exit code {process.returncode}"

    def changed(self, mutant):
        return Change(COPY / mutant["path"], mutant)


class Change:
    def __init__(self, path, mutant):
        self.path, self.mutant, self.original = path, mutant, path.read_bytes()

    def __enter__(self):
        text = self.original.decode()
        self.path.write_text(text[:self.mutant["begin"]] + self.mutant["to"] + text[self.mutant["end"]:])

    def __exit__(self, *_):
        self.path.write_bytes(self.original)


def sums_of(copy):
    """Source file's name -> hash of what it was compiled to, by every target that compiles it."""
    sums = {}
    for path in sorted(copy.build.rglob("*.o")):
        sums.setdefault(path.name.removesuffix(".o"), {})[path] = hashlib.sha256(path.read_bytes()).hexdigest()
    return sums


def same_objects(clean, path):
    """Was the source compiled to what it was before it was changed?"""
    known = clean.get(pathlib.Path(path).name, {})
    return bool(known) and all(hashlib.sha256(p.read_bytes()).hexdigest() == was for p, was in known.items())


def judge(copy, mutant, usual, clean):
    """The record of one mutant: result is killed, survived or invalid."""
    with copy.changed(mutant):
        for name in mutant["judges"]:
            try:
                if copy.make([name]) is not None:
                    return dict(result="invalid", why="doesn't compile")
            except subprocess.TimeoutExpired:
                return dict(result="invalid", why="the compiler took too long")
            if name == mutant["judges"][0] and same_objects(clean, mutant["path"]):
                return dict(result="invalid", why="the same object file")
            failed = copy.run(name, 30 + 5 * usual[name])
            if failed:
                return dict(result="killed", by=name, why=failed)
    return dict(result="survived")


def summary(records):
    killed = [r for r in records if r["result"] == "killed"]
    survived = [r for r in records if r["result"] == "survived"]
    total = len(killed) + len(survived)
    print(f"\n{total} mutants, {len(killed)} killed ({100 * len(killed) / max(total, 1):.1f} %), {len(records) - total} drawn that were none")
    for r in survived:
        print(f"survived  {r['path']}:{r['line']}  {r['kind']}: {r['before']}  ->  {r['after']}")


def lines_of(mutant):
    """The line as it is and as it becomes."""
    text = (ROOT / mutant["path"]).read_text()
    begin = text.rfind("\n", 0, mutant["begin"]) + 1
    end = text.find("\n", mutant["end"])
    return text[begin:end].strip(), (text[begin:mutant["begin"]] + mutant["to"] + text[mutant["end"]:end]).strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, help="mutants that compile to something else")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", default="*", help="sources to take, e.g. 'compress/*'")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no mutant after so long")
    parser.add_argument("--list", action="store_true", help="only say what was found so far")
    arguments = parser.parse_args()

    files = sorted(p.relative_to(ROOT).as_posix() for top in ("engine", "kernels", "compress") for p in (ROOT / top).rglob("*") if p.suffix in {".cpp", ".cu", ".cuh"})
    pool = [dict(m, judges=judges_of(f)) for f in files if judges_of(f) and fnmatch.fnmatch(f, arguments.files) for m in mutants_of(f)]
    random.Random(arguments.seed).shuffle(pool)
    known = {r["id"]: r for r in map(json.loads, LOG.read_text().splitlines())} if LOG.is_file() else {}
    print(f"{len(pool)} places in {len(files)} files, seed {arguments.seed}", flush=True)

    records, begun = [], time.monotonic()
    if arguments.list:
        return summary([known[i] for i in map(identity, pool) if i in known])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the file is put back
    copy, usual = Copy(), {}
    judges = sorted({name for mutant in pool for name in mutant["judges"]})
    words = copy.make(judges, seconds=7200)
    if words:
        sys.exit(words)
    clean = sums_of(copy)
    try:
        for mutant in pool:
            if sum(r["result"] != "invalid" for r in records) >= arguments.count:
                break
            key = identity(mutant)
            if key not in known:
                if time.monotonic() - begun > arguments.seconds:
                    break
                for name in mutant["judges"]:
                    if name not in usual:
                        failed = copy.make([name])  # what the mutant before left is put back
                        start = time.monotonic()
                        failed = failed or copy.run(name, 1200)
                        if failed:
                            sys.exit(f"{name} fails without any change: {failed}")
                        usual[name] = time.monotonic() - start
                start = time.monotonic()
                before, after = lines_of(mutant)
                known[key] = dict(id=key, path=mutant["path"], line=mutant["line"], kind=mutant["kind"], before=before, after=after, **judge(copy, mutant, usual, clean))
                known[key]["seconds"] = round(time.monotonic() - start, 1)
                with LOG.open("a") as log:
                    log.write(json.dumps(known[key]) + "\n")
            records.append(known[key])
            r = known[key]
            print(f"{r['result']:<9} {r['path']}:{r['line']}  {r['kind']}: {r['before']}  ->  {r['after']}  [{r.get('why', '')}]", flush=True)
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
    summary(records)


if __name__ == "__main__":
    main()
