import { createHash } from 'node:crypto';

/** How the page looks, in light and in dark; readable from 360 px on. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #f4f5f7; --card: #fff; --sunk: #f4f5f7; --line: #dfe2e8; --text: #1a1f29; --soft: #5b6472;
  --link: #1f5fbf; --good: #17713d; --good-bg: #e3f5ea; --warn: #8a5300; --warn-bg: #fdf0d7;
  --bad: #b3261e; --bad-bg: #fdeae8; --busy: #1f5fbf; --busy-bg: #e6effc;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #11141a; --card: #191d25; --sunk: #12161c; --line: #2d333f; --text: #e6e9ef; --soft: #9aa4b2;
    --link: #8ab4f8; --good: #6fd497; --good-bg: #14301f; --warn: #f2bd66; --warn-bg: #35270e;
    --bad: #ff9a92; --bad-bg: #3d1a18; --busy: #8ab4f8; --busy-bg: #17263d;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
a { color: var(--link); }
code { font: .9em/1.5 ui-monospace, monospace; background: var(--sunk); border: 1px solid var(--line);
  border-radius: 4px; padding: .1em .35em; }
h1, h2, h3, p, ul, ol, dl, dd { margin: 0; padding: 0; }
ul, ol { list-style: none; }
.top { display: flex; flex-wrap: wrap; align-items: center; gap: .25rem 1.25rem; padding: .75rem 1.25rem;
  background: var(--card); border-bottom: 1px solid var(--line); }
.top nav { display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; }
.top a { color: var(--soft); text-decoration: none; }
.top a:hover, .top a[aria-current] { color: var(--text); }
.top .brand { color: var(--text); font-weight: 650; letter-spacing: -.01em; font-size: 1.05rem; }
main { max-width: 76rem; margin: 0 auto; padding: 1.25rem; display: grid; gap: 1.25rem; }
main > * { min-width: 0; }
.banner { border-radius: 10px; border: 1px solid; padding: 1rem 1.25rem; }
.banner h1 { font-size: 1.1rem; line-height: 1.4; font-weight: 650; color: inherit; }
.banner p { color: var(--text); }
.banner .others { margin-top: .75rem; padding-top: .75rem; border-top: 1px solid currentColor; display: grid; gap: .5rem;
  color: var(--text); }
.others strong { font-weight: 600; }
.good { color: var(--good); } .warn { color: var(--warn); } .bad { color: var(--bad); } .busy { color: var(--busy); }
.banner.good { background: var(--good-bg); } .banner.bad { background: var(--bad-bg); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1.1rem 1.25rem; }
.card > header { display: flex; flex-wrap: wrap; align-items: center; gap: .25rem .75rem; margin-bottom: .9rem; }
h2 { font-size: 1.05rem; font-weight: 650; }
.soft { color: var(--soft); }
.pill { font-size: .8rem; font-weight: 600; border-radius: 99px; padding: .1rem .6rem; white-space: nowrap;
  background: var(--sunk); }
.pill.good { background: var(--good-bg); } .pill.warn { background: var(--warn-bg); }
.pill.bad { background: var(--bad-bg); } .pill.busy { background: var(--busy-bg); }
.stages { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1.6rem; margin-bottom: 1.1rem; }
.stages li { position: relative; background: var(--sunk); border: 1px solid var(--line); border-radius: 8px;
  padding: .6rem .8rem; min-width: 0; }
.stages li + li::before { content: '→'; position: absolute; left: -1.35rem; top: 50%; transform: translateY(-50%);
  color: var(--soft); }
.stages h3 { font-size: .8rem; font-weight: 600; color: var(--soft); }
.stages .big { font-size: 1.5rem; font-weight: 650; line-height: 1.3; }
.stages .big small { font-size: .85rem; font-weight: 400; color: var(--soft); }
.stages p { font-size: .85rem; color: var(--soft); }
.facts { display: grid; grid-template-columns: repeat(4, 1fr); gap: .75rem 1.6rem; }
.facts > div { min-width: 0; padding-left: .8rem; }
.facts dt { font-size: .8rem; font-weight: 600; color: var(--soft); }
.facts dd + dt { margin-top: .75rem; }
code span { display: inline-block; max-width: 100%; }
.chips { display: flex; flex-wrap: wrap; gap: .3rem; margin: .2rem 0; }
.chips li { font-size: .82rem; background: var(--sunk); border: 1px solid var(--line); border-radius: 5px; padding: 0 .4rem; }
.facts code, .remedy code { background: none; border: 0; padding: 0; color: inherit; font-weight: 600; }
.facts .do { font-size: .85rem; color: var(--soft); }
.pair { display: grid; grid-template-columns: 1.6fr 1fr; gap: 1.25rem; align-items: start; }
table { width: 100%; border-collapse: collapse; font-size: .88rem; }
th { text-align: left; font-size: .78rem; font-weight: 600; color: var(--soft); }
th, td { padding: .35rem .75rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: baseline; }
tr:last-child td { border-bottom: 0; }
th.n, td.n { text-align: right; }
th:last-child, td:last-child { padding-right: 0; }
td.zero { color: var(--soft); }
footer, .stale { color: var(--soft); font-size: .85rem; }
.stale { background: var(--bad-bg); color: var(--bad); font-weight: 600; padding: .6rem 1.25rem; }
@media (max-width: 60rem) { .facts { grid-template-columns: 1fr 1fr; } .pair { grid-template-columns: 1fr; } }
@media (max-width: 44rem) {
  main { padding: .75rem; gap: .75rem; } .card, .banner { padding: .9rem; } .top { padding: .6rem .9rem; }
  .stages { grid-template-columns: 1fr; gap: 1.3rem; }
  .stages li + li::before { content: '↓'; left: 1rem; top: -.68rem; }
  .stages li { display: grid; grid-template-columns: 1fr auto; align-items: baseline; column-gap: .75rem; }
  .stages p { grid-column: 1 / -1; }
  .stages .big { font-size: 1.2rem; }
  .facts { grid-template-columns: 1fr; } .facts > div { padding-left: 0; }
  table, tbody, tr { display: block; } thead { display: none; }
  tr { display: flex; flex-wrap: wrap; gap: 0 .9rem; padding: .45rem 0; border-bottom: 1px solid var(--line); }
  tr:last-child { border-bottom: 0; }
  th, td, th.n, td.n { display: block; padding: 0; border: 0; text-align: left; }
  td[data-label]::before { content: attr(data-label) ' '; color: var(--soft); font-size: .8rem; }
  td.zero { display: none; }
}
`;

/** Puts a fresh page in the place of the old one, and says when none comes. Without it the page reloads itself. */
export const SCRIPT = `
const EVERY_MS = 5000;
const stale = document.getElementById('stale');
let since = null;
async function refresh() {
  // Whoever is copying something keeps it.
  if (document.hidden || String(getSelection()) !== '') return;
  try {
    const answer = await fetch('/', { signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(String(answer.status));
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    document.querySelector('main').replaceWith(page.querySelector('main'));
    document.title = page.title;
    since = null;
  } catch {
    since ??= new Date();
    stale.textContent = 'No answer from maskline since ' + since.toLocaleTimeString() + ': what is below is old.';
  }
  stale.hidden = since === null;
}
async function loop() {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    await refresh();
  }
}
document.addEventListener('visibilitychange', () => void refresh());
void loop();
`;

/** What a page's policy calls an inline style or script by (W3C CSP 3, "hash-source"). */
export function sourceHash(text: string): string {
  return `'sha256-${createHash('sha256').update(text, 'utf8').digest('base64')}'`;
}
