import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { parseFailpoints } from '../../src/proof/failpoint-syntax.js';
import { Failpoints, readFailpoints } from '../../src/proof/failpoints.js';
import { readJournal } from '../../src/proof/journal.js';

const dir = mkdtempSync(join(tmpdir(), 'maskline-failpoints-'));
after(() => rmSync(dir, { recursive: true, force: true }));

const points = (text: string): Failpoints => new Failpoints(parseFailpoints(text));

/** At which of so many passages it throws. */
async function thrownAt(failpoints: Failpoints, passages: number): Promise<readonly number[]> {
  const thrown: number[] = [];
  for (let n = 1; n <= passages; n += 1) {
    await failpoints.pass('ack.before').catch((error: unknown) => {
      assert.equal((error as { code?: unknown }).code, 'sqs_unavailable');
      thrown.push(n);
    });
  }
  return thrown;
}

describe('MASKLINE_FAILPOINTS', () => {
  test('is read: points, actions, when they act, seed and journal', () => {
    const plan = parseFailpoints(
      'load.committed=crash@1%; ack.before=freeze(2s)@every:3;fates.after=delay(20ms)@at:7;' +
        'add_batch.before=throw(redis_unavailable)@once;mask.after=crash;seed=42;journal=/tmp/j=1',
    );
    assert.deepEqual(plan, {
      failpoints: [
        { point: 'load.committed', action: { kind: 'crash' }, trigger: { kind: 'probability', p: 0.01 } },
        { point: 'ack.before', action: { kind: 'freeze', ms: 2_000 }, trigger: { kind: 'every', n: 3 } },
        { point: 'fates.after', action: { kind: 'delay', ms: 20 }, trigger: { kind: 'at', n: 7 } },
        {
          point: 'add_batch.before',
          action: { kind: 'throw', code: 'redis_unavailable' },
          trigger: { kind: 'at', n: 1 },
        },
        { point: 'mask.after', action: { kind: 'crash' }, trigger: { kind: 'always' } },
      ],
      seed: 42,
      journal: '/tmp/j=1',
    });
  });

  for (const [text, why] of [
    ['load.comitted=crash', /no such point; there are .*load\.committed/],
    ['load.committed', /no such point/],
    ['load.committed=boom', /the action must be/],
    ['load.committed=freeze', /the action must be/],
    ['load.committed=crash(1s)', /the action must be/],
    ['load.committed=throw(nothing_of_ours)', /the action must be/],
    ['load.committed=crash@sometimes', /what follows @/],
    ['load.committed=crash@101%', /what follows @/],
    ['load.committed=crash@every:0', /what follows @/],
    ['mask.before=delay(1s)', /can wait; use freeze/],
    ['seed=x', /whole number/],
  ] as const) {
    test(`is refused, and told why: ${text}`, () => {
      assert.throws(() => parseFailpoints(text), { code: 'usage', message: why });
    });
  }

  test('works only where it is allowed, and is nothing where it is not set', () => {
    assert.equal(readFailpoints({}), null);
    assert.equal(readFailpoints({ MASKLINE_FAILPOINTS: '' }), null);
    const set = { MASKLINE_FAILPOINTS: 'ack.before=crash' };
    assert.throws(() => readFailpoints(set), { code: 'usage', message: /MASKLINE_ALLOW_FAILPOINTS=1/ });
    assert.throws(() => readFailpoints({ ...set, MASKLINE_ALLOW_FAILPOINTS: 'true' }), { code: 'usage' });
    assert.deepEqual(readFailpoints({ ...set, MASKLINE_ALLOW_FAILPOINTS: '1' })?.points, ['ack.before']);
  });
});

describe('a failpoint', () => {
  test('acts always, at one passage, or at every n-th', async () => {
    assert.deepEqual(await thrownAt(points('ack.before=throw(sqs_unavailable)'), 3), [1, 2, 3]);
    assert.deepEqual(await thrownAt(points('ack.before=throw(sqs_unavailable)@once'), 5), [1]);
    assert.deepEqual(await thrownAt(points('ack.before=throw(sqs_unavailable)@at:4'), 9), [4]);
    assert.deepEqual(await thrownAt(points('ack.before=throw(sqs_unavailable)@every:3'), 9), [3, 6, 9]);
  });

  test('acts with a probability that is the same for the same seed', async () => {
    const text = 'ack.before=throw(sqs_unavailable)@25%';
    const first = await thrownAt(points(`${text};seed=7`), 400);
    assert.deepEqual(await thrownAt(points(`${text};seed=7`), 400), first);
    assert.notDeepEqual(await thrownAt(points(`${text};seed=8`), 400), first);
    assert.ok(first.length > 60 && first.length < 140, `${first.length} of 400`);
  });

  test('holds up one call by a delay, and the whole process by a freeze', async () => {
    const failpoints = points('ack.before=delay(50ms);fates.before=freeze(50ms)');
    const startedAt = performance.now();
    await failpoints.pass('ack.before');
    assert.ok(performance.now() - startedAt >= 45);
    let ticks = 0;
    const timer = setInterval(() => (ticks += 1), 1);
    failpoints.passSync('fates.before');
    assert.equal(ticks, 0);
    clearInterval(timer);
  });

  test('leaves others alone, and tells of none that only a journal is kept of', async () => {
    const failpoints = points('load.committed=throw(unexpected)');
    await failpoints.pass('ack.before');
    assert.deepEqual(points(`journal=${join(dir, 'none')}`).points, []);
  });
});

describe('the journal', () => {
  test('tells what a process was at: batches in hand, messages held, and the last point', async () => {
    const file = join(dir, 'journal');
    const failpoints = points(`journal=${file}`);
    await failpoints.pass('receive.after', { count: 10 });
    await failpoints.pass('load.before', { batchId: 'a' });
    await failpoints.pass('load.before', { batchId: 'b' });
    await failpoints.pass('load.after', { batchId: 'a' });
    await failpoints.pass('ack.after', { count: 4 });
    failpoints.note('transform.failed', { batchId: 'c' });
    assert.deepEqual(readJournal(file), { batchIds: ['b'], messages: 6, lastPoint: 'transform.failed' });
    assert.match(readFileSync(file, 'utf8').split('\n')[1] ?? '', /^\d{13} load\.before a 1$/);
  });

  test('a batch whose end is the last thing on record may not be known to be done', async () => {
    const file = join(dir, 'ending');
    const failpoints = points(`journal=${file}`);
    await failpoints.pass('load.before', { batchId: 'a' });
    await failpoints.pass('load.after', { batchId: 'a' });
    assert.deepEqual(readJournal(file).batchIds, ['a']);
    await failpoints.pass('load.before', { batchId: 'b' });
    assert.deepEqual(readJournal(file).batchIds, ['b']);
  });

  test('of a process that has not written any, there is nothing', () => {
    assert.deepEqual(readJournal(join(dir, 'missing')), { batchIds: [], messages: 0, lastPoint: null });
  });
});
