#!/usr/bin/env python3
"""Draws the figures of docs/how-the-method-works.md from the committed run of ResNet-20, and the proximal steps from their definition.

  tools/dev/method_figures.py [FOLDER]        default: docs/figures
"""
import json
import math
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUN = ROOT / "docs/results/resnet20-cifar10-flops0.5"
PIXELS = {"layer1": 32 * 32, "layer2": 16 * 16, "layer3": 8 * 8}  # of ResNet-20's stages

STYLE = """<style>
svg { background: #ffffff; color: #1b1f24; --soft: #59626e; --rule: #d9dde3; --blue: #1f6feb; --orange: #bc4c00; --green: #1a7f37; --violet: #8250df; --gone: #e4e7eb; }
@media (prefers-color-scheme: dark) { svg { background: #0f1216; color: #e6e9ee; --soft: #9aa5b1; --rule: #2d343d; --blue: #6cb0ff; --orange: #ffa657; --green: #56d364; --violet: #c9a3ff; --gone: #242b33; } }
text { fill: currentColor; font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
.title { font-weight: 600; font-size: 13px; } .soft { fill: var(--soft); font-size: 11px; }
.axis { stroke: var(--soft); fill: none; } .rule { stroke: var(--rule); fill: none; } .line { fill: none; stroke-width: 2; }
.dashed { stroke-dasharray: 4 3; } .gone { fill: var(--gone); stroke: var(--rule); } .cell { fill: var(--blue); }
</style>"""


class Drawing:
    def __init__(self, width, height, says):
        self.width, self.height, self.parts = width, height, [f"<title>{says}</title>"]

    def add(self, text):
        self.parts.append(text)

    def text(self, x, y, text, kind="", anchor="start"):
        self.add(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{text}</text>')

    def write(self, path):
        body = "\n".join(self.parts)
        path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" role="img">\n{STYLE}\n{body}\n</svg>\n')


class Plot:
    """A field with axes; `at` turns values into places."""

    def __init__(self, drawing, box, x_range, y_range):
        self.d, (self.x, self.y, self.w, self.h), self.xr, self.yr = drawing, box, x_range, y_range

    def at(self, x, y):
        return (self.x + (x - self.xr[0]) / (self.xr[1] - self.xr[0]) * self.w, self.y + self.h - (y - self.yr[0]) / (self.yr[1] - self.yr[0]) * self.h)

    def axes(self, title, x_label, x_ticks, y_ticks, form="{:g}"):
        self.d.text(self.x, self.y - 12, title, "title")
        for value in y_ticks:
            _, y = self.at(self.xr[0], value)
            self.d.add(f'<path class="rule" d="M{self.x} {y:.1f}h{self.w}"/>')
            self.d.text(self.x - 6, y + 4, form.format(value), "soft", "end")
        for value in x_ticks:
            x, _ = self.at(value, self.yr[0])
            self.d.text(x, self.y + self.h + 16, f"{value:g}", "soft", "middle")
        self.d.add(f'<path class="axis" d="M{self.x} {self.y}v{self.h}h{self.w}"/>')
        self.d.text(self.x + self.w, self.y + self.h + 32, x_label, "soft", "end")

    def line(self, points, colour, extra=""):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (self.at(*p) for p in points))
        self.d.add(f'<polyline class="line {extra}" style="stroke: var(--{colour})" points="{path}"/>')


