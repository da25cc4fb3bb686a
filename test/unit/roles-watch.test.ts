import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '../../src/clock.js';
import { PipelineError } from '../../src/errors.js';
import type { LogFields } from '../../src/ops/log-fields.js';
import { Loops, type Need, type Watch, isSilence, startWatch } from '../../src/roles/watch.js';

const LIMIT_MS = 90_000;
const LOOK_MS = 30_000;
const never = new Promise<never>(() => undefined);
const silence = new PipelineError('redis_unavailable', 'no answer');

/** Time that passes when the test says so; who sleeps is woken when it is due. */
class HandTime implements Clock {
  #now = 1_000;
  #sleepers: { readonly at: number; readonly wake: () => void }[] = [];

  readonly now = (): number => this.#now;
  readonly elapsed = (): number => this.#now;
  readonly random = (): number => 0;
  readonly id = (): string => '';

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      this.#sleepers.push({ at: this.#now + ms, wake });
      signal?.addEventListener('abort', wake);
    });
  }

  async pass(ms: number): Promise<void> {
    const until = this.#now + ms;
    while (this.#now < until) {
      this.#now = Math.min(until, this.#now + 1_000);
      const due = this.#sleepers.filter(({ at }) => at <= this.#now);
      this.#sleepers = this.#sleepers.filter(({ at }) => at > this.#now);
      for (const { wake } of due) wake();
      // What was woken goes on until it sleeps again.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

function rig() {
  const time = new HandTime();
  const loops = new Loops(time);
  const away = new Set<Need>();
  const asked: Need[] = [];
  const lines: LogFields[] = [];
  const watch = startWatch({
    loops,
    clock: time,
    everyMs: LOOK_MS,
    log: { error: (fields) => lines.push(fields) },
    answers: async (need) => {
      asked.push(need);
      return !away.has(need);
    },
  });
  return { time, loops, away, asked, lines, watch };
}

async function isHung(watch: Watch): Promise<boolean> {
  return Promise.race([watch.hung.then(() => true), new Promise<false>((r) => setImmediate(() => r(false)))]);
}

test('a loop at rest is never overdue; one whose turn goes on and on is, though others of its turns end', async () => {
  const { time, loops, watch, asked } = rig();
  const loop = loops.watch({ name: 'statements', need: 'postgres', limitMs: LIMIT_MS });
  await time.pass(10 * LIMIT_MS);
  assert.deepEqual([loop.isOverdue, asked], [false, []]);
  void loop.turn(() => never);
  await time.pass(LIMIT_MS);
  await loop.turn(async () => 1);
  assert.equal(loop.isOverdue, false);
  await time.pass(1_000);
  await loop.turn(async () => 1);
  assert.equal(loop.isOverdue, true);
  await watch.stop();
});

test('a call that never ends hangs when new connections are answered, which is told by name at the second look', async () => {
  const { time, loops, lines, watch } = rig();
  const hanging = loops.watch({ name: 'receive logins', need: 'sqs logins', limitMs: LIMIT_MS });
  const turning = loops.watch({ name: 'statements', need: 'postgres', limitMs: LIMIT_MS });
  void hanging.turn(() => never);
  for (let at = 0; at <= LIMIT_MS + 2 * LOOK_MS; at += 1_000) {
    await turning.turn(async () => 1);
    await time.pass(1_000);
    if (at <= LIMIT_MS + LOOK_MS) assert.deepEqual([await isHung(watch), loops.hung], [false, []]);
  }
  assert.equal(await isHung(watch), true);
  assert.deepEqual(loops.hung, ['receive logins']);
  assert.equal(lines.length, 1);
  assert.equal(lines[0]?.event, 'hung');
  assert.deepEqual(lines[0]?.loops, ['receive logins']);
  assert.ok(Number(lines[0]?.ms) > LIMIT_MS && lines[0]?.remedy);
  await watch.stop();
});

test('a client that gets no answer, try after try, while new connections are answered, hangs', async () => {
  const { time, loops, watch } = rig();
  const loop = loops.watch({ name: 'queue load.logins', need: 'queue', limitMs: LIMIT_MS });
  for (let at = 0; at < LIMIT_MS + 2 * LOOK_MS; at += 5_000) {
    await assert.rejects(loop.turn(() => Promise.reject(silence)));
    await time.pass(5_000);
  }
  assert.equal(await isHung(watch), true);
  await watch.stop();
});

test('an outage of an hour, and what it takes to get on after it, hangs nothing', async () => {
  const { time, loops, away, asked, watch } = rig();
  const trying = loops.watch({ name: 'statements', need: 'postgres', limitMs: LIMIT_MS });
  const waiting = loops.watch({ name: 'load logins', need: 'postgres', limitMs: LIMIT_MS });
  away.add('postgres');
  let done: () => void = () => undefined;
  const handled = waiting.turn(() => new Promise<void>((resolve) => (done = resolve)));
  for (let at = 0; at < 3_600_000; at += 5_000) {
    await assert.rejects(trying.turn(() => Promise.reject(silence)));
    await time.pass(5_000);
  }
  assert.ok(asked.length > 100, 'nobody looked');
  away.clear();
  // The longest pause between two tries, and a turn that is as long as it may be.
  await time.pass(20_000);
  await trying.turn(async () => 1);
  await time.pass(LIMIT_MS - 25_000);
  assert.equal(await isHung(watch), false);
  done();
  await handled;
  await time.pass(10 * LIMIT_MS);
  assert.deepEqual([await isHung(watch), loops.hung], [false, []]);
  await watch.stop();
});

test('what still hangs when an outage is over is told, once it had the time of a turn', async () => {
  const { time, loops, away, watch } = rig();
  const loop = loops.watch({ name: 'fetch load.logins', need: 'queue', limitMs: LIMIT_MS });
  away.add('queue');
  void loop.begin();
  await time.pass(600_000);
  away.clear();
  await time.pass(LIMIT_MS - LOOK_MS);
  assert.equal(await isHung(watch), false);
  await time.pass(3 * LOOK_MS);
  assert.equal(await isHung(watch), true);
  await watch.stop();
});

test('whoever got no answer and asks no more is at rest, and starts anew when it asks again', async () => {
  const { time, loops, watch } = rig();
  const loop = loops.watch({ name: 'receive logins', need: 'sqs logins', limitMs: LIMIT_MS });
  await assert.rejects(loop.turn(() => Promise.reject(silence)));
  await time.pass(3_600_000);
  assert.equal(loop.isOverdue, false);
  void loop.begin();
  assert.equal(loop.isOverdue, false);
  await watch.stop();
});

test('a turn is ended once; it may end late without a trace', async () => {
  const { loops, watch } = rig();
  const loop = loops.watch({ name: 'fetch load.logins', need: 'queue', limitMs: LIMIT_MS });
  const [one, other] = [loop.begin(), loop.begin()];
  one();
  one('silent');
  assert.notEqual(loop.stalledSince, null);
  other();
  assert.equal(loop.stalledSince, null);
  await watch.stop();
});

test('an outage without an answer is silence; an error answer of Postgres, Redis or SQS is a sign of life', () => {
  const outage = (cause: unknown) => new PipelineError('postgres_unavailable', 'away', { cause });
  const coded = (code: string) => Object.assign(new Error('x'), { code });
  const named = (name: string, more = {}) => Object.assign(new Error('x'), { name, ...more });
  for (const silent of [
    undefined,
    coded('ECONNREFUSED'),
    coded('EPIPE'),
    named('TimedOut'),
    named('TimeoutError', { $metadata: { attempts: 3 } }),
  ]) {
    assert.equal(isSilence(outage(silent)), true, JSON.stringify(silent));
  }
  for (const answer of [
    coded('25006'),
    coded('53100'),
    coded('57P03'),
    named('ReplyError'),
    named('ThrottlingException', { $metadata: { httpStatusCode: 400 } }),
    outage(coded('55P03')),
  ]) {
    assert.equal(isSilence(outage(answer)), false, JSON.stringify(answer));
  }
  // What no outage is was answered, or never asked.
  assert.equal(isSilence(new PipelineError('permission_denied', 'no')), false);
  assert.equal(isSilence(new Error('x')), false);
});
