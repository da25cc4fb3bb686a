import { html } from 'hono/html';
import { confirmPath } from './actions.js';
import { page } from './layout.js';
import { type Surroundings, awayNote, frameOf } from './page.js';
import { type Html, capital, command, moment, number, prose, size } from './wording.js';

/** Open entries of one code, path and kind, by their outside: nothing of them was opened. Times are ISO 8601. */
export interface QuarantineGroup {
  readonly pipeline: string;
  readonly code: string;
  readonly path: string | null;
  readonly kind: 'raw' | 'masked';
  readonly count: number;
  readonly first_at: string;
  readonly last_at: string;
  readonly least_bytes: number;
  readonly most_bytes: number;
  readonly meaning: string;
  readonly remedy: string;
  /** Whether a replay may end the process that carries it out. */
  readonly isDangerous: boolean;
  readonly sample: readonly {
    readonly id: string;
    readonly bytes: number;
    readonly kid: number;
    readonly sent_at: string;
    readonly quarantined_at: string;
  }[];
}

/** What the page of the quarantine shows. */
export interface QuarantineView extends Surroundings {
  /** The most frequent first; null where Postgres does not answer. */
  readonly groups: readonly QuarantineGroup[] | null;
  readonly canAct: boolean;
}

/** What could not become rows, by code, and what to do about it. */
export function quarantinePage(view: QuarantineView): Html {
  const { status, groups } = view;
  return page(
    frameOf(status, 'quarantine', 'Quarantine · maskline'),
    html`<header id="head">
        <h1>Quarantine</h1>
        <p class="soft">
          Records that could not become rows, kept sealed. Nothing of them was opened for this page: it shows
          their shape only.
        </p>
      </header>
      ${groups === null ? awayNote(view, 'postgres') : pipelineSections(groups, view)}`,
  );
}

function pipelineSections(groups: readonly QuarantineGroup[], { status, canAct }: QuarantineView): Html {
  if (groups.length === 0) {
    return html`<section class="banner good" id="none">
      <h2>Empty</h2>
      <p>Every record became a row, or was replayed.</p>
    </section>`;
  }
  const now = Date.parse(status.at);
  const names = [...new Set(groups.map(({ pipeline }) => pipeline))];
  return html`${names.map((name) => {
    const own = groups.filter(({ pipeline }) => pipeline === name);
    const isCapped = status.pipelines.some(
      ({ pipeline, quarantine }) => pipeline === name && quarantine?.capped === true,
    );
    return html`<section class="card" id="${name}" aria-labelledby="title-${name}">
      <header>
        <h2 id="title-${name}">${name}</h2>
        <span class="pill warn">${number(own.reduce((sum, { count }) => sum + count, 0))} open</span>
        ${isCapped && html`<span class="soft">the latest ones: there are more</span>`}
      </header>
      ${own.map((group) => groupPart(group, canAct, now))}
    </section>`;
  })}`;
}

function groupPart(group: QuarantineGroup, canAct: boolean, now: number): Html {
  const { pipeline, code, path, kind, count, first_at, last_at, meaning, remedy, isDangerous } = group;
  const id = `${pipeline}-${code}-${path ?? ''}-${kind}`;
  return html`<section class="part" aria-label="${code} ${path ?? ''}">
    <header>
      <h3><code>${code}</code>${path !== null && html` at <code>${path}</code>`}</h3>
      <span>× ${number(count)}</span>
      <span class="soft">${kind === 'raw' ? 'as received' : 'masked'}, ${sizes(group)}</span>
      <span class="soft">first ${moment(first_at, now)}, last ${moment(last_at, now)}</span>
      ${
        canAct &&
        !isDangerous &&
        html`<a class="button" href="${confirmPath({ action: 'replay', pipeline, code })}">Replay ${code}</a>`
      }
    </header>
    <p>${prose(capital(meaning))}.</p>
    <p class="do">
      ${prose(capital(remedy))}; then
      <span class="cmd">${command(`maskline quarantine replay --all -p ${pipeline} --code ${code}`)}</span>
    </p>
    <details id="sample-${id}">
      <summary>The latest ${group.sample.length === 1 ? 'one' : group.sample.length}</summary>
      <table>
        <thead>
          <tr>
            <th scope="col">Entry</th>
            <th scope="col" class="n">Sealed</th>
            <th scope="col" class="n">Kid</th>
            <th scope="col">Sent</th>
            <th scope="col">Quarantined</th>
          </tr>
        </thead>
        <tbody>
          ${group.sample.map(
            (entry) =>
              html`<tr>
                <td class="id"><code>${entry.id}</code></td>
                <td class="n" data-label="sealed">${size(entry.bytes)}</td>
                <td class="n" data-label="kid">${entry.kid}</td>
                <td data-label="sent">${moment(entry.sent_at, now)}</td>
                <td data-label="quarantined">${moment(entry.quarantined_at, now)}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </details>
  </section>`;
}

function sizes({ least_bytes: least, most_bytes: most }: QuarantineGroup): string {
  return size(least) === size(most) ? size(least) : `${size(least)} to ${size(most)}`;
}
