/**
 * How the pages look, in light and in dark; readable from 360 px on. Every colour of text has a contrast of at least 4.5
 * to what is behind it (WCAG 2.2, 1.4.3).
 */
export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #f5f6f8; --card: #fff; --sunk: #f5f6f8; --line: #e1e4ea; --text: #1a1f29; --soft: #596273;
  --link: #1d5bb8; --good: #146c39; --good-bg: #e5f5eb; --warn: #835000; --warn-bg: #fdf1da;
  --bad: #b3261e; --bad-bg: #fdecea; --busy: #1d5bb8; --busy-bg: #e8f0fc;
  --bar: #3f7fd9; --bar-2: #b7c3d6; --bar-3: #d98a1f; --shade: 0 1px 2px rgb(16 24 40 / 5%);
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #101319; --card: #181c24; --sunk: #12161d; --line: #2a303b; --text: #e6e9ef; --soft: #9aa5b5;
    --link: #8ab4f8; --good: #6fd497; --good-bg: #14301f; --warn: #f2bd66; --warn-bg: #35270e;
    --bad: #ff9a92; --bad-bg: #3d1a18; --busy: #8ab4f8; --busy-bg: #17263d;
    --bar: #5b95e8; --bar-2: #4a5568; --bar-3: #d39a3c; --shade: none;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
