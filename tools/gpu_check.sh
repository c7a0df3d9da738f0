#!/usr/bin/env bash
# Everything that needs an NVIDIA GPU, in one command: tests on the device, compute-sanitizer, benchmarks, a training run,
# and the comparison with PyTorch. Ends with one JSON and one Markdown table, named by device and date.
#
#   tools/gpu_check.sh                       in the source tree: builds the preset 'cuda' first
#   tools/gpu_check.sh --bundle FOLDER       builds here, for another machine: programs, their libraries and this script.
#                                            Copy FOLDER there and run FOLDER/gpu_check.sh
#
#   --out FOLDER          where parts are kept (default: build/gpu_check, or results/ in a bundle)
#   --only PART           that part alone:  tests memcheck racecheck initcheck synccheck bench bench-tf32
#                         inference latency train precision pytorch rows
#   --cifar DIR           CIFAR's binary files, for real training (parts precision and rows)
#   --minutes N           for the part rows (default 20); the next call goes on with the list
#   --cuda-libraries DIR  with --bundle: take cuBLAS and cuDNN along from DIR (1.5 GB; else they must be there)
#   --tiny                the comparison with PyTorch on small batches
#   --dry-run             say what would be done
#
# A run that is cut off goes on where it stopped: each part leaves its log and, when finished, a mark. What failed is
# tried again. Needs bash and python3; compute-sanitizer and PyTorch are used where they are. Exits with 1 where a part
# failed, or where there is no GPU.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
name=tools/gpu_check.sh
bundled=false
[ -f "$here/bundle.txt" ] && bundled=true

all_parts=(tests memcheck racecheck initcheck synccheck bench bench-tf32 inference latency train precision pytorch rows)
parts=("${all_parts[@]}")
out="" only="" bundle="" libraries="" cifar="" minutes=20 dry=false tiny=()
die() { echo "$name: $2" >&2; exit "$1"; }
while [ $# -gt 0 ]; do
  case $1 in
    --out|--only|--bundle|--cuda-libraries|--cifar|--minutes)
      [ $# -ge 2 ] || die 2 "$1 needs a value"
      case $1 in --out) out=$2 ;; --only) only=$2 ;; --bundle) bundle=$2 ;; --cuda-libraries) libraries=$2 ;; --cifar) cifar=$2 ;; --minutes) minutes=$2 ;; esac
      shift 2 ;;
    --tiny) tiny=(--tiny); shift ;;
    --dry-run) dry=true; shift ;;
    -h|--help) sed -n '2,/^[^#]/{/^#/p}' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) die 2 "unknown option '$1' (see --help)" ;;
  esac
done
[[ $minutes =~ ^[1-9][0-9]*$ ]] || die 2 "--minutes $minutes: expected a whole number above 0"
[ -z "$cifar" ] || [ -d "$cifar" ] || die 2 "--cifar $cifar: no such folder"
if [ -n "$only" ]; then
  [[ " ${parts[*]} " == *" $only "* ]] || die 2 "--only $only: no such part (known: ${parts[*]})"
  parts=("$only")
fi
command -v python3 >/dev/null || die 1 "needs python3"

root=$here programs=$here/bin compressed=$here/resnet56-half.safetensors
if ! $bundled; then
  root=$(cd "$here/.." && pwd)
  programs=$root/build/cuda
  compressed=$root/docs/results/resnet56-cifar10-flops0.5/hinge/model.safetensors
fi
test_program() { if $bundled; then echo "$programs/test_device"; else echo "$programs/tests/device/test_device"; fi; }
targets=(hinge hinge-bench hinge-workload test_device)

