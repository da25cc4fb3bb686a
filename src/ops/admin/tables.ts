import { html } from 'hono/html';
import type { Counts } from '../../batch.js';
import type { Dependency, ProcessStatus } from '../status.js';
import { type Html, UNKNOWN, capital, duration, moment, number, sinceText } from './wording.js';

/** A run of any pipeline, as `runs list` has it. */
export interface RecentRun extends Counts {
  readonly run_id: string;
  readonly pipeline: string;
  readonly trigger: string;
  readonly state: string;
  readonly started_at: string;
  readonly finished_at: string | null;
}

/** The counts of a report, in their order. */
export const OUTCOMES = ['received', 'loaded', 'duplicates', 'quarantined', 'released'] as const;

/** How the state of a run is coloured. */
export const TONES: { readonly [state: string]: string } = {
  succeeded: 'good',
  running: 'busy',
  failed: 'bad',
  breaker_open: 'bad',
  abandoned: 'warn',
  canceled: 'warn',
};

/** The runs and their reports, latest first; `named` shows whose each is. */
export function runTable(runs: readonly RecentRun[] | null, named: boolean, now: number): Html {
  if (runs === null) return html`<p class="soft">Not known: Postgres does not answer.</p>`;
  if (runs.length === 0)
    return html`<p class="soft">None yet: a tick that finds an empty queue leaves no run.</p>`;
  return html`<table>
    <thead>
      <tr>
        <th scope="col">Started</th>
        ${named && html`<th scope="col">Pipeline</th>`}
        <th scope="col">Trigger</th>
        <th scope="col">State</th>
        <th scope="col" class="n">Took</th>
        ${OUTCOMES.map((outcome) => html`<th scope="col" class="n">${capital(outcome)}</th>`)}
      </tr>
    </thead>
    <tbody>
      ${runs.map((run) => runRow(run, named, now))}
    </tbody>
  </table>`;
}

function runRow(run: RecentRun, named: boolean, now: number): Html {
  const { started_at, finished_at, state } = run;
  const took =
    finished_at === null ? UNKNOWN : duration((Date.parse(finished_at) - Date.parse(started_at)) / 1000);
  return html`<tr title="run ${run.run_id}">
    <td><a href="/runs/${run.run_id}">${moment(started_at, now)}</a></td>
    ${named && html`<td>${run.pipeline}</td>`}
    <td class="soft">${run.trigger}</td>
    <td class="${TONES[state] ?? ''}">${state.replace('_', ' ')}</td>
    <td class="n" data-label="took">${took}</td>
    ${OUTCOMES.map((outcome) => {
      const isQuiet = run[outcome] === 0 && outcome !== 'received';
      return html`<td class="n ${isQuiet ? 'zero' : ''}" data-label="${outcome}">
        ${number(run[outcome])}
      </td>`;
    })}
  </tr>`;
}

/** Who is at work; null where nobody can be asked. */
export function processTable(processes: readonly ProcessStatus[] | null, now: number): Html {
  if (processes === null) return html`<p class="soft">Not known: Postgres does not answer.</p>`;
  if (processes.length === 0) return html`<p class="soft">None has been seen lately.</p>`;
  return html`<table>
    <thead>
      <tr>
        <th scope="col">Role</th>
        <th scope="col">Process</th>
        <th scope="col">Version</th>
        <th scope="col">Started</th>
        <th scope="col">Seen</th>
      </tr>
    </thead>
    <tbody>
      ${processes.map(
        (one) =>
          html`<tr title="${one.pipelines.join(', ')}">
            <td>${one.role}</td>
            <td>${one.owner}</td>
            <td data-label="version">${one.version}</td>
            <td data-label="started">${moment(one.started_at, now)}</td>
            <td data-label="seen">${moment(one.seen_at, now)}</td>
          </tr>`,
      )}
    </tbody>
  </table>`;
}

/** What is needed, and since when what is away has been. */
export function dependencyList(
  dependencies: readonly Dependency[],
  awaySince: ReadonlyMap<string, number>,
  now: number,
): Html {
  return html`<table>
    <tbody>
      ${dependencies.map(
        ({ name, ok, code }) =>
          html`<tr>
            <th scope="row">${name}</th>
            <td>
              ${ok ? html`<span class="good">answers</span>` : away(code, awaySince.get(name) ?? now, now)}
            </td>
          </tr>`,
      )}
    </tbody>
  </table>`;
}

function away(code: Dependency['code'], since: number, now: number): Html {
  const reason = code === null || code === 'timeout' ? 'no answer' : code;
  return html`<span class="bad">${reason}</span> since ${sinceText(since, now)}`;
}
