import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Releases } from '../../lifecycle.js';

const CREDENTIALS = { AWS_ACCESS_KEY_ID: 'bench', AWS_SECRET_ACCESS_KEY: 'bench' };

/** What the emulator's process says once its queues are filled. */
export interface SqsReady {
  readonly endpoint: string;
  readonly region: string;
  /** By the names of the queues. */
  readonly queueUrls: Readonly<{ [queue: string]: string }>;
  /** In each queue. */
  readonly messages: number;
  /** Of all bodies together. */
  readonly bodyBytes: number;
}

/** The emulator with its messages, as a process. */
export interface SqsChild extends SqsReady {
  readonly pid: number;
}

/** Starts the emulator in a process of its own and fills each queue with the same login events. */
export async function startSqsChild(
  releases: Releases,
  queues: readonly string[],
  messages: number,
): Promise<SqsChild> {
  const script = fileURLToPath(new URL('./sqs-process.js', import.meta.url));
  const child = await releases.acquire(
    fork(script, [String(messages), ...queues], {
      // It asks itself how much waits: the emulator takes any credentials, but the SDK sends nothing without some.
      env: { ...CREDENTIALS, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    }),
    stop,
  );
  const ready = await Promise.race([
    once(child, 'message').then(([message]: unknown[]) => readyOf(message)),
    once(child, 'exit').then(([code]: unknown[]) => {
      throw new Error(`the SQS emulator ended with ${String(code)} before its queues were filled`);
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

function readyOf(message: unknown): SqsReady {
  if (isReady(message)) return message;
  throw new TypeError('the SQS emulator said something else than where it is');
}

const isReady = (message: unknown): message is SqsReady =>
  typeof message === 'object' && message !== null && 'queueUrls' in message && 'bodyBytes' in message;
