#!/usr/bin/env python3
"""Table (Markdown, on standard output) and curves (OUT/curves.svg) of a families run, from its result files only."""
import json
import pathlib
import sys

PANEL_W, PANEL_H, PAD, COLUMNS = 220, 130, 34, 4


def load(run):
    result = json.loads((run / "result.json").read_text())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return result, [line for line in lines if line["phase"] == "search"]


def cost_of_one_group(run, network):
    """The most MACs that one group which could still have been kept or removed costs."""
    groups = json.loads((run / network["folder"] / "groups.json").read_text())
    return max(group["macs_per_group"] for group in groups["sets"])


def rows(name, run):
    result, search = load(run)
    for network in result.get("networks", [result]):
        before, after = network["before"], network["after"]
        target = float(network["target"].split("=")[1])
        gap = target * before["macs"] - after["macs"]
        one = cost_of_one_group(run, network)
        yield (f"| {name} | {target:g} | {100 * network['flops_ratio']:.2f} % | {gap / before['macs'] * 100:.2f} % | {one / before['macs'] * 100:.2f} % "
               f"| {'yes' if 0 <= gap < one else 'NO'} | {result['search_epochs']} | {len(search)} | {network['proof']['relative']:.0e} |")


def refusals(log):
    """What the program said about a target out of reach, without its name and the flag's."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [line.split(": ", 2)[-1] for line in lines if "can't be reached" in line]


def panel(name, search, planned, x, y):
    """FLOPs kept (1 at the top, 0 at the bottom) over epochs of the search."""
    def at(epoch, ratio):
        return f"{x + PAD + epoch / planned * PANEL_W:.1f},{y + PAD + (1 - ratio) * PANEL_H:.1f}"
    points = [(0, 1.0)] + [(line["epoch"], line["flops_ratio"]) for line in search]
    svg = [f'<text x="{x + PAD}" y="{y + PAD - 8}" class="name">{name}</text>']
    for ratio in (0, 0.25, 0.5, 0.75, 1):
        svg.append(f'<polyline points="{at(0, ratio)} {at(planned, ratio)}" class="grid"/>')
        svg.append(f'<text x="{x + PAD - 4}" y="{y + PAD + (1 - ratio) * PANEL_H + 3:.1f}" text-anchor="end">{ratio:g}</text>')
    for epoch in range(planned + 1):
        svg.append(f'<text x="{x + PAD + epoch / planned * PANEL_W:.1f}" y="{y + PAD + PANEL_H + 13}" text-anchor="middle">{epoch}</text>')
    svg.append(f'<polyline points="{" ".join(at(*p) for p in points)}" class="curve"/>')
    svg += [f'<circle cx="{at(*p).split(",")[0]}" cy="{at(*p).split(",")[1]}" r="2.5" class="dot"/>' for p in points]
    return svg


def draw(runs, path):
    lines = -(-len(runs) // COLUMNS)
    width, height = COLUMNS * (PANEL_W + PAD + 10), lines * (PANEL_H + 2 * PAD) + 16
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="10">',
           "<style>text{fill:#555}.name{font-size:13px;fill:#111}.grid{stroke:#ddd;fill:none}.curve{stroke:#0b62a8;stroke-width:2;fill:none}"
           '.dot{fill:#0b62a8}</style><rect width="100%" height="100%" fill="#fff"/>']
    for i, (name, run) in enumerate(runs):
        result, search = load(run)
        svg += panel(name, search, result["search_epochs"], i % COLUMNS * (PANEL_W + PAD + 10), i // COLUMNS * (PANEL_H + 2 * PAD))
    svg.append(f'<text x="{PAD}" y="{height - 8}">multiply-adds kept over epochs of the search</text></svg>')
    path.write_text("\n".join(svg) + "\n")


def main():
    out = pathlib.Path(sys.argv[1])
    runs = [(name, out / name) for name in sys.argv[2:] if (out / name / "result.json").exists()]
    print("| network | target | MACs kept | below the target by | one group costs up to | met | planned search epochs | used | proof |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, run in runs:
        print("\n".join(rows(name, run)))
        for refusal in refusals(out / f"{name}.refused"):
            print(f"| {name} | 0.25 | refused before training: {refusal} | | | | | | |")
    draw(runs, out / "curves.svg")


if __name__ == "__main__":
    main()