def draw_pair(sets, path):
    """One layer: its convolution, the pair that takes its place with every row of A as strong as its score, and what stays."""
    layer = next(s for s in sets if s["layer"] == "layer1.1.conv2")
    scores, kept = layer["scores"], set(layer["kept"])
    n, taps = len(scores), 9 * 16
    d = Drawing(912, 284, "A convolution, the pair that replaces it, and the thinner pair")
    cell, top = 11, 56

    def stripes(x, rows, columns, label, opacities, lying):
        """A matrix in as many stripes as there are opacities; None is a stripe that is gone."""
        for i, opacity in enumerate(opacities):
            box = (x, top + i * cell, columns * cell - 1, cell - 1) if lying else (x + i * cell, top, cell - 1, rows * cell - 1)
            kind, style = ("gone", "") if opacity is None else ("cell", f' style="opacity: {opacity:.2f}"')
            d.add('<rect class="{}" x="{}" y="{}" width="{}" height="{}"{}/>'.format(kind, *box, style))
        d.text(x, top + rows * cell + 18, label, "soft")

    def strength(row):
        return min(1.0, 0.15 + 0.85 * scores[row] / max(scores))

    d.text(20, 24, "1. the trained convolution", "title")
    stripes(20, n, n, f"{taps} x {n}", [0.55] * n, lying=False)
    d.text(20, top - 10, "W0, 3x3", "soft")
    d.text(20 + n * cell + 12, top + 8 * cell, "=", "title")
    x = 20 + n * cell + 36
    d.text(x, 24, "2. the same as a pair: W times A", "title")
    d.text(x, top - 10, "W, 3x3", "soft")
    stripes(x, n, n, f"{taps} x {n}", [0.55 if i in kept else None for i in range(n)], lying=False)
    x += n * cell + 12
    d.text(x, top - 10, "A, 1x1: a row for each filter of W", "soft")
    stripes(x, n, n, f"{n} x {n}", [strength(i) if i in kept else None for i in range(n)], lying=True)
    x += n * cell + 36
    d.text(x, 24, "3. what stays", "title")
    d.text(x, top - 10, "W, 3x3", "soft")
    stripes(x, n, len(kept), f"{taps} x {len(kept)}", [0.55] * len(kept), lying=False)
    x += len(kept) * cell + 10
    d.text(x, top - 10, "A, 1x1", "soft")
    stripes(x, len(kept), n, f"{len(kept)} x {n}", [strength(i) for i in sorted(kept)], lying=True)
    before, after = n * taps, len(kept) * (taps + n)
    d.text(20, 274, f"{layer['layer']} of ResNet-20 at half its multiply-adds: {n - len(kept)} of {n} rows went to zero; {before:,} multiply-adds a pixel became {after:,}.", "soft")
    d.write(path)


# Penalties by their definition; the step is found by trying every x on a fine grid.
PENALTIES = [("l1: |x|", "blue", lambda x: x), ("l1/2: sqrt(x)", "orange", math.sqrt), ("logsum: log(x + 0.1)", "violet", lambda x: math.log(x + 0.1)), ("l0: 1 if x is not 0", "green", lambda x: float(x > 0))]


def proximal(norm, step, rho, grid=3000, top=3.0):
    return min((0.5 * (x - norm) ** 2 + step * rho(x), x) for x in (top * i / grid for i in range(grid + 1)))[1]


def draw_shrink(path):
    d = Drawing(760, 300, "What one proximal step makes of a group's norm, for four penalties")
    plot = Plot(d, (50, 40, 400, 210), (0, 3), (0, 3))
    plot.axes("Norm behind one proximal step, t = 0.5", "norm before", [0, 1, 2, 3], [0, 1, 2, 3])
    norms = [3 * i / 150 for i in range(151)]
    plot.line([(0, 0), (3, 3)], "rule", "dashed")
    for i, (name, colour, rho) in enumerate(PENALTIES):
        plot.line([(n, proximal(n, 0.5, rho)) for n in norms], colour)
        y = 60 + 24 * i
        d.add(f'<path class="line" style="stroke: var(--{colour})" d="M480 {y}h26"/>')
        d.text(514, y + 4, name)
    d.text(480, 176, "Small groups become exactly zero.", "soft")
    d.text(480, 194, "l1 shrinks large ones by t too;", "soft")
    d.text(480, 212, "the others leave them nearly alone.", "soft")
    d.text(480, 230, "Dashed: no change.", "soft")
    d.write(path)


