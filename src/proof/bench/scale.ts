// What a second process brings, beside what a second core brings on this machine.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Releases } from '../../lifecycle.js';
import { until } from './drained.js';
import type { Figures } from './figures.js';
import type { RunOptions } from './profiles.js';
import { POLL_MS, batchesOf, openLine, startRoles } from './stages.js';

/** By this part of the work every process is up and its code is compiled. */
const WARM_PART = 0.25;
const SPIN_MS = 2_000;

/** One transform process and then two, over as many messages each, and two programs that share nothing. */
export async function measureScale(_: Releases, options: RunOptions): Promise<Figures> {
  const one = await rateOf(options, 1);
  const two = await rateOf(options, 2);
  const machine = (await spin(2)) / (await spin(1));
  return {
    one_process_messages_per_second: one,
    two_processes_messages_per_second: two,
    speed_up: two / one,
    machine_speed_up: machine,
    part_of_what_the_machine_gives: two / one / machine,
  };
}

/** Messages per second, once all are at work. On servers of its own: those of another count must not run beside it. */
async function rateOf(options: RunOptions, count: number): Promise<number> {
  const releases = new Releases();
  try {
    const { messages, signal, run } = options;
    const { stack, transform, load } = await openLine(releases, options);
    const batches = batchesOf(stack, messages);
    // All of it is there before they start: who fills the queue meanwhile takes a core from them.
    await Promise.all(batches.map((batch) => transform.add(batch)));
    const processes = await startRoles(releases, stack, 'transform', count, options.cpuProfileDir, run);
    const done = async (part: number): Promise<{ readonly batches: number; readonly at: number }> => {
      let waiting = 0;
      const isDone = async (): Promise<boolean> => {
        ({ waiting } = await load.backlog());
        return waiting >= batches.length * part;
      };
      await until(isDone, { messages, processes, signal, pollMs: POLL_MS });
      return { batches: waiting, at: performance.now() };
    };
    const warm = await done(WARM_PART);
    const end = await done(1);
    const masked = ((end.batches - warm.batches) / batches.length) * messages;
    return masked / ((end.at - warm.at) / 1_000);
  } finally {
    await releases.release();
  }
}

/** How far so many processes get together in the same time. */
async function spin(count: number): Promise<number> {
  const script = fileURLToPath(new URL('./spin-process.js', import.meta.url));
  const children = Array.from({ length: count }, () => fork(script));
  try {
    await Promise.all(children.map((child) => once(child, 'spawn')));
    const results = children.map(async (child) => {
      const blocks = once(child, 'message').then(([said]: unknown[]) => Number(said));
      child.send(SPIN_MS);
      return blocks;
    });
    return (await Promise.all(results)).reduce((sum, blocks) => sum + blocks, 0);
  } finally {
    for (const child of children) child.kill('SIGKILL');
  }
}
