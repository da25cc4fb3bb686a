// Which fault comes next: all of it from the seed.

import type { Dice } from './dice.js';
import type { FailpointName } from './failpoint-syntax.js';
import type { ProxyFault } from './fault-proxy.js';
import type { FleetRole } from './fleet.js';

/** Which way a run goes about it: everything, or kills between COMMIT and ack only. */
export const profiles = ['storm', 'committed'] as const;

/** One of `profiles`. */
export type Profile = (typeof profiles)[number];

/** A server behind its proxy. */
export type Dependency = 'postgres' | 'redis' | 'sqs';

/** One thing that goes wrong. */
export type Fault =
  | { readonly kind: 'kill'; readonly role: FleetRole; readonly slot: number; readonly isAimed: boolean }
  | { readonly kind: 'freeze'; readonly role: FleetRole; readonly slot: number; readonly ms: number }
  | { readonly kind: RedisFault }
  | { readonly kind: 'postgres_crashed' | 'backends_terminated' }
  | { readonly kind: 'cut'; readonly dependency: Dependency }
  | {
      readonly kind: 'network';
      readonly dependency: Dependency;
      readonly fault: ProxyFault;
      readonly ms: number;
    }
  | { readonly kind: 'sqs_errors'; readonly how: SqsTrouble; readonly ms: number }
  | { readonly kind: 'redelivered'; readonly messages: number };

/** Killed and restarted; emptied; killed, its files removed, and restarted. */
export type RedisFault = 'redis_killed' | 'redis_flushed' | 'redis_lost';

/** What SQS answers for a while, to about half of the calls. */
export type SqsTrouble =
  'internal_error' | 'throttled' | 'answer_lost' | 'connection_reset' | 'entries_failed';

/** What there is to fail. */
export interface Theatre {
  readonly sizes: Readonly<{ [role in FleetRole]: number }>;
  /** Empty: only processes are killed and frozen, as in a deployment that is not the run's own. */
  readonly dependencies: readonly Dependency[];
  /** Whether freezes and outages are to be short, so that a short run is. */
  readonly isShort: boolean;
}

/** Loaders most: what they do is what must not be done twice. */
const ROLE_WEIGHTS = [
  ['ingest', 2],
  ['transform', 3],
  ['load', 4],
] as const;

type Kind = Exclude<Fault['kind'], 'network'> | ProxyFault['kind'];

const WEIGHTS: readonly (readonly [kind: Kind, weight: number, of: Dependency | null])[] = [
  ['kill', 50, null],
  ['freeze', 7, null],
  ['redis_killed', 5, 'redis'],
  ['redis_flushed', 4, 'redis'],
  ['redis_lost', 2, 'redis'],
  ['postgres_crashed', 5, 'postgres'],
  ['backends_terminated', 5, 'postgres'],
  ['cut', 7, 'sqs'],
  ['refuse', 3, 'sqs'],
  ['black_hole', 3, 'sqs'],
  ['one_way', 4, 'sqs'],
  ['slow', 3, 'sqs'],
  ['cut_answers', 4, 'sqs'],
  ['sqs_errors', 6, 'sqs'],
  ['redelivered', 8, 'sqs'],
];

/** The next fault. */
export function drawFault(dice: Dice, { sizes, dependencies, isShort }: Theatre): Fault {
  const possible = WEIGHTS.filter(([, , of]) => of === null || dependencies.includes(of));
  const kind = dice.weighted(possible.map(([each, weight]) => [each, weight] as const));
  const role = dice.weighted(ROLE_WEIGHTS);
  const slot = dice.between(0, sizes[role] - 1);
  switch (kind) {
    case 'kill':
      return { kind, role, slot, isAimed: dice.chance(0.7) };
    case 'freeze':
      return { kind, role, slot, ms: freezeMs(dice, isShort) };
    case 'redis_killed':
    case 'redis_flushed':
    case 'redis_lost':
    case 'postgres_crashed':
    case 'backends_terminated':
      return { kind };
    case 'cut':
      return { kind, dependency: dice.pick(dependencies) };
    case 'sqs_errors':
      return { kind, how: dice.pick(SQS_TROUBLES), ms: outageMs(dice, isShort) };
    case 'redelivered':
      return { kind, messages: dice.between(1, 50) };
    default:
      return {
        kind: 'network',
        dependency: dice.pick(dependencies),
        fault: proxyFault(dice, kind),
        ms: outageMs(dice, isShort),
      };
  }
}

const SQS_TROUBLES: readonly SqsTrouble[] = [
  'internal_error',
  'throttled',
  'answer_lost',
  'connection_reset',
  'entries_failed',
];

function proxyFault(dice: Dice, kind: ProxyFault['kind']): ProxyFault {
  switch (kind) {
    case 'one_way':
      return { kind, lost: dice.chance(0.7) ? 'answers' : 'requests' };
    case 'slow':
      return { kind, ms: dice.between(20, 200) };
    case 'cut_answers':
      return { kind, bytes: dice.between(1, 2_000) };
    default:
      return { kind };
  }
}

/** Mostly moments, at times longer than a lock lasts. */
function freezeMs(dice: Dice, isShort: boolean): number {
  if (isShort) return dice.between(1_000, 3_000);
  return dice.chance(0.7) ? dice.between(1_000, 4_000) : dice.between(4_000, 20_000);
}

function outageMs(dice: Dice, isShort: boolean): number {
  return isShort ? dice.between(300, 1_500) : dice.between(500, 4_000);
}

/** Points of each role at which a process may be made to end itself. */
const POINTS: Readonly<{ [role in FleetRole]: readonly FailpointName[] }> = {
  ingest: [
    'receive.after',
    'add_batch.before',
    'add_batch.after',
    'fates.after',
    'let_go.before',
    'let_go.after',
    'ack.before',
    'ack.after',
    'release.before',
    'release.after',
  ],
  transform: ['transform.before', 'mask.after', 'add_masked.before', 'add_masked.after', 'transform.after'],
  load: [
    'load.before',
    'load.begun',
    'load.ledger',
    'load.copied',
    'load.decided',
    'load.committed',
    'load.committed',
    'load.committed',
    'commit.after',
    'load.after',
  ],
};
const ARMED_SHARE = 0.4;
const MAX_PASSAGES = { storm: 5, committed: 3 } as const;

/** The failpoints of one life of a process, in the syntax of MASKLINE_FAILPOINTS; empty: none. */
export function armLife(dice: Dice, role: FleetRole, profile: Profile): string {
  const at = dice.between(1, MAX_PASSAGES[profile]);
  if (profile === 'committed') return role === 'load' ? `load.committed=crash@at:${at}` : '';
  return dice.chance(ARMED_SHARE) ? `${dice.pick(POINTS[role])}=crash@at:${at}` : '';
}
