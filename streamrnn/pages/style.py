"""The page's style: colours by role, once for light and once for dark; type, tables, plots, paper.

Colours keep apart for colour-blind eyes (after Okabe & Ito 2008); dashes and weights tell lines apart without any.
"""

COLOURS = """
:root {
  color-scheme: light dark;
  --page: #fff; --ink: #1c2126; --soft: #59626c; --hair: #e2e5e9; --shade: #f5f6f8; --edge: #8b949e;
  --yes: #0a6a4a; --yes-back: #e3f4ec; --no: #9a4108; --no-back: #fcefe4;
  --model: #0b63a8; --champion: #c8500a; --persistence: #6a737d; --seasonal: #87489c; --ridge: #0b7d5c;
  --other0: #8a6a00; --other1: #b1316b; --other2: #2f7f91; --other3: #4d5bd1; --band: .16;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171b; --ink: #e4e7eb; --soft: #a2abb5; --hair: #2c3239; --shade: #1c2025; --edge: #78828d;
    --yes: #6fd3a8; --yes-back: #14352a; --no: #f3a46c; --no-back: #3c2416;
    --model: #6cb4f5; --champion: #f58a4b; --persistence: #a1aab4; --seasonal: #cf9be0; --ridge: #55cfa4;
    --other0: #e0bf53; --other1: #f288b4; --other2: #78c8d8; --other3: #a3acff; --band: .24;
  }
}
"""
"""By role, for light and for dark."""

_TEXT = """\
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 70rem; background: var(--page); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
}
h1 { font-size: clamp(1.6rem, 4vw, 2.3rem); line-height: 1.2; letter-spacing: -.015em; margin: .4rem 0 .6rem; }
h1 { font-weight: 650; text-wrap: balance; }
h2 { font-size: 1.3rem; line-height: 1.3; letter-spacing: -.01em; margin: 0 0 .5rem; }
h3 { font-size: 1rem; margin: 2rem 0 .5rem; }
p { margin: 0 0 .75rem; max-width: 46rem; }
small { font-size: .8125rem; color: var(--soft); }
code, pre { font: .875rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }
pre { padding: 1rem; background: var(--shade); border-radius: 6px; overflow: auto; max-height: 30rem; }
a { color: var(--model); text-underline-offset: .2em; text-decoration-thickness: 1px; }
:focus-visible { outline: 2px solid var(--model); outline-offset: 2px; }
.soft { color: var(--soft); }
.eyebrow { display: flex; flex-wrap: wrap; gap: .1rem 1.25rem; color: var(--soft); font-size: .875rem; }
.eyebrow { max-width: none; margin-bottom: 1.75rem; }
.eyebrow span:first-child { font-weight: 600; color: var(--ink); }
.status { margin: 0; }
.badge { font-size: .8125rem; font-weight: 600; padding: .2rem .65rem; border-radius: 99px; }
.badge.yes { color: var(--yes); background: var(--yes-back); }
.badge.no { color: var(--no); background: var(--no-back); }
.badge.even { color: var(--soft); background: var(--shade); }
.lead::first-letter { text-transform: uppercase; }
.lead { font-size: 1.125rem; margin-bottom: .4rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 1px; padding: 0; }
.tiles { margin: 1.75rem 0 0; list-style: none; border-block: 1px solid var(--hair); }
.tiles li { padding: 1rem 1rem 1rem 0; line-height: 1.35; }
.tiles b { display: block; font-size: 1.6rem; font-weight: 600; letter-spacing: -.02em; margin-bottom: .15rem; }
.tiles span { font-size: .8125rem; color: var(--soft); }
.better b { color: var(--yes); }
.worse b { color: var(--no); }
td.better { color: var(--yes); }
td.worse { color: var(--no); }
.notes { margin: 0 0 .6rem; padding: 0; list-style: none; }
.notes li { margin: .3rem 0; padding: .1rem 0 .1rem .8rem; border-left: 3px solid var(--no); }
.notes li { overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 1rem 0 0; font-size: .875rem; }
nav a { text-decoration: none; padding: .2rem 0; }
nav a:hover { text-decoration: underline; }
section { margin-top: 3.25rem; }
.scroll { overflow-x: auto; margin: .75rem 0 1.25rem; }
table { border-collapse: collapse; font-size: .875rem; line-height: 1.4; min-width: 50%; }
.overall table { width: 100%; }
caption { text-align: left; font-weight: 600; padding: 0 0 .35rem; white-space: nowrap; }
th, td { padding: .4rem 1.1rem .4rem 0; text-align: left; vertical-align: baseline; font-weight: 400; }
thead th { color: var(--soft); font-size: .8125rem; vertical-align: bottom; border-bottom: 1px solid var(--edge); }
tbody tr { border-bottom: 1px solid var(--hair); }
th:first-child { min-width: 8rem; max-width: 22rem; }
.n { text-align: right; padding: .4rem 0 .4rem 1.1rem; white-space: nowrap; }
thead .n { white-space: normal; min-width: 7rem; }
td strong { font-weight: 700; }
.who { display: flex; align-items: baseline; gap: .5rem; }
.who .key { flex: none; }
.barred span { display: inline-block; min-width: 3.1rem; }
.bars { width: clamp(4rem, 14vw, 11rem); height: 16px; vertical-align: -2px; }
details { margin: .5rem 0; }
summary { cursor: pointer; color: var(--model); font-size: .875rem; padding: .25rem 0; width: fit-content; }
details[open] summary { margin-bottom: .25rem; }
figure { margin: 0; padding-bottom: 30px; min-width: 0; break-inside: avoid; }
figcaption { font-size: .875rem; line-height: 1.4; margin-bottom: .35rem; overflow: hidden; }
figcaption b, figcaption span { display: block; }
figcaption span { color: var(--soft); font-size: .8125rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); }
.plots { gap: 1.75rem 2.5rem; margin: 1rem 0 .5rem; align-items: start; }
.plots.three { grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1.25rem; margin: .25rem 0 .5rem; padding: 0; }
.legend { list-style: none; font-size: .8125rem; }
.legend li { display: flex; align-items: baseline; gap: .45rem; }
.key { width: 22px; height: 12px; flex: none; align-self: center; }
.plot { display: block; overflow: visible; margin-top: .6rem; }
"""