make_bundle() {
  # Not for this machine's processor: the other one's is unknown.
  local build=$root/build/bundle
  cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DHINGE_CUDA=ON -DHINGE_MPI=OFF -DHINGE_NATIVE=OFF >/dev/null || exit 1
  cmake --build "$build" --target "${targets[@]}" || exit 1
  mkdir -p "$bundle/bin" "$bundle/lib"
  cp "$build/hinge" "$build/hinge-bench" "$build/hinge-workload" "$build/tests/device/test_device" "$bundle/bin/" || exit 1
  # All but the C library and its loader, which belong to the system they run on.
  for program in "$bundle"/bin/*; do ldd "$program"; done | awk '$3 ~ /^\// {print $3}' | sort -u |
    grep -vE '/(libc|libm|libdl|librt|libpthread|ld-linux[^/]*)\.so' | xargs -I{} cp -L {} "$bundle/lib/" || exit 1
  if [ -n "$libraries" ]; then
    cp -L "$libraries"/libcudnn*.so.9 "$libraries"/libcublas.so.13 "$libraries"/libcublasLt.so.13 "$bundle/lib/" || exit 1
    # Of several GPUs; one does without.
    [ ! -e "$libraries/libnccl.so.2" ] || cp -L "$libraries/libnccl.so.2" "$bundle/lib/" || exit 1
  fi
  cp "$0" "$bundle/gpu_check.sh"
  cp "$here/compare_pytorch.py" "$here/bench/torch_search.py" "$bundle/"
  cp "$compressed" "$bundle/resnet56-half.safetensors"
  git -C "$root" rev-parse HEAD > "$bundle/bundle.txt" 2>/dev/null || echo unknown > "$bundle/bundle.txt"
  echo "$name: $bundle holds everything; on a machine with an NVIDIA GPU: $bundle/gpu_check.sh"
}

describe() {
  case $1 in
    tests) echo "every kernel and the training step on the GPU, against float64 and the CPU" ;;
    memcheck) echo "the same under compute-sanitizer memcheck" ;;
    racecheck | initcheck | synccheck) echo "the same under compute-sanitizer $1" ;;
    bench) echo "hinge-bench in fp32: times next to measured copy and product rates" ;;
    bench-tf32) echo "hinge-bench in tf32" ;;
    inference) echo "hinge time: ResNet-56, VGG-16 and ResNet-50, and ResNet-56 at half its multiply-adds, by graph and eagerly, one image and 128, layer by layer" ;;
    latency) echo "hinge compress --target latency=0.5 on VGG-16 and ResNet-56, one image and 128: the share of the time that was measured in the end" ;;
    train) echo "ResNet-20 for four epochs on generated images, by graph, eagerly, and killed and resumed: the same bytes" ;;
    precision) echo "ResNet-20 for ten epochs on CIFAR-10 in fp32, tf32 and bf16: error and images/s" ;;
    pytorch) echo "compare_pytorch.py: proximal steps, training steps and steps of a search by both" ;;
    rows) echo "rows of the paper's tables with their controls (hinge reproduce), for $minutes minutes" ;;
  esac
}

if $bundled; then : "${out:=$root/results}"; else : "${out:=$root/build/gpu_check}"; fi
if $dry; then
  if [ -n "$bundle" ]; then
    echo "would build ${targets[*]} (preset 'cuda', any processor) and put them with their libraries into $bundle"
    exit 0
  fi
  $bundled || echo "would build: ${targets[*]} (preset 'cuda')"
  for part in "${parts[@]}"; do
    mark=""
    [ -f "$out/$part.done" ] && mark=" (done, would be skipped)"
    echo "would run: $part: $(describe "$part")$mark"
  done
  echo "would write: gpu-DEVICE-DATE.json and .md in $($bundled && echo "$out" || echo docs/benchmarks)"
fi
if [ -n "$bundle" ]; then make_bundle; exit 0; fi
if ! command -v nvidia-smi >/dev/null || ! gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -1) || [ -z "$gpu" ]; then
  die 1 "no NVIDIA GPU can be used here (nvidia-smi finds none); use --bundle FOLDER and run it on a machine that has one"
fi
$dry && exit 0

mkdir -p "$out" || exit 1
[ -f "$out/started" ] || date -u +%Y-%m-%d > "$out/started"
if ! $bundled; then
  cmake -S "$root" --preset cuda -DHINGE_MPI=OFF >/dev/null && (cd "$root" && cmake --build --preset cuda --target "${targets[@]}") || die 1 "the build failed"
else
  export LD_LIBRARY_PATH=$root/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
fi
# cuDNN and cuBLAS where PyTorch brought them, unless the bundle or the system has them.
wheels=$(python3 - <<'PYTHON' 2>/dev/null
import importlib.util, pathlib
spec = importlib.util.find_spec("nvidia")
print(":".join(str(p) for base in (spec.submodule_search_locations if spec else []) for p in sorted(pathlib.Path(base).glob("*/lib"))))
PYTHON
)
export HINGE_CUDA_LIBRARIES=${HINGE_CUDA_LIBRARIES:-$wheels}
[ -z "$wheels" ] || export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$wheels
export HINGE_POISON=1  # memory that nobody has written is NaN

