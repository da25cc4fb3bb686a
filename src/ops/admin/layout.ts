import { html, raw } from 'hono/html';
import { type Html, number } from './wording.js';

/** What every page has around it. */
export interface Frame {
  /** What the tab says, before the name of the program. */
  readonly title: string;
  /** The page in the navigation that this one is, or belongs to. */
  readonly current: 'overview' | 'failed' | 'quarantine' | 'queues';
  /** How much there is to look at; null where that is not known. */
  readonly counts: { readonly failed: number | null; readonly quarantine: number | null };
  /** Whether it renews itself: not while somebody has to decide something on it. */
  readonly isLive: boolean;
}

/** Without JavaScript a page reloads itself this often. */
export const RELOAD_S = 5;

const MARK =
  '<rect width="16" height="16" rx="4" fill="#1d5bb8"/>' +
  '<path d="M3 5h10v3a3 3 0 0 1-5 1.5A3 3 0 0 1 3 8z" fill="#fff"/>';
const ICON =
  'data:image/svg+xml,' +
  encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">${MARK}</svg>`);

/** A whole page; everything that is put into `main` is escaped by `html`. */
export function page(frame: Frame, main: Html): Html {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="robots" content="noindex" />
        <title>${frame.title}</title>
        <link rel="icon" href="${ICON}" />
        <link rel="stylesheet" href="/page.css" />
        ${
          frame.isLive &&
          html`<noscript><meta http-equiv="refresh" content="${RELOAD_S}" /></noscript>
            <script src="/page.js" defer></script>`
        }
      </head>
      <body>
        <a class="skip" href="#main">To the content</a>
        ${topBar(frame)}
        <div id="stale" class="stale" role="alert" hidden></div>
        <main id="main" tabindex="-1">${main}</main>
      </body>
    </html>`;
}

function topBar({ current, counts }: Frame): Html {
  const link = (name: Frame['current'], href: string, text: string, count: number | null = null): Html => {
    const badge = count !== null && count > 0 && html`<span class="count">${number(count)}</span>`;
    return name === current
      ? html`<a href="${href}" aria-current="page">${text}${badge}</a>`
      : html`<a href="${href}">${text}${badge}</a>`;
  };
  return html`<header class="top">
    <div>
      <a class="brand" href="/"><svg viewBox="0 0 16 16" aria-hidden="true">${raw(MARK)}</svg>maskline</a>
      <nav aria-label="Pages">
        ${link('overview', '/', 'Overview')} ${link('failed', '/failed', 'Failed jobs', counts.failed)}
        ${link('quarantine', '/quarantine', 'Quarantine', counts.quarantine)}
        ${link('queues', '/queues', 'Queues')} <a href="/metrics">Metrics</a>
        <a href="/api/status">Status JSON</a>
      </nav>
    </div>
  </header>`;
}
