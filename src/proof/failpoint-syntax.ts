// MASKLINE_FAILPOINTS: entries separated by `;`.
//
//   POINT=ACTION[@WHEN]   at this point do that, e.g. `load.committed=crash@1%` or `ack.before=freeze(2s)@every:3`
//   seed=N                makes the probabilities the same at every start; default 0
//   journal=FILE          appends a line for each passage of any point: epoch ms, point, batch id or -, count
//
// ACTION: `crash` ends the process by SIGKILL; `freeze(2s)` holds up all of the process, `delay(200ms)` only the one
// call; `throw(redis_unavailable)` fails the call with that error code. WHEN: `once`, `at:N` (the N-th passage),
// `every:N`, or `P%`; without it, always.

import { PipelineError } from '../errors.js';
import { isErrorCode } from '../policy.js';

/** Every point of the flow that can be made to fail: before and after each call of a port, and within a commit. */
export const failpointNames = [
  'receive.before',
  'receive.after',
  'add_batch.before',
  'add_batch.after',
  'transform.before',
  'transform.after',
  'mask.before',
  'mask.after',
  'add_masked.before',
  'add_masked.after',
  'load.before',
  'load.after',
  'commit.before',
  'commit.after',
  'load.begun',
  'load.ledger',
  'load.copied',
  'load.decided',
  'load.committed',
  'states.before',
  'states.after',
  'fates.before',
  'fates.after',
  'let_go.before',
  'let_go.after',
  'ack.before',
  'ack.after',
  'release.before',
  'release.after',
  'reveal.recorded',
] as const;

/** One of `failpointNames`. `load.committed` is after COMMIT and before anyone knows. */
export type FailpointName = (typeof failpointNames)[number];

/** Masking is one synchronous call. */
const SYNCHRONOUS: readonly FailpointName[] = ['mask.before', 'mask.after'];

/** What happens at a point. */
export type FailpointAction =
  | { readonly kind: 'crash' }
  | { readonly kind: 'freeze' | 'delay'; readonly ms: number }
  | { readonly kind: 'throw'; readonly code: Parameters<typeof isErrorCode>[0] };

/** At which of its passages. */
export type FailpointTrigger =
  | { readonly kind: 'always' }
  | { readonly kind: 'at' | 'every'; readonly n: number }
  | { readonly kind: 'probability'; readonly p: number };

/** One armed point. */
export interface Failpoint {
  readonly point: FailpointName;
  readonly action: FailpointAction;
  readonly trigger: FailpointTrigger;
}

/** What MASKLINE_FAILPOINTS says. */
export interface FailpointPlan {
  readonly failpoints: readonly Failpoint[];
  readonly seed: number;
  readonly journal: string | null;
}

/** Reads the text. Throws `usage`, naming the entry that is wrong and what it might be. */
export function parseFailpoints(text: string): FailpointPlan {
  const failpoints: Failpoint[] = [];
  let seed = 0;
  let journal: string | null = null;
  for (const entry of text.split(';').map((each) => each.trim())) {
    if (entry === '') continue;
    const at = entry.indexOf('=');
    const name = entry.slice(0, Math.max(0, at));
    const value = entry.slice(at + 1);
    if (name === 'journal') journal = value;
    else if (name === 'seed') seed = count(value, entry);
    else failpoints.push(failpoint(name, value, entry));
  }
  return { failpoints, seed, journal };
}

function failpoint(name: string, value: string, entry: string): Failpoint {
  const point = failpointNames.find((known) => known === name);
  if (point === undefined) {
    throw wrong(entry, `there is no such point; there are ${failpointNames.join(', ')}`);
  }
  const [what = '', when] = value.split('@', 2);
  const action = actionOf(what, entry);
  if (action.kind === 'delay' && SYNCHRONOUS.includes(point)) {
    throw wrong(entry, 'masking is not a call that can wait; use freeze');
  }
  return { point, action, trigger: when === undefined ? { kind: 'always' } : triggerOf(when, entry) };
}

function actionOf(text: string, entry: string): FailpointAction {
  const match = /^(crash|freeze|delay|throw)(?:\(([^()]*)\))?$/.exec(text);
  const argument = match?.[2];
  switch (match?.[1]) {
    case 'crash':
      if (argument === undefined) return { kind: 'crash' };
      break;
    case 'freeze':
    case 'delay': {
      const duration = /^(\d{1,6})(ms|s)$/.exec(argument ?? '');
      if (!duration) break;
      const ms = Number(duration[1]) * (duration[2] === 's' ? 1_000 : 1);
      return { kind: match[1] === 'freeze' ? 'freeze' : 'delay', ms };
    }
    case 'throw':
      if (argument !== undefined && isErrorCode(argument)) return { kind: 'throw', code: argument };
      break;
    default:
  }
  throw wrong(
    entry,
    'the action must be crash, freeze(2s), delay(200ms) or throw(CODE) with one of our error codes',
  );
}

function triggerOf(text: string, entry: string): FailpointTrigger {
  if (text === 'once') return { kind: 'at', n: 1 };
  const counted = /^(at|every):(\d{1,9})$/.exec(text);
  if (counted && Number(counted[2]) > 0) {
    return { kind: counted[1] === 'at' ? 'at' : 'every', n: Number(counted[2]) };
  }
  const percent = /^(\d{1,3}(?:\.\d{1,6})?)%$/.exec(text);
  if (percent && Number(percent[1]) <= 100) return { kind: 'probability', p: Number(percent[1]) / 100 };
  throw wrong(entry, 'what follows @ must be once, at:N, every:N or P%');
}

function count(text: string, entry: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw wrong(entry, 'it must be a whole number');
}

function wrong(entry: string, why: string): PipelineError {
  return new PipelineError('usage', `MASKLINE_FAILPOINTS: ${entry}: ${why}`);
}
