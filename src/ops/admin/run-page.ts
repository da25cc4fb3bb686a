import { html } from 'hono/html';
import type { Counts } from '../../batch.js';
import { page } from './layout.js';
import { type Surroundings, awayNote, frameOf } from './page.js';
import { OUTCOMES, type RecentRun, TONES } from './tables.js';
import { type Html, UNKNOWN, capital, command, duration, moment, number, size } from './wording.js';

/** One batch of a run. Times are ISO 8601. */
export interface RunBatch extends Counts {
  readonly batch_id: string;
  readonly state: string;
  readonly bytes: number;
  readonly received_at: string;
  readonly loaded_at: string | null;
  readonly kids: readonly number[];
}

/** A run and the first of its batches. */
export interface RunDetails extends RecentRun {
  readonly owner: string | null;
  readonly batches: readonly RunBatch[];
  /** There are more than are shown. */
  readonly isCut: boolean;
}

/** What the page of a run shows. */
export interface RunView extends Surroundings {
  /** `null`: there is none; `unknown`: Postgres does not answer. */
  readonly run: RunDetails | null | 'unknown';
  readonly id: string;
}

/** A run's report and its batches. */
export function runPage(view: RunView): Html {
  const { run, status, id } = view;
  const now = Date.parse(status.at);
  const frame = frameOf(status, 'overview', `Run ${id.slice(0, 8)} · maskline`);
  if (run === 'unknown') return page(frame, html`${heading(id)} ${awayNote(view, 'postgres')}`);
  if (run === null) {
    return page(
      frame,
      html`<section class="card" id="none">
        <header><h1>No such run</h1></header>
        <p>
          No run ${id} is on record: it was pruned (<code>retention.runs</code>), or has not begun yet. A tick
          that finds an empty queue leaves none. <a href="/">Back to the overview</a>
        </p>
      </section>`,
    );
  }
  return page(frame, html`${heading(id)} ${report(run, now)} ${batchCard(run, now)}`);
}

function heading(id: string): Html {
  return html`<header id="head">
    <p class="soft"><a href="/">Overview</a> / run</p>
    <h1>Run <code>${id}</code></h1>
  </header>`;
}

function report(run: RunDetails, now: number): Html {
  const { state, trigger, owner, started_at, finished_at } = run;
  const end = finished_at === null ? now : Date.parse(finished_at);
  const took = duration((end - Date.parse(started_at)) / 1000);
  return html`<section class="card" id="report" aria-labelledby="report-title">
    <header>
      <h2 id="report-title">Report</h2>
      <span class="pill ${TONES[state] ?? ''}">${state.replace('_', ' ')}</span>
      <span class="soft">
        ${run.pipeline}, ${trigger}, begun ${moment(started_at, now)},
        ${finished_at === null ? 'for' : 'took'} ${took}${owner !== null && html`, by ${owner}`}
      </span>
    </header>
    <dl class="counts">
      ${OUTCOMES.map(
        (outcome) =>
          html`<div>
            <dt class="label">${capital(outcome)}</dt>
            <dd>${number(run[outcome])}</dd>
          </div>`,
      )}
    </dl>
    <p class="do">
      received = loaded + duplicates + quarantined + released, in records. On the command line:
      ${command(`maskline runs show ${run.run_id}`)}
    </p>
  </section>`;
}

function batchCard({ batches, isCut, state }: RunDetails, now: number): Html {
  const note = isCut ? `the first ${batches.length}` : number(batches.length);
  return html`<section class="card" id="batches" aria-labelledby="batches-title">
    <header>
      <h2 id="batches-title">Batches</h2>
      <span class="soft">${note}</span>
    </header>
    ${
      batches.length === 0
        ? html`<p class="soft">
            ${state === 'running' ? 'None has a fate yet.' : 'None: nothing was received.'}
          </p>`
        : batchTable(batches, now)
    }
  </section>`;
}

function batchTable(batches: readonly RunBatch[], now: number): Html {
  return html`<table>
    <thead>
      <tr>
        <th scope="col">Batch</th>
        <th scope="col">Fate</th>
        <th scope="col">Received</th>
        <th scope="col" class="n">Took</th>
        ${OUTCOMES.map((outcome) => html`<th scope="col" class="n">${capital(outcome)}</th>`)}
        <th scope="col" class="n">COPY</th>
        <th scope="col" class="n">Kid</th>
      </tr>
    </thead>
    <tbody>
      ${batches.map((batch) => batchRow(batch, now))}
    </tbody>
  </table>`;
}

function batchRow(batch: RunBatch, now: number): Html {
  const { batch_id, state, bytes, received_at, loaded_at, kids } = batch;
  const took =
    loaded_at === null ? UNKNOWN : duration((Date.parse(loaded_at) - Date.parse(received_at)) / 1000);
  return html`<tr>
    <td class="id"><code>${batch_id}</code></td>
    <td class="${state === 'released' ? 'warn' : ''}">${state}</td>
    <td>${moment(received_at, now)}</td>
    <td class="n" data-label="took">${took}</td>
    ${OUTCOMES.map((outcome) => {
      const isQuiet = batch[outcome] === 0 && outcome !== 'received';
      return html`<td class="n ${isQuiet ? 'zero' : ''}" data-label="${outcome}">
        ${number(batch[outcome])}
      </td>`;
    })}
    <td class="n" data-label="COPY">${size(bytes)}</td>
    <td class="n" data-label="kid">${kids.join(', ') || UNKNOWN}</td>
  </tr>`;
}
