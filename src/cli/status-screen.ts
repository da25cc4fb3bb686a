import pc from 'picocolors';
import type {
  Dependency,
  PipelineStatus,
  Problem,
  ProcessStatus,
  QueueStatus,
  StageBacklog,
  Status,
} from '../ops/status.js';

/** A process that has been silent for longer is marked: it should have said every 10 s that it is alive. */
const SILENT_MS = 30_000;
const LABEL_WIDTH = 13;

/** A status for people: the verdict and what to do first, then each pipeline, processes and dependencies. */
export function renderStatus(status: Status): string {
  const now = Date.parse(status.at);
  const blocks = [
    renderVerdict(status),
    ...status.pipelines.map((pipeline) => renderPipeline(pipeline, now)),
    renderProcesses(status.processes, now),
    renderDependencies(status.dependencies),
  ];
  return blocks.map((lines) => lines.join('\n')).join('\n\n');
}

/** A problem on one line. */
export function problemLine({ subject, what, remedy }: Problem): string {
  return `${subject}: ${what}; ${remedy}`;
}

/** `healthy`, or how many problems there are. */
export function verdict({ healthy, problems }: Pick<Status, 'healthy' | 'problems'>): string {
  if (healthy) return 'healthy';
  return problems.length === 1 ? 'unhealthy: 1 problem' : `unhealthy: ${problems.length} problems`;
}

function renderVerdict(status: Status): readonly string[] {
  const { at, healthy, problems } = status;
  const colored = (healthy ? pc.green : pc.red)(pc.bold(verdict(status)));
  return [
    `${colored}${pc.dim(`   ${at}`)}`,
    ...problems.flatMap(({ subject, what, remedy }) => [
      `  ${pc.red(subject)}: ${what}`,
      `    ${pc.bold('→')} ${remedy}`,
    ]),
  ];
}

function queueText(queue: Partial<QueueStatus> | null): string {
  if (queue?.visible === undefined) return UNKNOWN;
  return `${queue.visible} visible, ${queue.in_flight} in flight, ${queue.delayed} delayed`;
}

function renderPipeline(pipeline: PipelineStatus, now: number): readonly string[] {
  const { queue, queues, backlog } = pipeline;
  return [
    `${pc.bold(pipeline.pipeline)} ${pc.dim('→')} ${[pipeline.table, ...pipeline.further_tables].join(', ')}`,
    line('schedule', scheduleText(pipeline, now)),
    ...(pipeline.breaker === 'open' ? [line('breaker', pc.red(breakerText(pipeline, now)))] : []),
    line('SQS', queueText(queue)),
    ...(queues.length < 2 ? [] : queues.map((each) => line('', `${each.queue}: ${queueText(each)}`))),
    line('transform', stageText(backlog?.transform)),
    line('load', stageText(backlog?.load)),
    line('failed', failedText(pipeline)),
    line('quarantine', quarantineText(pipeline.quarantine)),
    line('lag', lagText(pipeline.lag_seconds)),
    line('last run', runText(pipeline, now)),
  ];
}

const UNKNOWN = 'unknown';

function line(label: string, text: string): string {
  return `  ${pc.dim(label.padEnd(LABEL_WIDTH))}${text}`;
}

function scheduleText(pipeline: PipelineStatus, now: number): string {
  const { schedule, timezone, next_at: next, paused_at: paused, last_succeeded_at: good } = pipeline;
  const reason = pipeline.pause_reason === null ? '' : `: ${pipeline.pause_reason}`;
  const lastGood = good === null ? 'no run has ended well so far' : `last good run began ${ago(good, now)}`;
  const parts = [
    schedule ?? 'none: only `maskline drain` runs it',
    ...(timezone === null || timezone === 'UTC' ? [] : [`(${timezone})`]),
    ...(paused === null ? [] : [pc.yellow(`paused ${ago(paused, now)}${reason}`)]),
    ...(next === null ? [] : [`next ${within(next, now)}`]),
    ...(pipeline.breaker === null ? [] : [lastGood]),
  ];
  return parts.join(pc.dim(' · '));
}

function breakerText({ breaker_since: since, breaker_reason: reason }: PipelineStatus, now: number): string {
  return `open since ${since === null ? 'a time that is unknown' : span(now - Date.parse(since))}: ${reason ?? 'no reason given'}`;
}

