import { html } from 'hono/html';
import type { PipelineStatus, ProcessStatus, StageBacklog } from '../status.js';
import type { ChartMinute } from './chart.js';
import { type Html, UNKNOWN, duration, moment, number, plural } from './wording.js';

/** How fast a pipeline is, in records. */
export interface Activity {
  /** Of the last hour; those without anything are left out. */
  readonly minutes: readonly ChartMinute[];
  readonly receivedLastMinute: number;
  readonly settledLastMinute: number;
}

/** Who has been silent for longer is not counted as at work; as `status` has it. */
const PRESENT_S = 30;

const NOT_KNOWN = html`not known: it does not answer`;

interface Stage {
  readonly name: string;
  readonly big: Html;
  readonly small: Html;
  /** Something here wants somebody's eyes. */
  readonly isHot?: boolean;
}

/** A pipeline from left to right: SQS, the three stages, Postgres. */
export function stageStrip(
  pipeline: PipelineStatus,
  activity: Activity | null,
  processes: readonly ProcessStatus[] | null,
  now: number,
): Html {
  const stages = [
    sourceStage(pipeline),
    ingestStage(pipeline, activity, processes, now),
    queueStage('Transform', pipeline, processes, now),
    queueStage('Load', pipeline, processes, now),
    tableStage(pipeline, activity, now),
  ];
  return html`<ol class="stages">
    ${stages.map(
      ({ name, big, small, isHot = false }) =>
        html`<li class="${isHot ? 'hot' : ''}">
          <h3>${name}</h3>
          <div class="big">${big}</div>
          <p>${small}</p>
        </li>`,
    )}
  </ol>`;
}

function sourceStage({ queue, queues, lag_seconds: lag }: PipelineStatus): Stage {
  const each = queues.length > 1 && queues.map((own) => html`<br />${own.queue}: ${visibleText(own)}`);
  if (queue === null) return { name: 'SQS', big: html`${UNKNOWN}`, small: html`${NOT_KNOWN}${each}` };
  return {
    name: 'SQS',
    big: html`${number(queue.visible)} <small>visible</small>`,
    small: html`${number(queue.in_flight)} in
      flight${queue.delayed > 0 && html`, ${number(queue.delayed)} delayed`}<br />${ageText(lag)}${each}`,
  };
}

function visibleText({ visible }: PipelineStatus['queues'][number]): Html {
  return visible === undefined ? html`${UNKNOWN}` : html`${number(visible)} visible`;
}

function ageText(seconds: number | null): Html {
  if (seconds === null) return html`age not known`;
  return seconds === 0 ? html`none waiting` : html`oldest at most ${duration(seconds)}`;
}

function ingestStage(
  pipeline: PipelineStatus,
  activity: Activity | null,
  processes: readonly ProcessStatus[] | null,
  now: number,
): Stage {
  return {
    name: 'Ingest',
    big: rate(activity && activity.receivedLastMinute),
    small: html`in the last minute<br />${workers('ingest', pipeline, processes, now)}`,
  };
}

function rate(perMinute: number | null): Html {
  if (perMinute === null) return html`${UNKNOWN}`;
  const perSecond = perMinute / 60;
  const shown = perSecond > 0 && perSecond < 10 ? perSecond.toFixed(1) : number(Math.round(perSecond));
  return html`${shown} <small>rows/s</small>`;
}

function queueStage(
  name: 'Transform' | 'Load',
  pipeline: PipelineStatus,
  processes: readonly ProcessStatus[] | null,
  now: number,
): Stage {
  const role = name === 'Load' ? 'load' : 'transform';
  const at = workers(role, pipeline, processes, now);
  const backlog: StageBacklog | undefined = pipeline.backlog?.[role];
  if (!backlog) return { name, big: html`${UNKNOWN}`, small: html`${NOT_KNOWN}<br />${at}` };
  const { waiting, active, failed } = backlog;
  return {
    name,
    big: html`${number(waiting)} <small>${waiting === 1 ? 'batch' : 'batches'} waiting</small>`,
    small: html`${number(active)} active,
      <span class="${failed > 0 ? 'bad' : ''}">${number(failed)} failed</span><br />${at}`,
    isHot: failed > 0,
  };
}

/** How many processes serve the stage; null where nobody can be asked. */
function workers(
  role: 'ingest' | 'transform' | 'load',
  { pipeline, schedule }: PipelineStatus,
  processes: readonly ProcessStatus[] | null,
  now: number,
): Html {
  if (processes === null) return html`processes not known`;
  const serving = processes.filter(
    (one) =>
      (one.role === role || one.role === 'all') &&
      one.pipelines.includes(pipeline) &&
      (now - Date.parse(one.seen_at)) / 1_000 <= PRESENT_S,
  );
  if (serving.length > 0) return html`${plural(serving.length, 'process', 'es')}`;
  // Without a schedule a command brings its own.
  return html`<span class="${schedule === null ? '' : 'bad'}">no process</span>`;
}

function tableStage(
  { last_run: run, breaker }: PipelineStatus,
  activity: Activity | null,
  now: number,
): Stage {
  const big = rate(activity && activity.settledLastMinute);
  const name = 'Postgres';
  if (run === null) return { name, big, small: breaker === null ? NOT_KNOWN : html`no run yet` };
  const when =
    run.finished_at === null
      ? html`this run, begun ${moment(run.started_at, now)}`
      : html`last run, ${moment(run.finished_at, now)}`;
  const state =
    run.state === 'succeeded' || run.state === 'running' ? '' : `, ${run.state.replace('_', ' ')}`;
  return {
    name,
    big,
    small: html`<a href="/runs/${run.run_id}">${when}</a>:<br />${plural(run.loaded, 'row')}${state}`,
  };
}