a { color: var(--link); text-underline-offset: .15em; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 4px; }
code { font: .9em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
code span { display: inline-block; max-width: 100%; }
h1, h2, h3, p, ul, ol, dl, dd, figure { margin: 0; padding: 0; }
ul, ol { list-style: none; }
h1 { font-size: 1.3rem; line-height: 1.35; font-weight: 650; letter-spacing: -.012em; }
h2 { font-size: 1.05rem; font-weight: 650; letter-spacing: -.006em; }
.skip { position: absolute; left: -999px; } .skip:focus { left: 1rem; top: .5rem; background: var(--card); padding: .4rem .8rem; }
.top { background: var(--card); border-bottom: 1px solid var(--line); }
.top > div { max-width: 78rem; margin: 0 auto; padding: .7rem 1.25rem; display: flex; flex-wrap: wrap;
  align-items: center; gap: .3rem 1.6rem; }
.top nav { display: flex; flex-wrap: wrap; gap: .3rem 1.25rem; flex: 1; }
.top a { color: var(--soft); text-decoration: none; padding: .15rem 0; }
.top a:hover { color: var(--text); }
.top a[aria-current] { color: var(--text); font-weight: 600; box-shadow: 0 2px 0 var(--link); }
.top .brand { display: flex; align-items: center; gap: .5rem; color: var(--text); font-weight: 650;
  letter-spacing: -.01em; font-size: 1.05rem; }
.brand svg { width: 1.25rem; height: 1.25rem; display: block; }
.top .count { background: var(--bad-bg); color: var(--bad); font-size: .75rem; font-weight: 650; border-radius: 99px;
  padding: .05rem .45rem; margin-left: .3rem; }
main { max-width: 78rem; margin: 0 auto; padding: 1.25rem; display: grid; gap: 1.1rem; }
main > * { min-width: 0; }
.banner { border-radius: 12px; padding: 1rem 1.25rem; border: 1px solid var(--line); background: var(--card);
  box-shadow: var(--shade); }
.banner h1, .banner h2 { font-size: 1.12rem; line-height: 1.4; }
.banner.good { display: flex; flex-wrap: wrap; gap: .1rem .75rem; align-items: baseline; }
.banner.good h1::before, .banner.good h2::before { content: ''; display: inline-block; width: .6rem; height: .6rem; border-radius: 50%;
  background: var(--good); margin-right: .6rem; }
.banner.good p { color: var(--soft); }
.banner.bad { border-left: 4px solid var(--bad); color: var(--text); }
.banner.bad h1, .banner.bad h2 { color: var(--bad); }
.banner .since { color: var(--soft); }
.banner .todo { margin-top: .6rem; }
.banner .others { margin-top: .9rem; padding-top: .8rem; border-top: 1px solid var(--line); display: grid; gap: .6rem; }
.others strong { font-weight: 600; }
.todo code, .do code, .remedy code, .cmd { background: var(--sunk); border: 1px solid var(--line); border-radius: 5px;
  padding: .08em .4em; }
.cmd { display: inline-block; max-width: 100%; user-select: all; }
.cmd code { background: none; border: 0; padding: 0; color: var(--text); } p + p > .cmd { margin-top: .2rem; }
.good { color: var(--good); } .warn { color: var(--warn); } .bad { color: var(--bad); } .busy { color: var(--busy); }
.soft { color: var(--soft); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.1rem 1.25rem;
  box-shadow: var(--shade); }
.card > header { display: flex; flex-wrap: wrap; align-items: center; gap: .3rem .75rem; margin-bottom: .9rem; }
.card > header .acts { margin-left: auto; }
.acts { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; }
.pill { font-size: .8rem; font-weight: 600; border-radius: 99px; padding: .1rem .6rem; white-space: nowrap;
  background: var(--sunk); color: var(--soft); }
.pill.good { background: var(--good-bg); color: var(--good); } .pill.warn { background: var(--warn-bg); color: var(--warn); }
.pill.bad { background: var(--bad-bg); color: var(--bad); } .pill.busy { background: var(--busy-bg); color: var(--busy); }
.stages { display: grid; grid-template-columns: repeat(5, 1fr); gap: 1.5rem; }
.stages li { position: relative; background: var(--sunk); border: 1px solid var(--line); border-radius: 9px;
  padding: .65rem .85rem .7rem; min-width: 0; }
.stages li.hot { border-color: var(--bad); }
.stages li + li::before { content: ''; position: absolute; left: calc(-.75rem - 5px); top: 50%; width: 8px; height: 8px;
  border: solid var(--soft); border-width: 1.5px 1.5px 0 0; transform: translateY(-50%) rotate(45deg); }
.stages h3 { font-size: .8rem; font-weight: 600; color: var(--soft); }
.stages .big { font-size: 1.55rem; font-weight: 650; line-height: 1.3; letter-spacing: -.015em; }
.stages .big small { font-size: .82rem; font-weight: 400; color: var(--soft); letter-spacing: 0; }
.stages p { font-size: .85rem; color: var(--soft); }
.stages p .bad { font-weight: 600; }
.chart { margin-top: 1.1rem; }
.chart figcaption { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; font-size: .82rem; color: var(--soft);
  margin-bottom: .35rem; }
.chart figcaption strong { color: var(--text); font-weight: 600; }
.chart .key::before { content: ''; display: inline-block; width: .65rem; height: .65rem; border-radius: 2px;
  margin-right: .35rem; background: var(--bar); }
.chart .key.duplicates::before { background: var(--bar-2); } .chart .key.quarantined::before { background: var(--bar-3); }
.chart svg { display: block; width: 100%; height: 5.5rem; }
.chart .loaded { fill: var(--bar); } .chart .duplicates { fill: var(--bar-2); } .chart .quarantined { fill: var(--bar-3); }
.chart .base { fill: var(--line); }
.chart .axis { display: flex; justify-content: space-between; font-size: .78rem; color: var(--soft); }
.facts { display: grid; grid-template-columns: repeat(4, 1fr); gap: .9rem 1.5rem; margin-top: 1.1rem; padding-top: 1rem;
  border-top: 1px solid var(--line); }
.facts > div { min-width: 0; }
.facts dt, .label { font-size: .8rem; font-weight: 600; color: var(--soft); }
.facts dd + dt { margin-top: .75rem; }
.do { font-size: .85rem; color: var(--soft); margin-top: .2rem; }
.chips { display: flex; flex-wrap: wrap; gap: .3rem; margin: .25rem 0; }
.chips li { font-size: .82rem; background: var(--sunk); border: 1px solid var(--line); border-radius: 5px; padding: 0 .4rem; }
.part + .part { margin-top: 1rem; padding-top: 1rem; border-top: 1px solid var(--line); }
.part > header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .2rem .9rem; margin-bottom: .3rem; }
.part > header .button { margin-left: auto; } .part details { margin-top: .5rem; }
h3 { font-size: .95rem; font-weight: 600; }
.pair { display: grid; grid-template-columns: 1.5fr 1fr; gap: 1.1rem; align-items: start; }
.pair > div { display: grid; gap: 1.1rem; min-width: 0; }
table { width: 100%; border-collapse: collapse; font-size: .88rem; }
th { text-align: left; font-size: .78rem; font-weight: 600; color: var(--soft); white-space: nowrap; }
th, td { padding: .4rem .9rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: baseline; }
tbody tr:last-child td, tbody tr:last-child th { border-bottom: 0; padding-bottom: 0; }
tbody th { white-space: normal; font-size: inherit; color: inherit; font-weight: 400; }
th.n, td.n { text-align: right; white-space: nowrap; } th:last-child, td:last-child { padding-right: 0; }
th.n + th:not(.n), td.n + td:not(.n) { padding-left: .7rem; }
td time, td.id code { white-space: nowrap; } td .acts { gap: .1rem .8rem; flex-wrap: nowrap; } td.zero { color: var(--soft); } td.id { font-size: .82rem; }
.counts { display: flex; flex-wrap: wrap; gap: .3rem 2.2rem; }
.counts dd { font-size: 1.35rem; font-weight: 650; letter-spacing: -.012em; }
details { margin-top: .8rem; } summary { cursor: pointer; color: var(--link); font-size: .9rem; width: max-content; max-width: 100%; }
details > * + * { margin-top: .5rem; }
.button, button { display: inline-block; font: 600 .85rem/1.4 system-ui, sans-serif; color: var(--text);
  background: var(--card); border: 1px solid var(--line); border-radius: 7px; padding: .3rem .75rem; text-decoration: none;
  cursor: pointer; white-space: nowrap; }
