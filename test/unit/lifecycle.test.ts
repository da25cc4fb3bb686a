import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { test } from 'node:test';
import { type Clock, systemClock } from '../../src/clock.js';
import { PipelineError } from '../../src/errors.js';
import {
  type LifecycleEvent,
  Releases,
  type ServiceOptions,
  type Started,
  type StopMode,
  runService,
  untilStopped,
} from '../../src/lifecycle.js';

/** A clock whose sleeps end when the test says so. */
class HandClock implements Clock {
  readonly sleeps: { readonly ms: number; readonly end: () => void }[] = [];
  readonly #asleep = new EventEmitter();

  readonly now = (): number => 0;
  readonly elapsed = (): number => 0;
  readonly random = (): number => 0;
  readonly id = (): string => '00000000-0000-7000-8000-000000000000';

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      this.sleeps.push({ ms, end: resolve });
      signal?.addEventListener('abort', () => resolve(), { once: true });
      this.#asleep.emit('asleep');
    });
  }

  /** Resolves with the n-th sleep, once it has been asked for. */
  async nth(n: number): Promise<{ readonly ms: number; readonly end: () => void }> {
    for (;;) {
      const sleep = this.sleeps[n];
      if (sleep) return sleep;
      await once(this.#asleep, 'asleep');
    }
  }
}

interface Rig {
  readonly options: ServiceOptions;
  readonly signals: EventEmitter;
  readonly clock: HandClock;
  readonly events: LifecycleEvent[];
  readonly exits: number[];
}

function rig(start: ServiceOptions['start'], over: Partial<ServiceOptions> = {}): Rig {
  const signals = new EventEmitter();
  const clock = new HandClock();
  const events: LifecycleEvent[] = [];
  const exits: number[] = [];
  const options: ServiceOptions = {
    start,
    deadlineMs: 20_000,
    exitCodeOf: (error) => (error.code === 'config_invalid' ? 2 : 1),
    exitCodeOnSignal: 0,
    report: (event) => events.push(event),
    clock,
    signals,
    exit: (code) => exits.push(code),
    ...over,
  };
  return { options, signals, clock, events, exits };
}

/** A role whose soft stop ends when the test lets it. */
function stubbornRole(): {
  readonly started: Started;
  readonly modes: StopMode[];
  letGo(mode: StopMode): void;
} {
  const modes: StopMode[] = [];
  const gates = { soft: new AbortController(), hard: new AbortController() };
  return {
    modes,
    letGo: (mode) => gates[mode].abort(),
    started: {
      held: () => ['load logins: 2 batches'],
      service: {
        stop: async (mode = 'soft') => {
          modes.push(mode);
          if (!gates[mode].signal.aborted) await once(gates[mode].signal, 'abort');
        },
      },
    },
  };
}

test('what was acquired is released last-in first-out, all of it, and the first error is kept', async () => {
  const order: string[] = [];
  const releases = new Releases();
  for (const name of ['postgres', 'redis', 'sqs']) {
    await releases.acquire(name, (it) => {
      order.push(it);
      if (it !== 'redis') throw new Error(it);
    });
  }
  await assert.rejects(releases.release(), /^Error: sqs$/);
  assert.deepEqual(order, ['sqs', 'redis', 'postgres']);
  await assert.rejects(releases.release(), /^Error: sqs$/);
  assert.equal(order.length, 3, 'a second release releases nothing twice');
});

test('what arrives after the release is released at once', async () => {
  const released: string[] = [];
  const releases = new Releases();
  await releases.release();
  await releases.acquire('late', (it) => released.push(it));
  assert.deepEqual(released, ['late']);
});

test('work that ends by itself is stopped, released and gives its own exit code', async () => {
  const order: string[] = [];
  const { options, signals, events } = rig(async ({ releases }) => {
    await releases.acquire('pool', () => order.push('released'));
    const stop = (): Promise<void> => Promise.resolve(void order.push('stopped'));
    return { service: { stop }, done: Promise.resolve(1) };
  });
  assert.equal(await runService(options), 1);
  assert.deepEqual(order, ['stopped', 'released']);
  assert.deepEqual(events, []);
  assert.deepEqual(signals.eventNames(), [], 'no listener stays behind');
});

test('the first signal stops softly within three quarters of the deadline and a role exits with 0', async () => {
  const role = stubbornRole();
  const { options, signals, clock, events, exits } = rig(() => Promise.resolve(role.started));
  const run = runService(options);
  signals.emit('SIGTERM');
  assert.equal((await clock.nth(0)).ms, 15_000);
  role.letGo('soft');
  assert.equal(await run, 0);
  assert.deepEqual(role.modes, ['soft']);
  assert.deepEqual(events, [{ kind: 'stopping', signal: 'SIGTERM', deadlineMs: 20_000 }]);
  assert.deepEqual(exits, []);
});

test('work that is cut short by a signal exits with 1 even though it ends cleanly', async () => {
  const { options, signals } = rig(
    ({ signal }) => {
      const done = once(signal, 'abort').then(() => 0);
      return Promise.resolve({ service: { stop: () => Promise.resolve() }, done });
    },
    { exitCodeOnSignal: 1 },
  );
  const run = runService(options);
  signals.emit('SIGINT');
  assert.equal(await run, 1);
});

test('a soft stop that takes too long becomes a hard one, which names what it abandons', async () => {
  const role = stubbornRole();
  const released: string[] = [];
  const { options, signals, clock, events } = rig(async ({ releases }) => {
    await releases.acquire('pool', (it) => released.push(it));
    return role.started;
  });
  const run = runService(options);
  signals.emit('SIGINT');
  (await clock.nth(0)).end();
  assert.equal((await clock.nth(1)).ms, 5_000);
  assert.deepEqual(released, [], 'connections outlive the stop of what uses them');
  role.letGo('hard');
  assert.equal(await run, 0);
  assert.deepEqual(role.modes, ['soft', 'hard']);
  assert.deepEqual(released, ['pool']);
  assert.deepEqual(events.at(-1), { kind: 'hard_stop', held: ['load logins: 2 batches'] });
});