function stageText(stage: StageBacklog | undefined): string {
  if (!stage) return UNKNOWN;
  return `${stage.waiting} batches waiting, ${stage.active} active`;
}

function failedText({ backlog, failed_last_hour: recent }: PipelineStatus): string {
  if (!backlog) return UNKNOWN;
  const kept = backlog.transform.failed + backlog.load.failed;
  if (kept === 0) return 'none';
  return `${kept} kept, ${recent ?? UNKNOWN} of them within the hour${hint('maskline failed list')}`;
}

function quarantineText(quarantine: PipelineStatus['quarantine']): string {
  if (!quarantine) return UNKNOWN;
  if (quarantine.open === 0) return 'empty';
  const codes = Object.entries(quarantine.codes).map(([code, n]) => `${n} ${code}`);
  // One more than was to be counted is only to tell that there is more.
  const open = quarantine.capped ? `more than ${quarantine.open - 1}` : quarantine.open;
  return `${open} open: ${codes.join(', ')}${hint('maskline quarantine list')}`;
}

/** Where there is more about it. */
function hint(command: string): string {
  return pc.dim(`  (${command})`);
}

function lagText(lag: number | null): string {
  if (lag === null) return UNKNOWN;
  return lag === 0 ? 'none: nothing is waiting' : `at most ${span(lag * 1_000)}`;
}

function runText({ last_run: run, breaker }: PipelineStatus, now: number): string {
  // Whoever told of the breaker would have told of a run.
  if (run === null) return breaker === null ? UNKNOWN : 'none so far';
  const color = run.state === 'succeeded' || run.state === 'running' ? pc.reset : pc.red;
  const { received, loaded, duplicates, quarantined, released } = run;
  const counts =
    run.state === 'running'
      ? `received ${received}, loaded ${loaded} so far`
      : `received ${received} = loaded ${loaded} + duplicates ${duplicates} + quarantined ${quarantined} + released ${released}`;
  const when = run.finished_at === null ? `began ${ago(run.started_at, now)}` : ago(run.finished_at, now);
  return `${color(run.state)} (${run.trigger}) ${when}: ${counts}`;
}

function renderProcesses(processes: readonly ProcessStatus[], now: number): readonly string[] {
  if (processes.length === 0) return [`${pc.bold('processes')}  none seen lately`];
  const width = (of: (process: ProcessStatus) => string): number =>
    Math.max(...processes.map((one) => of(one).length));
  const [roles, owners] = [width((one) => one.role), width((one) => one.owner)];
  return [
    pc.bold('processes'),
    ...processes.map(({ role, owner, version, pipelines, started_at: started, seen_at: seen }) => {
      const silent =
        now - Date.parse(seen) > SILENT_MS ? pc.red(`silent since ${span(now - Date.parse(seen))}`) : 'alive';
      const up = `up ${span(now - Date.parse(started))}`;
      return `  ${role.padEnd(roles)}  ${owner.padEnd(owners)}  ${silent}, ${up}, version ${version}: ${pipelines.join(', ')}`;
    }),
  ];
}

function renderDependencies(dependencies: readonly Dependency[]): readonly string[] {
  const texts = dependencies.map(({ name, ok, code }) =>
    ok ? `${name} ok` : pc.red(`${name} ${code ?? UNKNOWN}`),
  );
  return [`${pc.bold('dependencies')}  ${texts.join(pc.dim(' · '))}`];
}

function ago(time: string, now: number): string {
  return `${span(now - Date.parse(time))} ago`;
}

function within(time: string, now: number): string {
  return `in ${span(Date.parse(time) - now)}`;
}

/** A time span for people, in its two largest units. */
export function span(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1_000));
  if (s < 60) return `${s} s`;
  if (s < 3_600) return two(s, 60, 'min', 1, 's');
  if (s < 86_400) return two(s, 3_600, 'h', 60, 'min');
  return two(s, 86_400, 'd', 3_600, 'h');
}

function two(s: number, big: number, bigName: string, small: number, smallName: string): string {
  const rest = Math.floor((s % big) / small);
  return `${Math.floor(s / big)} ${bigName}${rest > 0 ? ` ${rest} ${smallName}` : ''}`;
}