# Ten classes that differ in colour, in CIFAR-10's binary layout.
make_images() {
  python3 - "$1" <<'PYTHON'
import pathlib, random, sys
folder = pathlib.Path(sys.argv[1]) / "cifar-10-batches-bin"
folder.mkdir(parents=True, exist_ok=True)
random.seed(7)
for number, name in enumerate([f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]):
    with open(folder / name, "wb") as file:
        for i in range(1000):
            label = (i * 7 + number) % 10
            planes = [bytes((base + b % 40) % 256 for b in random.randbytes(1024)) for base in (label * 20, 200 - label * 18, label % 3 * 70)]
            file.write(bytes([label]) + b"".join(planes))
PYTHON
}

sanitizer() {
  command -v compute-sanitizer >/dev/null || { echo "skipped: compute-sanitizer is not installed"; return 77; }
  compute-sanitizer --error-exitcode 9 "$@"
}

run_part() {
  case $1 in
    tests) "$(test_program)" ;;
    # Leaks are the driver's pools, which live as long as the program.
    memcheck) sanitizer --tool memcheck --leak-check no "$(test_program)" ;;
    racecheck) sanitizer --tool racecheck --racecheck-report all "$(test_program)" ;;
    # Poison counts as written.
    initcheck) (unset HINGE_POISON; sanitizer --tool initcheck "$(test_program)") ;;
    synccheck) sanitizer --tool synccheck "$(test_program)" ;;
    bench) "$programs/hinge-bench" --device cuda:0 --json "$out/bench.json" --svg "$out/bench.svg" ;;
    bench-tf32) "$programs/hinge-bench" --device cuda:0 --tf32 --json "$out/bench-tf32.json" ;;
    inference)
      local network how
      for network in resnet56 vgg16 resnet50 half; do
        for how in graph eager; do
          "$programs/hinge" time $([ $network = half ] && echo --weights "$compressed" || echo --model $network) --device cuda:0 --batch 1,128 --rounds 50 --layers \
            $([ $how = eager ] && echo --eager) --json "$out/inference-$network-$how.json" || return 1
        done
      done ;;
    latency)
      rm -rf "$out/latency" "$out"/latency-*.json "$out"/latency-*.txt
      mkdir -p "$out/latency"
      make_images "$out/latency/data" || return 1
      local network batch code data=(--data cifar10 --data-dir "$out/latency/data" --held-out 500 --epochs 1 --device cuda:0)
      for network in vgg16 resnet56; do
        "$programs/hinge" train --model $network "${data[@]}" --out "$out/latency/$network" || return 1
        for batch in 1 128; do
          code=0
          "$programs/hinge" compress --weights "$out/latency/$network/model.safetensors" "${data[@]}" --method svd --mode prune --minimum-share 0.1 --target latency=0.5 \
            --latency-batch $batch --layer-times "$out/latency/times.json" --out "$out/latency/$network-$batch" --json "$out/latency-$network-$batch.json" 2>&1 | tee "$out/latency/log" || code=$?
          # How far a network can come is a result too.
          [ $code -eq 0 ] || { grep "can't be reached" "$out/latency/log" > "$out/latency/why" && mv "$out/latency/why" "$out/latency-$network-$batch.txt"; } || return 1
        done
      done ;;
    train)
      rm -rf "$out/train"
      mkdir -p "$out/train"
      make_images "$out/train/data" || return 1
      local how common=(--model resnet20 --shortcut A-stride --data cifar10 --data-dir "$out/train/data" --held-out 500 --epochs 4 --device cuda:0 --deterministic)
      for how in graph eager; do
        "$programs/hinge" train "${common[@]}" $([ $how = eager ] && echo --eager) \
          $([ $how = eager ] && echo --conv-choices "$out/train/graph/conv_choices.json") --out "$out/train/$how" --json "$out/train-$how.json" || return 1
      done
      cmp "$out/train/graph/model.safetensors" "$out/train/eager/model.safetensors" || return 1
      "$programs/hinge" train "${common[@]}" --conv-choices "$out/train/graph/conv_choices.json" --checkpoint-every 10 --out "$out/train/killed" &
      local run=$!
      until [ -s "$out/train/killed/metrics.jsonl" ] || ! kill -0 $run 2>/dev/null; do sleep 0.05; done  # into the second epoch
      kill -KILL $run 2>/dev/null
      local ended=0
      wait $run || ended=$?
      [ $ended -eq 137 ] || { echo "ended with $ended before it was killed"; return 1; }
      "$programs/hinge" train --resume "$out/train/killed" || return 1
      cmp "$out/train/graph/model.safetensors" "$out/train/killed/model.safetensors" && echo "graph, eager, killed and resumed: the same bytes" ;;
    precision)
      [ -n "$cifar" ] || { echo "skipped: --cifar DIR says where CIFAR is"; return 77; }
      local precision
      for precision in fp32 tf32 bf16; do
        rm -rf "$out/precision-$precision" "$out/precision-$precision.json"
        "$programs/hinge" train --model resnet20 --shortcut A-stride --data cifar10 --data-dir "$cifar" --epochs 10 --warmup 1 --device cuda:0 --precision $precision \
          --out "$out/precision-$precision" --json "$out/precision-$precision.json" || return 1
      done ;;
    pytorch)
      python3 -c 'import torch' 2>/dev/null || { echo "skipped: python3 has no torch"; return 77; }
      python3 "$here/compare_pytorch.py" --device cuda --programs "$programs" --out "$out/pytorch.json" "${tiny[@]}" ;;
    rows)
      [ -n "$cifar" ] || { echo "skipped: --cifar DIR says where CIFAR is"; return 77; }
      local rows=(resnet56-50 resnet20-45 resnet56-24 vgg16-61 densenet40-55 resnet164-54 resnext20-59 resnext164-44 table2) code=0
      timeout -s INT "${minutes}m" "$programs/hinge" reproduce "${rows[@]}" --data-dir "$cifar" --device cuda:0 --precision tf32 --out "$out/rows" || code=$?
      "$programs/hinge" reproduce --table --out "$out/rows"
      [ $code -ne 124 ] && [ $code -ne 130 ] || { echo "skipped: cut off after $minutes minutes, everything is saved; the next call goes on"; return 77; }
      return $code ;;
  esac
}

