import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { leaveUnmeasured } from '../support/unmeasured.js';

leaveUnmeasured();

const ENTRY = fileURLToPath(new URL('../support/blocked.js', import.meta.url));
const BEAT_MS = 200;
const BEATS = 5;

async function turning(t: TestContext): Promise<ChildProcessWithoutNullStreams> {
  const child = spawn(process.execPath, [ENTRY, String(BEAT_MS)]);
  t.after(() => child.kill('SIGKILL'));
  child.stderr.setEncoding('utf8');
  await once(child.stdout, 'data');
  return child;
}

test('a process whose event loop is blocked ends, and says so on stderr', async (t) => {
  const child = await turning(t);
  let said = '';
  child.stderr.on('data', (text: string) => (said += text));
  const ended = once(child, 'close');
  child.stdin.write('block\n');
  assert.deepEqual(await ended, [null, 'SIGKILL']);
  const line: unknown = JSON.parse(said);
  assert.ok(
    typeof line === 'object' && line !== null && 'event' in line && 'loops' in line && 'role' in line,
  );
  assert.deepEqual([line.event, line.loops, line.role], ['hung', ['event loop'], 'load']);
});

test('a process that was stopped for longer than the limit, as by a suspended machine, goes on', async (t) => {
  const child = await turning(t);
  child.kill('SIGSTOP');
  // There is nothing to await: that nothing happens is the point.
  await delay(3 * BEATS * BEAT_MS);
  child.kill('SIGCONT');
  await delay(2 * BEATS * BEAT_MS);
  assert.deepEqual([child.exitCode, child.signalCode], [null, null]);
  const ended = once(child, 'close');
  child.stdin.write('end\n');
  assert.deepEqual(await ended, [0, null]);
});
