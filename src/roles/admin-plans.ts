// What an action from the admin page would do, said before it is done.

import type { PipelineConfig } from '../config/config.js';
import type { ProcessRecord } from '../load/processes.js';
import type { Steering } from '../load/schedules.js';
import type { ActionPlan, ActionRequest } from '../ops/admin/actions.js';
import type { FailedEntry } from './failed.js';
import { pausedUntil } from './slots.js';

/** SQS keeps a message for four days unless its queue is told otherwise (AWS docs, MessageRetentionPeriod). */
const SQS_DEFAULT_RETENTION_MS = 4 * 86_400_000;

const NO_KEYS =
  'this process has no keys. Use the command where they are, or give this process the keyring and its KEK';

/** A retry of these failed jobs. */
export function planRetry(
  request: ActionRequest,
  entries: readonly FailedEntry[],
  { hasKeys, live }: { readonly hasKeys: boolean; readonly live: readonly ProcessRecord[] },
): ActionPlan {
  const missing = (['transform', 'load'] as const).filter(
    (role) =>
      (role === 'load' || entries.some(({ stage }) => stage === 'transform')) &&
      !live.some((one) => [role, 'all'].includes(one.role) && one.pipelines.includes(request.pipeline)),
  );
  const noWorkers =
    missing.length === 0
      ? null
      : `no process for ${missing.join(' and ')} has been seen lately: start one, or use the command, which brings its own workers`;
  return {
    title: `Retry ${jobs(entries)}`,
    effect: [
      `${jobs(entries)} of ${request.pipeline} with ${records(entries)} ${isOrAre(entries)} loaded once more, as a run.`,
      'What SQS has brought back meanwhile counts as duplicate: no row is loaded twice.',
      'A job goes from the queue when its batch is committed, or has failed again under a new id.',
    ],
    command: failedCommand('retry', request),
    refusal: noJobs(entries) ?? (hasKeys ? noWorkers : NO_KEYS),
  };
}

/** A removal of these failed jobs. */
export function planDiscard(
  request: ActionRequest,
  entries: readonly FailedEntry[],
  now: number,
): ActionPlan {
  const old = entries.filter(({ addedAt }) => now - addedAt > SQS_DEFAULT_RETENTION_MS).length;
  return {
    title: `Discard ${jobs(entries)}`,
    effect: [
      `${jobs(entries)} of ${request.pipeline} with ${records(entries)} ${isOrAre(entries)} removed from the queue.`,
      'Their messages stay: SQS hands them out again, or has moved them to its dead-letter queue.',
      ...(old === 0
        ? []
        : [
            `${old} of them are older than 4 days, after which SQS drops messages unless the queue keeps them for longer: they may be the last copy, and a retry loads whatever is not loaded yet.`,
          ]),
    ],
    command: failedCommand('discard', request),
    refusal: noJobs(entries),
  };
}

/** A replay of so many quarantine entries. */
export function planReplay({ pipeline, code }: ActionRequest, count: number, hasKeys: boolean): ActionPlan {
  const these = count === 1 ? '1 record' : `${count} records`;
  const empty = count === 0 ? 'nothing of it is in quarantine any more' : null;
  return {
    title: `Replay ${these}`,
    effect: [
      `${these} of ${pipeline} in quarantine as ${code} ${count === 1 ? 'goes' : 'go'} through the masks and columns of today, as a run.`,
      'Each is loaded once at most, however often it is replayed.',
      'What still cannot be loaded stays, under its present cause. `--dry-run` of the command tells how many that would be.',
    ],
    command: `maskline quarantine replay --all -p ${pipeline} --code ${code}`,
    refusal: empty ?? (hasKeys ? null : NO_KEYS),
  };
}

/** A pause, its end, or a run now. */
export function planSteering(
  { action, pipeline }: ActionRequest,
  { schedule }: Pick<PipelineConfig, 'schedule'>,
  { schedule: state, breaker }: Steering,
  now: number,
): ActionPlan {
  const isOpen = breaker.state === 'open';
  const isPaused = state.pausedAt !== null;
  const unscheduled =
    schedule === null ? `it has no schedule: only \`maskline drain ${pipeline}\` runs it` : null;
  if (action === 'pause') {
    return {
      title: `Pause ${pipeline}`,
      effect: [
        'No run begins until it is resumed; the one under way finishes.',
        'Messages wait in SQS meanwhile, which drops them when its retention ends.',
      ],
      command: `maskline schedule pause ${pipeline}`,
      refusal: unscheduled ?? (isPaused ? 'it is paused already' : null),
    };
  }
  if (action === 'resume') {
    const causes = [
      ...(isOpen
        ? [`The breaker closes, which is open since ${breaker.reason ?? 'no reason was given'}.`]
        : []),
      ...(isPaused ? [`The pause ends (${state.reason ?? 'no reason was given'}).`] : []),
    ];
    return {
      title: isOpen ? `Close the breaker of ${pipeline}` : `Resume ${pipeline}`,
      effect: [
        ...causes,
        'Runs begin again by the schedule. If the cause is not mended, the breaker opens again.',
      ],
      command: `maskline schedule resume ${pipeline}`,
      refusal: isOpen || isPaused ? null : 'it is neither paused nor is its breaker open',
    };
  }
  const held = isOpen ? 'its breaker is open' : isPaused ? 'it is paused' : null;
  const rests = schedule && pausedUntil(schedule, now) !== null ? 'its schedule has a pause now' : null;
  const isContinuous = schedule?.kind === 'continuous' ? 'it runs all the time' : null;
  return {
    title: `Run ${pipeline} now`,
    effect: [
      'An ingester begins a run within a few seconds, or when the run under way has ended.',
      'The schedule stays as it is.',
    ],
    command: `maskline schedule run ${pipeline}`,
    refusal: unscheduled ?? isContinuous ?? held ?? rests,
  };
}

function failedCommand(verb: 'retry' | 'discard', { pipeline, code, ids }: ActionRequest): string {
  if (ids !== null) return `maskline failed ${verb} ${ids.join(' ')}`;
  return `maskline failed ${verb} --all -p ${pipeline}${code === null ? '' : ` --code ${code}`}`;
}

function noJobs({ length }: readonly FailedEntry[]): string | null {
  return length === 0 ? 'there is no such failed job any more: it was retried or discarded meanwhile' : null;
}

function jobs({ length }: readonly FailedEntry[]): string {
  return length === 1 ? '1 failed job' : `${length} failed jobs`;
}

function isOrAre({ length }: readonly FailedEntry[]): string {
  return length === 1 ? 'is' : 'are';
}

function records(entries: readonly FailedEntry[]): string {
  const count = entries.reduce((sum, { payload }) => sum + (payload.records ?? 0), 0);
  return count === 1 ? '1 record' : `${count} records`;
}
