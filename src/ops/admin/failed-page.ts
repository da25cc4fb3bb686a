import { html } from 'hono/html';
import type { Stage } from '../events.js';
import { confirmPath } from './actions.js';
import { type Surroundings, awayNote, frameOf } from './page.js';
import { page } from './layout.js';
import { type Html, command, moment, number, plural, prose, size } from './wording.js';

/** Failed jobs of one cause: pipeline, stage and code. Times in epoch ms. */
export interface FailedGroup {
  readonly pipeline: string;
  readonly stage: Stage;
  readonly code: string;
  readonly remedy: string;
  readonly count: number;
  /** In all of them together; null where a payload does not say. */
  readonly records: number | null;
  readonly firstAt: number;
  readonly lastAt: number;
  /** The latest ones, but for those whose id is no batch's: whoever can write to the queue chose it. */
  readonly jobs: readonly FailedRow[];
}

/** One failed job, by its outside. */
export interface FailedRow {
  readonly id: string;
  readonly records: number | null;
  /** As it lies in the queue, sealed. */
  readonly bytes: number;
  readonly attempts: number;
  readonly failedAt: number;
}

/** What the page of failed jobs shows. */
export interface FailedView extends Surroundings {
  /** The most frequent first; null where the queue does not answer. */
  readonly groups: readonly FailedGroup[] | null;
  readonly canAct: boolean;
  /** Whether there is a Bull Board to look into a job. */
  readonly hasBoard: boolean;
}

/** What failed for good, by cause, and what to do about it. */
export function failedPage(view: FailedView): Html {
  const { status, groups } = view;
  const now = Date.parse(status.at);
  return page(
    frameOf(status, 'failed', 'Failed jobs · maskline'),
    html`<header id="head">
        <h1>Failed jobs</h1>
        <p class="soft">
          Batches whose job failed for good, kept sealed. Their messages went back to SQS and come again, so
          nothing waits for you.
        </p>
      </header>
      ${groups === null ? awayNote(view, 'queue') : groupList(groups, view, now)}`,
  );
}

function groupList(groups: readonly FailedGroup[], view: FailedView, now: number): Html | readonly Html[] {
  if (groups.length === 0) {
    return html`<section class="banner good" id="none">
      <h2>None</h2>
      <p>No batch has failed for good, or all of them were retried or discarded.</p>
    </section>`;
  }
  return groups.map((group) => groupCard(group, view, now));
}

function groupCard(group: FailedGroup, { canAct, hasBoard }: FailedView, now: number): Html {
  const { pipeline, stage, code, remedy, count, records, firstAt, lastAt, jobs } = group;
  const id = `${pipeline}-${stage}-${code}`;
  const act = { pipeline, stage, code };
  return html`<section class="card" id="${id}" aria-label="${code} in ${stage} of ${pipeline}">
    <header>
      <h2>${code}</h2>
      <span class="pill bad">${plural(count, 'job')}</span>
      <span class="soft">${stage} of ${pipeline}</span>
      ${
        canAct &&
        html`<div class="acts">
          <a class="button" href="${confirmPath({ action: 'retry', ...act })}">Retry ${number(count)}</a>
          <a class="button" href="${confirmPath({ action: 'discard', ...act })}">Discard ${number(count)}</a>
        </div>`
      }
    </header>
    <dl class="counts">
      <div>
        <dt class="label">Records</dt>
        <dd>${number(records)}</dd>
      </div>
      <div>
        <dt class="label">First</dt>
        <dd>${moment(firstAt, now)}</dd>
      </div>
      <div>
        <dt class="label">Last</dt>
        <dd>${moment(lastAt, now)}</dd>
      </div>
    </dl>
    <p class="do">What to do: ${prose(remedy)}; then</p>
    <p><span class="cmd">${command(`maskline failed retry --all -p ${pipeline} --code ${code}`)}</span></p>
    <details id="jobs-${id}">
      <summary>${jobs.length < count ? `The latest ${jobs.length} of them` : plural(count, 'job')}</summary>
      <p class="do">${prose('`maskline failed show ID` tells the reason of one in full.')}</p>
      ${jobTable(jobs, { pipeline, stage, canAct, hasBoard, now })}
    </details>
  </section>`;
}

/** What the rows of a table of jobs have in common. */
interface JobPlace extends Pick<FailedView, 'canAct' | 'hasBoard'> {
  readonly pipeline: string;
  readonly stage: Stage;
  readonly now: number;
}

function jobTable(jobs: readonly FailedRow[], place: JobPlace): Html {
  return html`<table>
    <thead>
      <tr>
        <th scope="col">Job</th>
        <th scope="col" class="n">Records</th>
        <th scope="col" class="n">Sealed</th>
        <th scope="col" class="n">Attempts</th>
        <th scope="col">Failed</th>
        ${place.canAct && html`<th scope="col">Act</th>`}
      </tr>
    </thead>
    <tbody>
      ${jobs.map((job) => jobRow(job, place))}
    </tbody>
  </table>`;
}

function jobRow({ id, records, bytes, attempts, failedAt }: FailedRow, place: JobPlace): Html {
  const { pipeline, stage, canAct, hasBoard, now } = place;
  const board = `/queues/queue/${encodeURIComponent(`${stage}.${pipeline}`)}/${id}`;
  const act = (action: 'retry' | 'discard', text: string): Html => {
    const path = confirmPath({ action, pipeline, stage, id });
    return html`<a href="${path}" aria-label="${text} job ${id}">${text}</a>`;
  };
  return html`<tr>
    <td class="id">
      ${hasBoard ? html`<a href="${board}"><code>${id}</code></a>` : html`<code>${id}</code>`}
    </td>
    <td class="n" data-label="records">${number(records)}</td>
    <td class="n" data-label="sealed">${size(bytes)}</td>
    <td class="n" data-label="attempts">${number(attempts)}</td>
    <td>${moment(failedAt, now)}</td>
    ${canAct && html`<td><div class="acts">${act('retry', 'Retry')} ${act('discard', 'Discard')}</div></td>`}
  </tr>`;
}
