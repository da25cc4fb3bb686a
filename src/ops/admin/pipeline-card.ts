import { html } from 'hono/html';
import type { PipelineStatus, ProcessStatus } from '../status.js';
import { type ActionName, confirmPath } from './actions.js';
import { throughputChart } from './chart.js';
import { type Activity, stageStrip } from './stages.js';
import { type Html, UNKNOWN, moment, number, prose } from './wording.js';

/** What there is to show besides the pipeline's status. */
export interface PipelineView {
  /** Null where the database can't be asked. */
  readonly activity: Activity | null;
  /** Null where it can't. */
  readonly processes: readonly ProcessStatus[] | null;
  readonly canAct: boolean;
  readonly now: number;
}

/** One pipeline: its stages from left to right, its last hour, then what else there is to know. */
export function pipelineCard(pipeline: PipelineStatus, view: PipelineView): Html {
  const { word, tone } = stateOf(pipeline);
  const { activity, processes, now } = view;
  return html`<section
    class="card"
    id="pipeline-${pipeline.pipeline}"
    aria-label="Pipeline ${pipeline.pipeline}"
  >
    <header>
      <h2>${pipeline.pipeline}</h2>
      <span class="pill ${tone}">${word}</span>
      <span class="soft">into ${[pipeline.table, ...pipeline.further_tables].join(', ')}</span>
      ${view.canAct && steering(pipeline)}
    </header>
    ${stageStrip(pipeline, activity, processes, now)} ${throughputChart(activity && activity.minutes, now)}
    <dl class="facts">
      <div>${fact('Schedule', schedule(pipeline, now))}</div>
      <div>${fact('Breaker', breaker(pipeline, now))}</div>
      <div>${fact('Failed jobs', failedJobs(pipeline))}</div>
      <div>${fact('Quarantine', quarantine(pipeline))}</div>
    </dl>
  </section>`;
}

/** What fits the state that the pipeline is in. */
function steering({
  pipeline,
  schedule: written,
  breaker: state,
  paused_at: pausedAt,
}: PipelineStatus): Html {
  if (written === null || state === null) return html``;
  const offer = (action: ActionName, text: string): Html =>
    html`<a class="button" href="${confirmPath({ action, pipeline })}">${text}</a>`;
  const isHeld = state === 'open' || pausedAt !== null;
  return html`<div class="acts">
    ${!isHeld && written !== 'continuous' && offer('run', 'Run now')}
    ${state === 'open' && offer('resume', 'Close the breaker')}
    ${pausedAt === null ? offer('pause', 'Pause') : state !== 'open' && offer('resume', 'Resume')}
  </div>`;
}

interface State {
  readonly word: string;
  readonly tone: 'good' | 'warn' | 'bad' | 'busy' | '';
}

/** The one word that matters most. */
function stateOf(pipeline: PipelineStatus): State {
  const { breaker: state, paused_at, paused_until, last_run, schedule: written } = pipeline;
  if (state === 'open') return { word: 'breaker open', tone: 'bad' };
  if (paused_at !== null) return { word: 'paused', tone: 'warn' };
  if (paused_until !== null) return { word: 'in its pause', tone: '' };
  if (state === null) return { word: 'not known', tone: '' };
  if (last_run?.state === 'running') return { word: 'running', tone: 'busy' };
  if (last_run?.state === 'failed') return { word: 'last run failed', tone: 'bad' };
  return written === null ? { word: 'run by hand', tone: '' } : { word: 'on schedule', tone: 'good' };
}

function fact(name: string, value: Html): Html {
  return html`<dt>${name}</dt>
    <dd>${value}</dd>`;
}

function toDo(text: string): Html {
  return html`<p class="do">${prose(text)}</p>`;
}

function schedule(pipeline: PipelineStatus, now: number): Html {
  const {
    schedule: written,
    timezone,
    next_at,
    paused_at,
    pause_reason,
    last_started_at,
    breaker: state,
  } = pipeline;
  if (written === null) return html`none: ${prose('`maskline drain` runs it')}`;
  const zone = timezone !== null && timezone !== 'UTC' && html` <span class="soft">${timezone}</span>`;
  const last = last_started_at === null ? html`has not run yet` : html`last ${moment(last_started_at, now)}`;
  const next = paused_at === null && next_at !== null && html`, next ${moment(next_at, now)}`;
  const times = html`<code>${written}</code>${zone}
    <p class="soft">${state === null ? UNKNOWN : html`${last}${next}`}</p>`;
  if (paused_at === null) return times;
  return html`${times}
    <p class="warn">paused ${moment(paused_at, now)}${pause_reason !== null && html`: ${pause_reason}`}</p>
    ${toDo(`to go on: \`maskline schedule resume ${pipeline.pipeline}\``)}`;
}

function breaker(
  { breaker: state, breaker_since, breaker_reason, pipeline }: PipelineStatus,
  now: number,
): Html {
  if (state === null) return html`${UNKNOWN}`;
  if (state === 'closed') return html`closed`;
  return html`<p class="bad">open, since ${moment(breaker_since, now)}</p>
    <p>${breaker_reason}</p>
    ${toDo(`when the cause is mended: \`maskline schedule resume ${pipeline}\``)}`;
}

function quarantine({ quarantine: entries, pipeline }: PipelineStatus): Html {
  if (entries === null) return html`${UNKNOWN}`;
  if (entries.open === 0) return html`empty`;
  const chips = Object.entries(entries.codes).map(
    ([code, count]) => html`<li>${code} × ${number(count)}</li>`,
  );
  return html`<a href="/quarantine#${pipeline}"
      >${entries.capped && 'at least '}${number(entries.open)} open</a
    >
    <ul class="chips">
      ${chips}
    </ul>`;
}

function failedJobs({ backlog, failed_last_hour: recent }: PipelineStatus): Html {
  if (backlog === null) return html`${UNKNOWN}`;
  const failed = backlog.transform.failed + backlog.load.failed;
  if (failed === 0) return html`none`;
  const within = recent !== null && recent > 0 && html`, ${number(recent)} of them within the hour`;
  return html`<a href="/failed">${number(failed)} kept</a>${within}`;
}