.button:hover, button:hover { border-color: var(--soft); }
button.go { background: var(--link); border-color: var(--link); color: var(--card); padding: .45rem 1rem; font-size: .92rem; }
button.go.risky { background: var(--bad); border-color: var(--bad); }
.question { max-width: 44rem; display: grid; gap: .8rem; } .question ul { display: grid; gap: .4rem; }
.question li { padding-left: 1.1rem; position: relative; } .question li::before { content: '–'; position: absolute; left: 0; color: var(--soft); }
input { font: inherit; color: var(--text); background: var(--page); border: 1px solid var(--soft); border-radius: 7px;
  padding: .4rem .6rem; width: 100%; max-width: 28rem; display: block; margin-top: .2rem; }
footer { color: var(--soft); font-size: .85rem; }
.stale { background: var(--bad-bg); color: var(--bad); font-weight: 600; padding: .6rem 1.25rem; }
@media (max-width: 60rem) {
  .facts { grid-template-columns: 1fr 1fr; } .pair { grid-template-columns: 1fr; }
  .stages { gap: 1.1rem; } .stages li { padding: .6rem; } .stages li + li::before { left: calc(-.55rem - 5px); }
}
@media (max-width: 48rem) {
  main { padding: .75rem; gap: .75rem; } .card, .banner { padding: .9rem; } .top > div { padding: .6rem .9rem; }
  .top nav { flex-basis: 100%; gap: .1rem 1.1rem; }
  .card > header .acts { margin-left: 0; width: 100%; } .part > header .button { margin-left: 0; }
  .stages { grid-template-columns: 1fr; gap: 1rem; }
  .stages li + li::before { left: 1.2rem; top: calc(-.5rem - 6px); transform: rotate(135deg); }
  .stages li { display: grid; grid-template-columns: 1fr auto; align-items: baseline; column-gap: .75rem; padding: .5rem .8rem; }
  .stages p { grid-column: 1 / -1; }
  .stages .big { font-size: 1.2rem; }
  .facts { grid-template-columns: 1fr; }
  table, tbody, tr { display: block; } thead { display: none; }
  tr { display: flex; flex-wrap: wrap; gap: 0 .9rem; padding: .5rem 0; border-bottom: 1px solid var(--line); }
  tbody tr:last-child { border-bottom: 0; padding-bottom: 0; }
  th, td, th.n, td.n, td.n + td:not(.n) { display: block; padding: 0; border: 0; text-align: left; }
  td[data-label]::before { content: attr(data-label) ' '; color: var(--soft); font-size: .8rem; }
  td.zero { display: none; } td.id { width: 100%; } td.id code { white-space: normal; }
}
@media (prefers-contrast: more) { :root { --line: var(--soft); } }
`;