PLOTS = """\
.plot text { font-size: 12px; fill: var(--soft); }
.plot .y, .plot .end { text-anchor: end; }
.plot .x { text-anchor: middle; }
.plot .note { fill: var(--ink); paint-order: stroke; stroke: var(--page); stroke-width: 4px; }
.plot .note { stroke-linejoin: round; }
.grid { stroke: var(--hair); }
.axis { stroke: var(--edge); }
.mark { stroke: var(--soft); stroke-dasharray: 2 3; }
.line { fill: none; stroke: var(--c); stroke-width: 1.75; vector-effect: non-scaling-stroke; }
.line { stroke-linejoin: round; stroke-linecap: round; }
.band { fill: var(--c); fill-opacity: var(--band); stroke: none; }
.dot { fill: var(--c); stroke: var(--page); stroke-width: 1.5; }
.bar { fill: var(--c); fill-opacity: .8; }
.timeline { margin-left: 84px; width: calc(100% - 100px); }
.part { fill: var(--model); }
.part1 { fill: var(--seasonal); }
.part2 { fill: var(--champion); }
.model { --c: var(--model); }
.line.model { stroke-width: 2.25; }
.champion { --c: var(--champion); }
.persistence { --c: var(--persistence); stroke-dasharray: 1.5 4; }
.seasonal { --c: var(--seasonal); stroke-dasharray: 7 4; }
.ridge { --c: var(--ridge); stroke-dasharray: 9 3.5 1.5 3.5; }
.other0 { --c: var(--other0); stroke-dasharray: 4 3; }
.other1 { --c: var(--other1); stroke-dasharray: 12 4; }
.other2 { --c: var(--other2); stroke-dasharray: 2 5; }
.other3 { --c: var(--other3); stroke-dasharray: 6 3 1 3 1 3; }
.dot, .bar { stroke-dasharray: none; }
.learnt { --c: var(--model); }
.checked { --c: var(--champion); }
.most { --c: var(--seasonal); stroke-dasharray: 7 4; }
.actual { --c: var(--ink); }
.line.actual { stroke-width: 1.1; }
.line.lone { stroke-width: 6; stroke-dasharray: none; }
.diagonal { --c: var(--edge); stroke-dasharray: 2 4; }
"""
"""The words, the grid and the lines of a plot."""

_REST = """\
dl { columns: 2; column-gap: 2.5rem; margin: .5rem 0 0; font-size: .875rem; }
dl div { display: flex; gap: 1rem; padding: .35rem 0; border-bottom: 1px solid var(--hair); break-inside: avoid; }
dt { flex: 0 0 8.5rem; color: var(--soft); }
dd { margin: 0; min-width: 0; }
footer { margin-top: 4rem; padding-top: 1rem; border-top: 1px solid var(--hair); color: var(--soft); }
footer { font-size: .8125rem; }
@media (max-width: 44rem) {
  body { padding: 1.25rem 1rem 3rem; }
  dl { columns: 1; }
  .plot .odd { display: none; }
  .scroll th:first-child { position: sticky; left: 0; background: var(--page); max-width: 9rem; }
  .overall th:first-child { min-width: 9rem; }
  .who small { display: block; }
  .n { padding-left: .75rem; }
  thead .n { min-width: 5.9rem; overflow-wrap: normal; }
  caption { white-space: normal; }
  caption span { display: block; position: sticky; left: 0; max-width: calc(100vw - 2rem); }
  .bars { display: none; }
  section { margin-top: 2.5rem; }
}
@media print {
  :root {
    color-scheme: light;
    --page: #fff; --ink: #000; --soft: #444; --hair: #ccc; --shade: #f5f6f8; --edge: #777;
    --yes: #0a6a4a; --yes-back: #e3f4ec; --no: #9a4108; --no-back: #fcefe4;
    --model: #0b63a8; --champion: #c8500a; --persistence: #6a737d; --seasonal: #87489c; --ridge: #0b7d5c;
    --other0: #8a6a00; --other1: #b1316b; --other2: #2f7f91; --other3: #4d5bd1; --band: .16;
  }
  @page { margin: 16mm 14mm; }
  html { font-size: 9.5pt; }
  body { max-width: none; padding: 0; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  .plot text { font-size: 10px; }
  .tiles { grid-template-columns: repeat(auto-fit, minmax(7.5rem, 1fr)); }
  nav, details:not([open]) { display: none; }
  .scroll { overflow: visible; }
  section { margin-top: 2rem; }
  .plots { grid-template-columns: 1fr 1fr; gap: 1.25rem 1.5rem; }
  .plots.three { grid-template-columns: 1fr 1fr 1fr; }
  h2, h3, figcaption, caption, .legend, section > p { break-after: avoid; }
  tr, .tiles { break-inside: avoid; }
  pre { max-height: none; white-space: pre-wrap; }
}
"""

STYLE = COLOURS + _TEXT + PLOTS + _REST
