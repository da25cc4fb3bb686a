import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseStat, readUsage } from '../../src/proof/bench/usage.js';

const IS_LINUX = process.platform === 'linux';
/** Two counters are cut to 10 ms each, before and after. */
const RESOLUTION_MICROS = 40_000;
/** What a process may use between its own reading and ours: it answers a message. */
const BETWEEN_MICROS = 60_000;
const BURNT_MICROS = 300_000;

const children: ChildProcess[] = [];
after(() => children.forEach((child) => child.kill('SIGKILL')));

/** What a burner says of itself, from getrusage(2): a second opinion on /proc. */
interface Said {
  readonly cpuMicros: number;
}

function burner(): ChildProcess {
  const script = fileURLToPath(new URL('../bench/burner.js', import.meta.url));
  const child = fork(script, [], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  children.push(child);
  return child;
}

async function ask(child: ChildProcess, what: Readonly<{ [order: string]: number }>): Promise<Said> {
  const answer = once(child, 'message');
  child.send(what);
  const [said] = (await answer) as [Said];
  return said;
}

describe('what a process has used', () => {
  test('CPU that a child burns is counted, as the child itself counts it', async () => {
    if (!IS_LINUX) return assert.rejects(readUsage(process.pid), { code: 'usage' });
    // GIVEN a child that has started
    const child = burner();
    const pid = child.pid ?? 0;
    const saidBefore = await ask(child, { burnMicros: 0 });
    const before = await readUsage(pid);
    // WHEN it burns a known amount
    const saidAfter = await ask(child, { burnMicros: BURNT_MICROS });
    const usage = await readUsage(pid);
    // THEN the difference is what it burnt
    const said = saidAfter.cpuMicros - saidBefore.cpuMicros;
    const counted = usage.cpuMicros - before.cpuMicros;
    assert.ok(said >= BURNT_MICROS, `it burnt ${said} µs`);
    assert.ok(Math.abs(counted - said) <= RESOLUTION_MICROS + BETWEEN_MICROS, `${counted} µs for ${said}`);
  });

  test('memory that a child had and gave back is in its peak', async () => {
    if (!IS_LINUX) return assert.rejects(readUsage(process.pid), { code: 'usage' });
    const child = burner();
    const pid = child.pid ?? 0;
    await ask(child, { burnMicros: 0 });
    const before = await readUsage(pid);

    await ask(child, { holdBytes: 64 * 1024 * 1024 });

    const grown = (await readUsage(pid)).peakRssBytes - before.peakRssBytes;
    assert.ok(grown >= 48 * 1024 * 1024, `the peak grew by ${grown} bytes`);
  });

  test('CPU of children counts for their parent, while they live and when they are gone', async () => {
    if (!IS_LINUX) return assert.rejects(readUsage(process.pid), { code: 'usage' });
    // GIVEN a process with a child, as Postgres has one for each connection
    const parent = burner();
    const pid = parent.pid ?? 0;
    await ask(parent, { burnMicros: 0 });
    const before = await readUsage(pid);
    // WHEN the child burns, then ends
    await ask(parent, { childBurnsMicros: BURNT_MICROS });
    const living = await readUsage(pid);
    await ask(parent, { childEnds: 1 });
    const gone = await readUsage(pid);
    // THEN it is counted, once
    assert.ok(living.cpuMicros - before.cpuMicros >= BURNT_MICROS - RESOLUTION_MICROS);
    assert.ok(gone.cpuMicros - living.cpuMicros < BURNT_MICROS);
    assert.ok(gone.cpuMicros - before.cpuMicros >= BURNT_MICROS - RESOLUTION_MICROS);
  });

  test('a process that has ended has no usage', async () => {
    if (!IS_LINUX) return assert.rejects(readUsage(process.pid), { code: 'usage' });
    const child = burner();
    const pid = child.pid ?? 0;
    const exited = once(child, 'exit');
    child.disconnect();
    await exited;
    await assert.rejects(readUsage(pid), /has ended/);
  });
});

test('a name with spaces and parentheses does not shift the fields of /proc/<pid>/stat', () => {
  // The fields of proc(5), numbered: 3 is the state, 4 the parent, 14 to 17 the times.
  const rest = Array.from({ length: 50 }, (_, index) => String(index + 3));
  rest[0] = 'S';

  assert.deepEqual(parseStat(`42 (node) (worker 1)) ${rest.join(' ')}\n`), {
    parentPid: 4,
    ownTicks: 14 + 15,
    reapedTicks: 16 + 17,
  });
});
