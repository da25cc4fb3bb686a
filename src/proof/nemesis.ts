// Carries faults out, and keeps count of them.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Dice } from './dice.js';
import type { Fleet } from './fleet.js';
import type { Fault, RedisFault, SqsTrouble } from './plan.js';
import { redisCommand } from './redis-command.js';
import type { SqsFault } from './sqs-fault-proxy.js';
import type { ProofStack } from './stack.js';

/** When something was away, so that nobody else is blamed for it. */
export interface Outage {
  readonly what: string;
  readonly from: number;
  to: number | null;
}

/** Who is killed over and over while it starts never does anything that could go wrong. */
const READY_LIMIT_MS = 20_000;
/** A kill that is aimed waits so long for its victim to be in the middle of something. */
const AIM_LIMIT_MS = 1_500;
const AIM_POLL_MS = 5;
/** Troubled SQS fails about so many calls. */
const TROUBLED_SHARE = 0.5;

/** What makes things fail. */
export class Nemesis {
  readonly counts: { [kind: string]: number } = {};
  readonly outages: Outage[] = [];
  /** Kills of servers; those of processes are the fleet's. */
  serverKills = 0;
  readonly #fleet: Fleet;
  readonly #stack: ProofStack | null;
  readonly #dice: Dice;
  readonly #redeliver: (messages: number) => Promise<number>;
  /** What is under way, by what it is done to: one fault of a kind at a time. */
  readonly #busy = new Map<string, Promise<void>>();
  readonly #thaw = new Set<() => void>();

  constructor(
    fleet: Fleet,
    stack: ProofStack | null,
    dice: Dice,
    redeliver: (messages: number) => Promise<number>,
  ) {
    this.#fleet = fleet;
    this.#stack = stack;
    this.#dice = dice;
    this.#redeliver = redeliver;
  }