failed=0
for part in "${parts[@]}"; do
  if [ -f "$out/$part.done" ]; then
    echo "== $part: done before"
    continue
  fi
  echo "== $part: $(describe "$part")"
  begun=$SECONDS
  if [[ $part =~ ^(bench|bench-tf32|inference|latency|precision|pytorch|rows)$ ]]; then
    (unset HINGE_POISON; run_part "$part") > "$out/$part.log" 2>&1
  else
    run_part "$part" > "$out/$part.log" 2>&1
  fi
  code=$?
  tail -n 6 "$out/$part.log"
  echo "$code $((SECONDS - begun))" > "$out/$part.code"
  if [ $code -eq 0 ]; then
    touch "$out/$part.done"
  elif [ $code -ne 77 ]; then
    echo "== $part FAILED (exit code $code; $out/$part.log)"
    failed=1
  fi
done

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader > "$out/gpu.txt"
target=$out
$bundled || target=$root/docs/benchmarks
python3 - "$out" "$target" "${all_parts[@]}" <<'PYTHON' || exit 1
import json, pathlib, re, sys
out, target = map(pathlib.Path, sys.argv[1:3])
name, driver, memory = (text.strip() for text in (out / "gpu.txt").read_text().splitlines()[0].split(","))
date = (out / "started").read_text().strip()
document = {"device": name, "driver": driver, "memory": memory, "date": date, "parts": {}}
lines = [f"# {name}, {date}", "", f"Driver {driver}, {memory}. Written by `tools/gpu_check.sh`.", "", "| part | result | seconds |", "| --- | --- | --- |"]
for part in sys.argv[3:]:
    if not (out / f"{part}.code").exists():
        continue
    code, seconds = map(int, (out / f"{part}.code").read_text().split())
    text = (out / f"{part}.log").read_text(errors="replace").strip().splitlines()
    verdict = {0: "passed", 77: text[-1] if text else "skipped"}.get(code, f"FAILED, exit code {code}")
    document["parts"][part] = {"code": code, "seconds": seconds, "last_lines": text[-5:]}
    lines.append(f"| {part} | {verdict} | {seconds} |")
