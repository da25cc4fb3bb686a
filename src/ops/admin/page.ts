import { html, raw } from 'hono/html';
import type { Problem, Status } from '../status.js';
import { STYLE } from './look.js';
import { pipelineCard } from './pipeline-card.js';
import { type RecentRun, dependencyList, processTable, runTable } from './tables.js';
import { type Html, capital, plural, prose, sinceText } from './wording.js';

/** What the page shows. */
export interface PageView {
  readonly status: Status;
  /** Since when (epoch ms) each dependency that is away has been seen to be. */
  readonly awaySince: ReadonlyMap<string, number>;
  /** The latest ones; null when the database can't be asked. */
  readonly runs: readonly RecentRun[] | null;
  readonly version: string;
}

/** Without JavaScript the page reloads itself this often. */
const RELOAD_S = 5;

// As it is, to the last byte: the page's policy knows it by its hash.
const styleSheet = raw(`<style>${STYLE}</style>`);

const ICON =
  'data:image/svg+xml,' +
  encodeURIComponent(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" fill="#1f5fbf"/>' +
      '<path d="M3 5h10v3a3 3 0 0 1-5 1.5A3 3 0 0 1 3 8z" fill="#fff"/></svg>',
  );

/** The pipeline page. Everything in it is put in escaped. */
export function pipelinePage(view: PageView): Html {
  const { status } = view;
  const count = status.problems.length;
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="robots" content="noindex" />
        <title>${count > 0 ? `(${count}) ` : ''}maskline</title>
        <link rel="icon" href="${ICON}" />
        <noscript><meta http-equiv="refresh" content="${RELOAD_S}" /></noscript>
        ${styleSheet}
        <script src="/page.js" defer></script>
      </head>
      <body>
        ${topBar('pipelines')}
        <div id="stale" class="stale" role="alert" hidden></div>
        ${mainPart(view)}
      </body>
    </html>`;
}

/** The page that stands where the queues can't be looked into. */
export function noQueuesPage(): Html {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>maskline queues</title>
        <link rel="icon" href="${ICON}" />
        ${styleSheet}
      </head>
      <body>
        ${topBar('queues')}
        <main>
          <section class="card">
            <h2>No queues to look into</h2>
            <p>
              ${prose(
                'The queue is `memory://`: batches go from stage to stage within this process and are nowhere else. What ' +
                  'waits and what failed is counted on the pipelines page; to look into jobs, set `queue.url` to a ' +
                  '`redis://` or `postgres://` URL.',
              )}
            </p>
          </section>
        </main>
      </body>
    </html>`;
}

function topBar(current: 'pipelines' | 'queues'): Html {
  const link = (name: string, href: string, text: string): Html =>
    name === current
      ? html`<a href="${href}" aria-current="page">${text}</a>`
      : html`<a href="${href}">${text}</a>`;
  return html`<header class="top">
    <a class="brand" href="/">maskline</a>
    <nav>
      ${link('pipelines', '/', 'Pipelines')} ${link('queues', '/queues', 'Queues')}
      ${link('', '/api/status', 'Status JSON')} ${link('', '/metrics', 'Metrics')}
    </nav>
  </header>`;
}

function mainPart(view: PageView): Html {
  const { status, awaySince, runs, version } = view;
  const now = Date.parse(status.at);
  return html`<main>
    ${banner(view, now)} ${status.pipelines.map((pipeline) => pipelineCard(pipeline, now))}
    <section class="card">
      <header><h2>Latest runs</h2></header>
      ${runTable(runs, status.pipelines.length > 1, now)}
    </section>
    <div class="pair">
      <section class="card">
        <header><h2>Processes</h2></header>
        ${processTable(status, now)}
      </section>
      <section class="card">
        <header><h2>Dependencies</h2></header>
        ${dependencyList(status.dependencies, awaySince, now)}
      </section>
    </div>
    <footer>
      As of ${status.at.slice(0, 19).replace('T', ' ')} UTC, renewed every ${RELOAD_S} s. maskline ${version}
    </footer>
  </main>`;
}

/** What to do now comes first; it is all that many look at. */
function banner({ status, awaySince }: PageView, now: number): Html {
  const { problems, pipelines } = status;
  const [first, ...others] = problems;
  if (!first) {
    return html`<section class="banner good" role="status">
      <h1>All is well</h1>
      <p>${plural(pipelines.length, 'pipeline')}, nothing to do.</p>
    </section>`;
  }
  const since = awaySince.get(first.subject);
  const more = others.map(
    (one) =>
      html`<li class="remedy">
        <strong>${headline(one)}</strong><br />
        ${prose(one.remedy)}
      </li>`,
  );
  return html`<section class="banner bad" role="status">
    <h1>${headline(first)}</h1>
    ${since !== undefined && html`<p>Since ${sinceText(since, now)}.</p>`}
    <p class="remedy">What to do: ${prose(first.remedy)}</p>
    ${
      more.length > 0 &&
      html`<ul class="others">
        ${more}
      </ul>`
    }
  </section>`;
}

function headline({ subject, what }: Problem): Html {
  return html`${capital(subject)}: ${prose(what)}`;
}
