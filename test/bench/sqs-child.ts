import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Releases } from '../../src/lifecycle.js';

/** What the emulator's process says once its queue is filled. */
export interface SqsReady {
  readonly endpoint: string;
  readonly region: string;
  readonly queueUrl: string;
  readonly messages: number;
  /** Of all bodies together. */
  readonly bodyBytes: number;
}

/** The emulator with its messages, as a process. */
export interface SqsChild extends SqsReady {
  readonly pid: number;
}

/** Starts the emulator in a process of its own and fills a queue with login events. */
export async function startSqsChild(releases: Releases, queue: string, messages: number): Promise<SqsChild> {
  const script = fileURLToPath(new URL('./sqs-process.js', import.meta.url));
  const child = await releases.acquire(
    fork(script, [queue, String(messages)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] }),
    stop,
  );
  const ready = await Promise.race([
    once(child, 'message').then(([message]: unknown[]) => message as SqsReady),
    once(child, 'exit').then(([code]: unknown[]) => {
      throw new Error(`the SQS emulator ended with ${String(code)} before its queue was filled`);
    }),
  ]);
  return { ...ready, pid: child.pid ?? 0 };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  if (child.connected) child.disconnect();
  await ended;
}