for key in ("bench", "bench-tf32", "train-graph", "train-eager", "pytorch"):
    if (out / f"{key}.json").exists():
        document[key] = json.loads((out / f"{key}.json").read_text())
for key in ("bench", "bench-tf32"):
    if key in document:
        machine = document[key]["machine"]
        lines += ["", f"## {key}", "", f"Measured ceilings: copies {machine['copy_bytes_per_second'] * 1e-9:.0f} GB/s, products {machine['flops_per_second'] * 1e-9:.0f} GFLOP/s.", "",
                  "| case | us | GB/s | GFLOP/s | of the roof |", "| --- | --- | --- | --- | --- |"]
        lines += [f"| {c['name']} | {c['seconds'] * 1e6:.2f} | {c['bytes_per_second'] * 1e-9:.0f} | {c['flops_per_second'] * 1e-9:.0f} | {100 * c['share_of_roof']:.0f} % |" for c in document[key]["cases"]]
timings = [(network, how, out / f"inference-{network}-{how}.json") for network in ("resnet56", "vgg16", "resnet50", "half") for how in ("graph", "eager")]
if any(file.exists() for _, _, file in timings):
    lines += ["", "## Inference", "", "half: ResNet-56 at half its multiply-adds.", "", "| network | how | batch | ms a call |", "| --- | --- | --- | --- |"]
    for network, how, file in timings:
        if file.exists():
            document[file.stem] = json.loads(file.read_text())
            lines += [f"| {network} | {how} | {t['batch']} | {t['milliseconds']:.4f} |" for t in document[file.stem]["networks"][0]["times"]]
goals = [(network, batch, out / f"latency-{network}-{batch}.json") for network in ("vgg16", "resnet56") for batch in (1, 128)]
if any(file.exists() or file.with_suffix(".txt").exists() for _, _, file in goals):
    lines += ["", "## Targets in time", "", "Filters pruned for `latency=0.5`, networks of one epoch; the goal is within 5 %: 0.475 to 0.525.", "", "| network | batch | share of the time | share of the MACs |", "| --- | --- | --- | --- |"]
    for network, batch, file in goals:
        if file.exists():
            r = document[file.stem] = json.loads(file.read_text())
            lines.append(f"| {network} | {batch} | {r['after']['milliseconds_per_image'] / r['before']['milliseconds_per_image']:.3f} | {r['flops_ratio']:.3f} |")
        elif file.with_suffix(".txt").exists():
            lines.append(f"| {network} | {batch} | {file.with_suffix('.txt').read_text().strip()} | |")
results = {p: out / f"precision-{p}.json" for p in ("fp32", "tf32", "bf16")}
if any(file.exists() for file in results.values()):
    lines += ["", "## Precision", "", "ResNet-20, ten epochs of CIFAR-10; images/s of the last.", "", "| precision | test error, % | images/s |", "| --- | --- | --- |"]
    for precision, file in results.items():
        if file.exists():
            result = document[file.stem] = json.loads(file.read_text())
            last = json.loads((out / file.stem / "metrics.jsonl").read_text().splitlines()[-1])
            lines.append(f"| {precision} | {result['top1_error']:.2f} | {45000 / last['seconds']:.0f} |")
if "pytorch" in document:
    text = (out / "pytorch.log").read_text().splitlines()
    lines += ["", f"## PyTorch {document['pytorch']['torch']}", ""] + [line for line in text if line.startswith("|")]
if (out / "rows/table.md").exists():
    lines += ["", "## Rows of the paper's tables", "", (out / "rows/table.md").read_text().strip()]
stem = "gpu-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + "-" + date
(target / f"{stem}.json").write_text(json.dumps(document, indent=1) + "\n")
(target / f"{stem}.md").write_text("\n".join(lines) + "\n")
print(f"wrote {target / stem}.json and .md")
PYTHON
exit $failed