def draw_norms(search, sets, path):
    d = Drawing(760, 300, "How the groups part into living and zero during the search")
    panels = [("all 18 layers", None)] + [(s["layer"], i) for i, s in enumerate(sets) if s["layer"] in ("layer1.0.conv2", "layer3.2.conv1")]
    for p, (name, index) in enumerate(panels):
        x, y, w, h = 50 + 240 * p, 44, 190, 200
        columns = []
        for line in search:
            bins = [sum(b[k] for b in line["score_histograms"]) for k in range(20)] if index is None else line["score_histograms"][index]
            columns.append(bins)
        plot = Plot(d, (x, y, w, h), (0, len(columns)), (0, 2))
        plot.axes(name, "epoch of the search", [], [0, 1, 2] if p == 0 else [])
        for c, bins in enumerate(columns):
            for b, count in enumerate(bins):
                opacity = (count / max(bins)) ** 0.6
                if count:
                    d.add(f'<rect class="cell" x="{x + c * w / len(columns) + 1:.1f}" y="{y + h - (b + 1) * h / 20 + 0.5:.1f}" width="{w / len(columns) - 1.5:.1f}" height="{h / 20 - 1:.1f}" style="opacity: {opacity:.2f}"/>')
            d.text(x + (c + 0.5) * w / len(columns), y + h + 16, str(c + 1), "soft", "middle")
    d.text(50, 296, "Up: a group's norm over the mean of its layer's living groups (the top row is 1.9 and more). Stronger: more groups.", "soft")
    d.write(path)


def macs_at(sets, fixed, threshold):
    """Multiply-adds of the network without the groups at or below `threshold`: a pair, or one convolution where that is cheaper."""
    total = fixed
    for s in sets:
        kept = max(s["minimum"], sum(score > threshold for score in s["scores"]))
        total += min(kept * s["macs_per_group"], dense_macs(s))
    return total


def dense_macs(s):
    n, pixels = len(s["scores"]), PIXELS[s["layer"].split(".")[0]]
    return n * (s["macs_per_group"] - n * pixels)


def draw_threshold(groups, result, path):
    sets, chosen = groups["sets"], groups["threshold"]
    before, after = result["before"]["macs"], result["after"]["macs"]
    fixed = before - sum(dense_macs(s) for s in sets)
    if macs_at(sets, fixed, chosen) != after:
        raise SystemExit(f"{RUN}: the threshold gives {macs_at(sets, fixed, chosen)} multiply-adds, result.json says {after}")
    steps = sorted(score for s in sets for score in s["scores"] if score <= 1.2)
    d = Drawing(760, 300, "Multiply-adds kept as a function of the threshold")
    plot = Plot(d, (56, 40, 640, 210), (0, 1.2), (0, 100))
    plot.axes("Multiply-adds kept, %", "threshold", [0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2], [0, 25, 50, 75, 100])
    points, last = [(0, 100 * macs_at(sets, fixed, 0) / before)], None
    for step in steps:
        value = 100 * macs_at(sets, fixed, step) / before
        points += [(step, points[-1][1]), (step, value)]
    points.append((1.2, points[-1][1]))
    plot.line([(0, 50), (1.2, 50)], "soft", "dashed")
    plot.line(points, "blue")
    x, y = plot.at(chosen, 100 * after / before)
    d.add(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" style="fill: var(--orange)"/>')
    d.text(x + 10, y - 10, f"{chosen:.3f}: {100 * after / before:.2f} %, the first step below the target of 50 %")
    d.write(path)


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/figures"
    out.mkdir(parents=True, exist_ok=True)
    groups = json.loads((RUN / "groups.json").read_text())
    result = json.loads((RUN / "result.json").read_text())
    lines = [json.loads(line) for line in (RUN / "metrics.jsonl").read_text().splitlines()]
    draw_pair(groups["sets"], out / "pair.svg")
    draw_shrink(out / "shrink.svg")
    draw_norms([line for line in lines if line["phase"] == "search"], groups["sets"], out / "norms.svg")
    draw_threshold(groups, result, out / "threshold.svg")


if __name__ == "__main__":
    main()
