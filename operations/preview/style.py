"""The page's style sheet: light and dark, with a graph that is readable without colours too."""

STYLE = """
:root { color-scheme: light dark;
  --paper: #fff; --ink: #1c2128; --quiet: #57606a; --line: #d0d7de; --raised: #f6f8fa; --link: #0a58ca;
  --red: #b42318; --red-fill: #fee4e2; --amber: #9a5b00; --amber-fill: #fff1d6;
  --green: #1a6b34; --green-fill: #dcf5e3; --plain: #1f5fa8; --plain-fill: #e1eefc; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #0f1318; --ink: #e6edf3; --quiet: #9da7b3; --line: #3a424d; --raised: #1a2027; --link: #79b8ff;
  --red: #ff9489; --red-fill: #4a1512; --amber: #f5bd5b; --amber-fill: #442c05;
  --green: #7fd99a; --green-fill: #0d3a1c; --plain: #8cc2ff; --plain-fill: #102f52; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem clamp(1rem, 3vw, 3rem) 4rem; max-width: 110rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .2rem 0 .4rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
a { color: var(--link); } p { max-width: 75ch; } small, .stack, header p { color: var(--quiet); }
.stack { margin: 0; font-weight: 600; }
.skip { position: absolute; left: -100rem; } .skip:focus { position: static; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
code, pre { font: .86em/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.failure pre { padding: .7rem .9rem; background: var(--red-fill); border-left: 4px solid var(--red); }
.scroll { overflow: auto; max-width: 100%; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th { text-align: left; color: var(--quiet); font-weight: 600; }
th, td { padding: .4rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td:first-child { white-space: nowrap; } .change table { table-layout: fixed; }
.change th:first-child { width: 28%; } .change td:first-child { white-space: normal; }
table.red { border-left: 4px solid var(--red); } table.amber { border-left: 4px solid var(--amber); }
table.green { border-left: 4px solid var(--green); }
.warning { padding: .6rem .9rem; background: var(--amber-fill); border-left: 4px solid var(--amber); }
del, ins { display: block; text-decoration: none; padding: .1rem .4rem; border-radius: 3px; }
del { background: var(--red-fill); } ins { background: var(--green-fill); }
details { margin: .3rem 0; } summary { cursor: pointer; padding: .35rem .5rem; }
.change { border: 1px solid var(--line); border-left-width: 5px; border-radius: 4px; background: var(--raised); }
.change > div { padding: 0 .8rem .6rem; overflow-wrap: anywhere; } .what { display: inline-block; min-width: 6.5rem; }
.change.red { border-left-color: var(--red); } .change.amber { border-left-color: var(--amber); }
.change.green { border-left-color: var(--green); } .change.plain { border-left-color: var(--plain); }
:target { outline: 3px solid var(--link); outline-offset: 4px; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; padding: 0; margin: 0 0 .6rem; list-style: none;
  font-size: .9rem; color: var(--quiet); }
.swatch { display: inline-block; width: 1.1em; height: 1.1em; margin-right: .45em; vertical-align: -.15em;
  border: 2px solid var(--line); border-radius: 3px; }
.swatch.red { background: var(--red-fill); border-color: var(--red); }
.swatch.amber { background: var(--amber-fill); border-color: var(--amber); }
.swatch.green { background: var(--green-fill); border-color: var(--green); }
.swatch.plain { background: var(--plain-fill); border-color: var(--plain); }
.graph { border: 1px solid var(--line); border-radius: 6px; max-height: 85vh; }
svg { display: block; } svg a { text-decoration: none; }
svg text { fill: var(--ink); font-family: system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
svg .name { font-size: 12.5px; font-weight: 600; } svg .kind { font-size: 11px; fill: var(--quiet); }
svg .sign { font-size: 17px; font-weight: 700; }
svg rect { fill: var(--raised); stroke: var(--line); stroke-width: 1.2; }
svg .red rect { fill: var(--red-fill); stroke: var(--red); stroke-width: 3.2; }
svg .amber rect { fill: var(--amber-fill); stroke: var(--amber); stroke-width: 2.4; }
svg .green rect { fill: var(--green-fill); stroke: var(--green); stroke-width: 2; }
svg .plain rect { fill: var(--plain-fill); stroke: var(--plain); stroke-width: 2; }
svg .red .sign { fill: var(--red); } svg .amber .sign { fill: var(--amber); } svg .green .sign { fill: var(--green); }
svg .plain .sign { fill: var(--plain); }
svg .same .name { font-weight: 400; } svg .red .kind, svg .amber .kind, svg .green .kind, svg .plain .kind {
  fill: var(--ink); }
svg a:focus-visible rect, svg a:hover rect { stroke: var(--link); stroke-width: 4; }
svg path { fill: none; stroke: var(--line); stroke-width: 1.3; }
svg path.live { stroke: var(--quiet); stroke-width: 2; }
@media print { .graph { max-height: none; } details { break-inside: avoid; } }
"""
