/**
 * Puts what is new in the place of what was there, section by section, and says when nothing new comes. Without it the
 * page reloads itself.
 */
export const SCRIPT = `
const EVERY_MS = 5000;
const stale = document.getElementById('stale');
let since = null;
const isOpen = (element) => element.matches('details') && element.open;
function replace(old, fresh) {
  if (old.outerHTML === fresh.outerHTML) return;
  // Who is on a link, or has unfolded something, stays there.
  const focused = old.contains(document.activeElement) ? document.activeElement.getAttribute('href') : null;
  const unfolded = [...old.querySelectorAll('details[id]')].filter(isOpen).map((each) => each.id);
  old.replaceWith(fresh);
  for (const id of unfolded) document.getElementById(id)?.setAttribute('open', '');
  if (focused) [...fresh.querySelectorAll('a')].find((each) => each.getAttribute('href') === focused)?.focus();
}
async function refresh() {
  // Whoever is copying something keeps it.
  if (document.hidden || String(getSelection()) !== '') return;
  try {
    const answer = await fetch(location.href, { signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(String(answer.status));
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const old = [...document.querySelector('main').children];
    const fresh = [...page.querySelector('main').children];
    const isAlike = old.length === fresh.length && old.every((each, at) => each.id === fresh[at].id);
    if (isAlike) old.forEach((each, at) => replace(each, fresh[at]));
    else document.querySelector('main').replaceWith(page.querySelector('main'));
    document.querySelector('nav').replaceWith(page.querySelector('nav'));
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
