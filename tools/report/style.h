// The report's style sheet: colours are variables, so light and dark differ in one place; one column on a phone, several
// on a wide screen; nothing is loaded from elsewhere.
#pragma once

#include <string_view>

namespace hinge::report {

inline constexpr std::string_view kStyle = R"css(
:root { color-scheme: light dark; --page: #ffffff; --card: #f6f7f9; --ink: #1b1f24; --soft: #59626e; --rule: #d9dde3; --was: #c9ced6;
  --c0: #1f6feb; --c1: #bc4c00; --c2: #1a7f37; --c3: #8250df; --c4: #b3261e; --c5: #0b7285; --c6: #8a6100; --c7: #5b6570; --good: #1a7f37; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --page: #0f1216; --card: #181d23; --ink: #e6e9ee; --soft: #9aa5b1; --rule: #2d343d; --was: #3b444f;
  --c0: #6cb0ff; --c1: #ffa657; --c2: #56d364; --c3: #c9a3ff; --c4: #ff8a80; --c5: #5fd3e6; --c6: #e3c15a; --c7: #a9b4c0; --good: #56d364; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 20px 16px 64px; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 36px 0 10px; padding-top: 10px; border-top: 1px solid var(--rule); }
p { margin: 0 0 10px; max-width: 75ch; }
.soft { color: var(--soft); } .above { margin-top: 14px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px; margin: 18px 0; }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 10px 14px; }
.card .name { color: var(--soft); font-size: 0.85rem; }
.card .value { font-size: 1.5rem; font-weight: 650; line-height: 1.3; font-variant-numeric: tabular-nums; }
.card .detail { font-size: 0.85rem; font-variant-numeric: tabular-nums; }
.good { color: var(--good); } .bad { color: var(--bad); }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.92rem; }
th, td { text-align: right; padding: 5px 12px; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; white-space: normal; vertical-align: bottom; line-height: 1.25; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
td.text, th.text { text-align: left; }
td.wide { white-space: normal; overflow-wrap: anywhere; min-width: 12em; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(320px, 100%), 1fr)); gap: 14px; }
figure { margin: 0; background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 10px 12px; min-width: 0; max-width: 460px; }
figcaption { font-weight: 600; font-size: 0.92rem; overflow-wrap: anywhere; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 14px; margin: 2px 0 0; padding: 0; font-size: 0.85rem; color: var(--soft); }
.legend li { overflow-wrap: anywhere; min-width: 0; }
.swatch { display: inline-block; width: 14px; height: 3px; border-radius: 2px; vertical-align: middle; margin-right: 5px; background: currentColor; }
.swatch.dashed { background: repeating-linear-gradient(90deg, currentColor 0 4px, transparent 4px 6px); }
svg.plot { display: block; width: 100%; height: auto; margin-top: 4px; }
svg text { fill: var(--soft); font-size: 11px; }
.line { fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linejoin: round; }
.line.dashed { stroke-dasharray: 4 3; stroke-width: 1.4; }
.mark { fill: currentColor; stroke: var(--card); stroke-width: 1.5; }
path.grid { stroke: var(--rule); stroke-width: 1; fill: none; display: inline; }
.axis, .border { stroke: var(--soft); stroke-width: 1; fill: none; }
.border { stroke-dasharray: 2 3; }
.heat { fill: var(--c0); }
.c0 { color: var(--c0); } .c1 { color: var(--c1); } .c2 { color: var(--c2); } .c3 { color: var(--c3); }
.c4 { color: var(--c4); } .c5 { color: var(--c5); } .c6 { color: var(--c6); } .c7 { color: var(--c7); }
.layers { display: grid; gap: 7px; margin: 12px 0; }
.layer { display: grid; grid-template-columns: minmax(110px, 190px) minmax(120px, 260px) 170px 1fr; gap: 2px 14px; align-items: center; font-size: 0.9rem; }
.layer .name { font-family: ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 0.84rem; overflow-wrap: anywhere; }
.layer .count { font-variant-numeric: tabular-nums; }
.layer .reason { color: var(--soft); font-size: 0.84rem; }
svg.bar { display: block; width: 100%; height: 12px; border-radius: 3px; }
.was { fill: var(--was); } .decomposed { fill: var(--c0); } .pruned { fill: var(--c1); } .kept { fill: var(--c7); } .slower { fill: var(--c4); }
.key { display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: 0.88rem; color: var(--soft); }
.key span span { display: inline-block; width: 12px; height: 12px; border-radius: 3px; vertical-align: -1px; margin-right: 5px; }
.key .k0 { background: var(--c0); } .key .k1 { background: var(--c1); } .key .k4 { background: var(--c4); } .key .k7 { background: var(--c7); } .key .kw { background: var(--was); }
pre { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 12px 14px; margin: 0; white-space: normal; overflow-x: auto; font-size: 0.84rem; }
pre span { white-space: nowrap; }
details { margin: 12px 0; } summary { cursor: pointer; font-weight: 600; overflow-wrap: anywhere; }
details > *:not(summary) { margin-top: 12px; }
@media (max-width: 760px) {
  .layer { grid-template-columns: 1fr auto; padding-bottom: 7px; border-bottom: 1px solid var(--rule); }
  .layer .name { grid-row: 1; grid-column: 1; } .layer .count { grid-row: 1; grid-column: 2; } .layer .bar-cell, .layer .reason { grid-column: 1 / -1; }
  table { font-size: 0.82rem; } th, td { padding: 5px; } h1 { font-size: 1.35rem; } .cards { grid-template-columns: 1fr 1fr; }
  .card .value { font-size: 1.25rem; }
}
@media print { body { font-size: 12px; } figure, .card, .layer { break-inside: avoid; } }
)css";

}  // namespace hinge::report