  /** Does it, or begins it: what lasts goes on by itself. */
  async strike(fault: Fault): Promise<void> {
    switch (fault.kind) {
      case 'kill':
        if (await this.#kill(fault)) this.#count(`killed_${fault.role}`);
        return;
      case 'freeze':
        return this.#start('freeze', () => this.#freeze(fault));
      case 'redis_killed':
      case 'redis_lost':
      case 'redis_flushed':
        return this.#start('redis', () => this.#redis(fault.kind));
      case 'postgres_crashed':
        return this.#start('postgres', () => this.#crashPostgres());
      case 'backends_terminated':
        return this.#terminateBackends();
      case 'cut': {
        const cut = this.#stack?.proxies[fault.dependency]?.cut() ?? 0;
        if (cut > 0) this.#count(`cut_${fault.dependency}`);
        return;
      }
      case 'network':
        return this.#start(`proxy ${fault.dependency}`, () => this.#network(fault));
      case 'sqs_errors':
        return this.#start('sqs', () => this.#troubleSqs(fault.how, fault.ms));
      case 'redelivered':
        this.#count('redelivered_messages', await this.#redeliver(fault.messages));
    }
  }

  /** Ends all that is under way; from here on nothing fails any more. */
  async heal(): Promise<void> {
    for (const thaw of this.#thaw) thaw();
    await Promise.all(this.#busy.values());
    const { postgres, redis, sqs } = this.#stack?.proxies ?? {};
    for (const proxy of [postgres, redis, sqs]) await proxy?.set({ kind: 'pass' });
  }

  #count(kind: string, by = 1): void {
    if (by > 0) this.counts[kind] = (this.counts[kind] ?? 0) + by;
  }

  /** One thing at a time fails in one way; what would be the second is left out. */
  #start(what: string, work: () => Promise<void>): void {
    if (this.#busy.has(what)) return;
    // A fault that can't be carried out is none: the server may be away by another.
    const done = work()
      .catch(() => this.#count('not_carried_out'))
      .finally(() => this.#busy.delete(what));
    this.#busy.set(what, done);
  }

  async #during(what: string, work: () => Promise<void>): Promise<void> {
    const outage: Outage = { what, from: Date.now(), to: null };
    this.outages.push(outage);
    try {
      await work();
    } finally {
      outage.to = Date.now();
    }
  }

  async #kill({ role, slot, isAimed }: Fault & { readonly kind: 'kill' }): Promise<boolean> {
    await until(() => this.#fleet.isReady(role, slot), READY_LIMIT_MS);
    const isAtWork = (): boolean => {
      const { batchIds, messages } = this.#fleet.unfinished(role, slot);
      return batchIds.length > 0 || messages > 0;
    };
    if (isAimed) await until(isAtWork, AIM_LIMIT_MS);
    return this.#fleet.kill(role, slot);
  }

  async #freeze({ role, slot, ms }: Fault & { readonly kind: 'freeze' }): Promise<void> {
    const thaw = this.#fleet.freeze(role, slot);
    if (thaw === null) return;
    this.#count(`frozen_${role}`);
    const over = new AbortController();
    const end = (): void => over.abort();
    this.#thaw.add(end);
    // What it holds waits with it.
    await this.#during('frozen', () => delay(ms, undefined, { signal: over.signal }).catch(() => undefined));
    this.#thaw.delete(end);
    thaw();
  }

  async #redis(kind: RedisFault): Promise<void> {
    const { redis, dir } = this.#stack ?? {};
    if (!redis || dir === undefined) return;
    if (kind === 'redis_flushed') {
      await redisCommand(redis.port, 'FLUSHALL');
      this.#count(kind);
      this.outages.push({ what: kind, from: Date.now(), to: Date.now() });
      return;
    }
    await this.#during(kind, async () => {
      await redis.kill();
      this.#count(kind);
      this.serverKills += 1;
      // As when the disk is lost, or the server that takes over has not got it all.
      if (kind === 'redis_lost')
        rmSync(join(dir, 'redis', 'appendonlydir'), { recursive: true, force: true });
      await redis.restart();
    });
  }

  async #crashPostgres(): Promise<void> {
    await this.#during('postgres_crashed', async () => {
      await this.#stack?.postgres.restart({ mode: 'immediate' });
      this.#count('postgres_crashed');
      this.serverKills += 1;
    });
  }

  async #terminateBackends(): Promise<void> {
    // Fails while the server is away, and is then left out.
    const result = await this.#stack?.pool
      .query<{ n: number }>(
        `select count(pg_terminate_backend(pid))::int as n from pg_stat_activity
          where datname = current_database() and pid <> pg_backend_pid() and application_name <> 'torture'`,
      )
      .catch(() => null);
    if ((result?.rows[0]?.n ?? 0) > 0) this.#count('backends_terminated');
  }

  async #network({ dependency, fault, ms }: Fault & { readonly kind: 'network' }): Promise<void> {
    const proxy = this.#stack?.proxies[dependency];
    if (!proxy) return;
    await this.#during(`${fault.kind} ${dependency}`, async () => {
      await proxy.set(fault);
      this.#count(`${fault.kind}_${dependency}`);
      await delay(ms);
      await proxy.set({ kind: 'pass' });
    });
  }

  async #troubleSqs(how: SqsTrouble, ms: number): Promise<void> {
    const calls = this.#stack?.sqsCalls;
    if (!calls) return;
    await this.#during(`sqs ${how}`, async () => {
      calls.fault = () => {
        if (!this.#dice.chance(TROUBLED_SHARE)) return null;
        this.#count(`sqs_${how}`);
        return sqsFault(how);
      };
      await delay(ms);
      calls.fault = () => null;
    });
  }
}

async function until(isSo: () => boolean, limitMs: number): Promise<void> {
  const giveUpAt = Date.now() + limitMs;
  while (!isSo() && Date.now() < giveUpAt) await delay(AIM_POLL_MS);
}

function sqsFault(how: SqsTrouble): SqsFault {
  switch (how) {
    case 'internal_error':
      return { kind: 'error', status: 500, type: 'com.amazonaws.sqs#InternalError' };
    case 'throttled':
      return { kind: 'error', status: 400, type: 'com.amazonaws.sqs#ThrottlingException' };
    case 'answer_lost':
      return { kind: 'lost_answer' };
    case 'connection_reset':
      return { kind: 'reset' };
    case 'entries_failed':
      return {
        kind: 'fail_entries',
        code: 'InternalError',
        ids: (ids) => ids.filter((_, index) => index % 2 === 0),
      };
  }
}

/** Whether anything was away within a span of time. */
export function wasDisturbed(outages: readonly Outage[], from: number, to: number): boolean {
  return outages.some((outage) => outage.from < to && (outage.to ?? Infinity) > from);
}