test('a stop that overruns its deadline ends the process with 1 and says what was left', async () => {
  const role = stubbornRole();
  const { options, signals, clock, events, exits } = rig(() => Promise.resolve(role.started));
  const run = runService(options);
  signals.emit('SIGTERM');
  (await clock.nth(0)).end();
  (await clock.nth(1)).end();
  assert.equal(await run, 1);
  assert.deepEqual(events.at(-1), { kind: 'overrun', held: ['load logins: 2 batches'] });
  assert.deepEqual(exits, [1]);
});

test('what never ends by itself is done once it has been stopped', async () => {
  const modes: (StopMode | undefined)[] = [];
  const { service, stopped } = untilStopped({
    stop: async (mode) => {
      modes.push(mode);
    },
  });
  const { options, signals, exits } = rig(() => Promise.resolve({ service, done: stopped }));
  const run = runService(options);
  signals.emit('SIGTERM');
  assert.equal(await run, 0);
  assert.deepEqual(modes, ['soft']);
  assert.deepEqual(exits, []);
});

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`a second ${signal} exits at once with ${code}`, async () => {
    const role = stubbornRole();
    const { options, signals, exits } = rig(() => Promise.resolve(role.started));
    const run = runService(options);
    signals.emit('SIGINT');
    signals.emit(signal);
    assert.deepEqual(exits, [code]);
    assert.equal(await run, code);
  });
}

test('a start that fails reports its error once, releases what it had and gives the code of the error', async () => {
  const released: string[] = [];
  const failure = new PipelineError('config_invalid', 'no such table');
  const { options, events } = rig(async ({ releases }) => {
    await releases.acquire('pool', (it) => released.push(it));
    throw failure;
  });
  assert.equal(await runService(options), 2);
  assert.deepEqual(released, ['pool']);
  assert.deepEqual(events, [{ kind: 'failed', error: failure }]);
});

test('a signal while starting aborts the start, and being canceled is no failure', async () => {
  const { options, signals, events } = rig(async ({ signal }) => {
    await once(signal, 'abort');
    throw new PipelineError('canceled', 'stopped while starting');
  });
  const run = runService(options);
  signals.emit('SIGTERM');
  assert.equal(await run, 0);
  assert.deepEqual(
    events.map((event) => event.kind),
    ['stopping'],
  );
});

test('a start that ignores the signal is given up at the deadline', async () => {
  const { options, signals, clock } = rig(() => new Promise(() => undefined));
  const run = runService(options);
  signals.emit('SIGTERM');
  (await clock.nth(0)).end();
  (await clock.nth(1)).end();
  assert.equal(await run, 1);
});

test('an error that stops the work is reported without foreign text and gives a failing code', async () => {
  const done = Promise.reject(new TypeError('value 199.172.111.135'));
  const { options, events } = rig(() =>
    Promise.resolve({ service: { stop: () => Promise.resolve() }, done }),
  );
  assert.equal(await runService(options), 1);
  const [event] = events;
  assert.equal(event?.kind, 'failed');
  assert.doesNotMatch(event.error.message, /199\.172/);
});

test('an uncaught exception ends the process with 1, without its text', async () => {
  const role = stubbornRole();
  const { options, signals, events, exits } = rig(() => Promise.resolve(role.started));
  const run = runService(options);
  signals.emit('uncaughtException', new Error('value 199.172.111.135'));
  assert.equal(await run, 1);
  assert.deepEqual(exits, [1]);
  const [event] = events;
  assert.equal(event?.kind, 'failed');
  assert.doesNotMatch(event.error.message, /199\.172/);
});

/** A process that takes SIGTERM, says so, and then never finishes its soft stop. */
const STUBBORN_PROCESS = `
  const { runService } = await import(process.argv[1]);
  const timer = setInterval(() => {}, 1e6);
  process.exitCode = await runService({
    start: async () => { process.send('ready'); return { service: { stop: () => new Promise(() => {}) } }; },
    deadlineMs: 60000, exitCodeOf: () => 1, exitCodeOnSignal: 0,
    report: (event) => process.send(event.kind),
  });
  clearInterval(timer);
`;

test('a real process that gets SIGTERM twice exits with 143 at once', async () => {
  const module = new URL('../../src/lifecycle.js', import.meta.url).href;
  const child = spawn(process.execPath, ['--input-type=module', '-e', STUBBORN_PROCESS, module], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const exited = once(child, 'exit');
  assert.deepEqual((await once(child, 'message'))[0], 'ready');
  const stopping = once(child, 'message');
  child.kill('SIGTERM');
  assert.deepEqual((await stopping)[0], 'stopping');
  child.kill('SIGTERM');
  assert.deepEqual(await exited, [143, null]);
});

test('a role in a real process that gets SIGTERM once exits with 0 by itself', async () => {
  const module = new URL('../../src/lifecycle.js', import.meta.url).href;
  const script = STUBBORN_PROCESS.replace('new Promise(() => {})', 'Promise.resolve()');
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, module], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const exited = once(child, 'exit');
  await once(child, 'message');
  child.kill('SIGTERM');
  assert.deepEqual(await exited, [0, null]);
});

test('the clock of the machine ends a sleep when told to', async () => {
  const timer = new AbortController();
  const sleep = systemClock.sleep(60_000, timer.signal);
  timer.abort();
  await sleep;
});
