import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { readJournal } from '../../src/proof/journal.js';
import { PIPELINE, type Stack, assertAddsUp, startStack } from '../support/stack.js';

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

const BODY = (n: number): string =>
  JSON.stringify({ user_id: `u${n}`, device_type: 'ios', ip: '192.0.2.7', device_id: `d${n}` });
const ALLOWED = { MASKLINE_ALLOW_FAILPOINTS: '1' };

describe('failpoints of a process', () => {
  test('that does not exist, or is not allowed, ends the start with 2, before anything is received', async () => {
    const deployment = await stack.deployment();
    await deployment.send([BODY(1)]);
    for (const [env, said] of [
      [{ ...ALLOWED, MASKLINE_FAILPOINTS: 'load.comitted=crash' }, /no such point.*load\.committed/],
      [{ MASKLINE_FAILPOINTS: 'load.committed=crash' }, /MASKLINE_ALLOW_FAILPOINTS=1/],
    ] as const) {
      const { code, stderr } = await deployment.cli.run(['drain'], { env });
      assert.equal(code, 2, stderr);
      assert.match(stderr, said);
    }
    assert.deepEqual(await deployment.receiveCounts(), [0]);
  });

  test('are announced by a warning', async () => {
    const deployment = await stack.deployment();
    const { code, log } = await deployment.cli.run(['drain'], {
      env: { ...ALLOWED, MASKLINE_FAILPOINTS: 'ack.before=delay(1ms);load.committed=delay(1ms)' },
    });
    assert.equal(code, 0);
    const armed = log.find((line) => line['event'] === 'failpoints_armed');
    assert.equal(armed?.['level'], 'warn');
    assert.deepEqual(armed['ids'], ['ack.before', 'load.committed']);
  });

  test('that throw an outage are waited out, and all comes to its end', async () => {
    const deployment = await stack.deployment();
    await deployment.send([1, 2, 3].map(BODY));
    const journal = join(deployment.dir, 'journal');
    const outages =
      'add_batch.before=throw(redis_unavailable)@once;add_masked.after=throw(redis_unavailable)@once;' +
      'commit.before=throw(postgres_unavailable)@once;load.copied=throw(postgres_unavailable)@once;' +
      'load.committed=throw(postgres_unavailable)@once;fates.before=throw(postgres_unavailable)@once';
    const { code, stderr } = await deployment.cli.run(['drain'], {
      env: { ...ALLOWED, MASKLINE_FAILPOINTS: `${outages};journal=${journal}` },
    });
    assert.equal(code, 0, stderr);
    assert.equal(await deployment.count(`public.${PIPELINE}`), 3);
    assertAddsUp(await deployment.runs());
    assert.deepEqual(readJournal(journal).batchIds, []);
    // Each point of the flow was passed, but for those of letting go.
    const passed = new Set(
      readFileSync(journal, 'utf8')
        .split('\n')
        .flatMap((line) => line.split(' ')[1] ?? []),
    );
    for (const call of [
      'receive',
      'add_batch',
      'transform',
      'mask',
      'add_masked',
      'load',
      'commit',
      'fates',
      'ack',
    ]) {
      assert.ok(passed.has(`${call}.before`) && passed.has(`${call}.after`), call);
    }
    for (const step of ['begun', 'ledger', 'copied', 'decided', 'committed']) {
      assert.ok(passed.has(`load.${step}`), step);
    }
  });

  test('a load worker that is killed after COMMIT and before anyone knows leaves each row once', async () => {
    const deployment = await stack.deployment({
      pipeline: { schedule: '* * * * * *', source: { sqs: { visibility_timeout: '10s' } } },
    });
    await deployment.send([1, 2, 3, 4, 5].map(BODY));
    const journal = join(deployment.dir, 'journal');
    const load = deployment.start('load', {
      env: { ...ALLOWED, MASKLINE_FAILPOINTS: `load.committed=crash;journal=${journal}` },
    });
    deployment.start('transform');
    const ingest = deployment.start('ingest');
    const { signal } = await load.ended;
    assert.equal(signal, 'SIGKILL');
    assert.equal(readJournal(journal).lastPoint, 'load.committed');
    // Nobody loads any more, and yet it is known: the fate is in the database.
    await ingest.waitFor('run_finished');
    assert.equal(await deployment.count(`public.${PIPELINE}`), 5);
    assert.deepEqual(await deployment.depth(), { visible: 0, inFlight: 0, delayed: 0 });
    assertAddsUp(await deployment.runs());
  });

  test('are not even loaded where none is asked for', async () => {
    const deployment = await stack.deployment();
    const trace = join(deployment.dir, 'loaded');
    const { code, stderr } = await deployment.cli.run(['drain'], {
      env: { NODE_OPTIONS: `--import ${traceModule(trace)}` },
    });
    assert.equal(code, 0, stderr);
    assert.ok(existsSync(trace));
    const loaded = readFileSync(trace, 'utf8');
    assert.match(loaded, /src\/roles\/assembly\.js/);
    assert.doesNotMatch(loaded, /src\/proof\//);
  });
});

/** A module that writes the URL of each module loaded after it to a file. */
function traceModule(file: string): string {
  const hooks =
    `import { appendFileSync } from 'node:fs';` +
    `export async function load(url, context, next) { appendFileSync(${JSON.stringify(file)}, url + '\\n'); return next(url, context); }`;
  const register =
    `import { register } from 'node:module';` +
    `register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hooks)}`)});`;
  return `data:text/javascript,${encodeURIComponent(register)}`;
}
