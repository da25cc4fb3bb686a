import { html } from 'hono/html';
import type { PipelineStatus, StageBacklog } from '../status.js';
import { type Html, UNKNOWN, duration, moment, number, prose } from './wording.js';

/** One pipeline: its stages from left to right, then what else there is to know. */
export function pipelineCard(pipeline: PipelineStatus, now: number): Html {
  const { word, tone } = stateOf(pipeline);
  return html`<section class="card" id="pipeline-${pipeline.pipeline}">
    <header>
      <h2>${pipeline.pipeline}</h2>
      <span class="pill ${tone}">${word}</span>
      <span class="soft">into ${[pipeline.table, ...pipeline.further_tables].join(', ')}</span>
    </header>
    <ol class="stages">
      ${sourceStage(pipeline)} ${queueStage('Transform', pipeline.backlog?.transform)}
      ${queueStage('Load', pipeline.backlog?.load)} ${tableStage(pipeline, now)}
    </ol>
    <dl class="facts">
      <div>${fact('Schedule', schedule(pipeline, now))} ${fact('Oldest waiting message', lag(pipeline))}</div>
      <div>${fact('Breaker', breaker(pipeline, now))}</div>
      <div>${fact('Failed jobs', failedJobs(pipeline))}</div>
      <div>${fact('Quarantine', quarantine(pipeline))}</div>
    </dl>
  </section>`;
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

function stage(name: string, big: Html, small: Html): Html {
  return html`<li>
    <h3>${name}</h3>
    <div class="big">${big}</div>
    <p>${small}</p>
  </li>`;
}

const NOT_KNOWN = html`not known: it does not answer`;

function sourceStage({ queue, queues }: PipelineStatus): Html {
  const each = queues.length > 1 && queues.map((own) => html`<br />${own.queue}: ${visibleText(own)}`);
  if (queue === null) return stage('SQS', html`${UNKNOWN}`, html`${NOT_KNOWN}${each}`);
  return stage(
    'SQS',
    html`${number(queue.visible)} <small>visible</small>`,
    html`${number(queue.in_flight)} in
    flight${queue.delayed > 0 && html`, ${number(queue.delayed)} delayed`}${each}`,
  );
}

function visibleText({ visible }: PipelineStatus['queues'][number]): Html {
  return visible === undefined ? html`${UNKNOWN}` : html`${number(visible)} visible`;
}

function queueStage(name: string, backlog: StageBacklog | undefined): Html {
  if (!backlog) return stage(name, html`${UNKNOWN}`, NOT_KNOWN);
  const { waiting, active, failed } = backlog;
  return stage(
    name,
    html`${number(waiting)} <small>waiting</small>`,
    html`${number(active)} active, <span class="${failed > 0 ? 'bad' : ''}">${number(failed)} failed</span>`,
  );
}

function tableStage({ last_run: run, breaker: state }: PipelineStatus, now: number): Html {
  if (run === null) return stage('Table', html`${UNKNOWN}`, state === null ? NOT_KNOWN : html`no run yet`);
  const { duplicates, quarantined, released, finished_at } = run;
  const others = [
    ...(duplicates > 0 ? [`${number(duplicates)} duplicates`] : []),
    ...(quarantined > 0 ? [`${number(quarantined)} quarantined`] : []),
    ...(released > 0 ? [`${number(released)} released`] : []),
  ];
  const when =
    finished_at === null
      ? html`this run, begun ${moment(run.started_at, now)}: `
      : html`last run, ${moment(finished_at, now)}: `;
  const words = [run.state.replace('_', ' '), ...others].join(', ');
  return stage('Table', html`${number(run.loaded)} <small>rows</small>`, html`${when}${words}`);
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

function lag({ lag_seconds: seconds }: PipelineStatus): Html {
  if (seconds === null) return html`${UNKNOWN}`;
  return seconds === 0 ? html`none waiting` : html`at most ${duration(seconds)} old`;
}

function quarantine({ quarantine: entries, pipeline }: PipelineStatus): Html {
  if (entries === null) return html`${UNKNOWN}`;
  if (entries.open === 0) return html`empty`;
  const chips = Object.entries(entries.codes).map(
    ([code, count]) => html`<li>${code} × ${number(count)}</li>`,
  );
  return html`${entries.capped && 'at least '}${number(entries.open)} open
    <ul class="chips">
      ${chips}
    </ul>
    ${toDo(`to look at them: \`maskline quarantine list -p ${pipeline}\``)}`;
}

function failedJobs({ backlog, failed_last_hour: recent, pipeline }: PipelineStatus): Html {
  if (backlog === null) return html`${UNKNOWN}`;
  const failed = backlog.transform.failed + backlog.load.failed;
  if (failed === 0) return html`none`;
  const within = recent !== null && recent > 0 && html`, ${number(recent)} of them within the hour`;
  return html`<span class="bad">${number(failed)} kept</span>${within}
    ${toDo(`to look at them: \`maskline failed list -p ${pipeline}\``)}`;
}
