// Another program over the same messages, measured as maskline's processes are.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Releases } from '../../lifecycle.js';
import type { PostgresPool } from '../../load/connection.js';
import type { Stack } from './stack.js';
import { readUsage } from './usage.js';

/** What the program works on, as JSON in its only argument. It says `ready`, waits for `go`, and says `done`. */
export interface OtherOrder {
  readonly endpoint: string;
  readonly region: string;
  readonly queueUrl: string;
  readonly databaseUrl: string;
  readonly table: string;
  readonly keyringFile: string;
  readonly kekFile: string;
  readonly client: HttpClient;
}

/** What the floor program sends requests with; others have clients of their own. */
export type HttpClient = 'node:http' | 'undici';

/** What it took, its start left out. */
export interface OtherUsage {
  /** Per message. */
  readonly cpuMicros: number;
  readonly ms: number;
}

/** The least that any design must do. */
export const FLOOR = new URL('./floor-process.js', import.meta.url);

/** A program, and which of the queues for others it drains. */
export interface OtherProgram {
  readonly script: URL;
  readonly queue: number;
  readonly client?: HttpClient;
}

/** Lets the program drain its queue. Throws when it did not end with one row for each message. */
export async function measureOther(
  releases: Releases,
  { script, queue, client = 'node:http' }: OtherProgram,
  stack: Stack,
  pool: PostgresPool,
  { messages, signal }: { readonly messages: number; readonly signal: AbortSignal },
): Promise<OtherUsage> {
  const { sqs, otherQueueUrls, databaseUrl, keyringFile, kekFile, pipeline } = stack;
  const table = `other_logins_${queue}`;
  await pool.query(`create table ${table} (like ${pipeline.target.schema}.${pipeline.target.table})`);
  const order: OtherOrder = {
    endpoint: sqs.endpoint,
    region: sqs.region,
    queueUrl: otherQueueUrls[queue] ?? '',
    databaseUrl,
    table,
    keyringFile,
    kekFile,
    client,
  };
  const child = await releases.acquire(
    fork(fileURLToPath(script), [JSON.stringify(order)], {
      env: { ...stack.env, AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true' },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    }),
    async (ended) => void ended.kill('SIGKILL'),
  );
  await told(child, signal);
  const before = await readUsage(child.pid ?? 0);
  const startedAt = performance.now();
  child.send('go');
  await told(child, signal);
  const ms = performance.now() - startedAt;
  const after = await readUsage(child.pid ?? 0);
  const { rows } = await pool.query<{ n: number }>(`select count(*)::float8 as n from ${table}`);
  if (rows[0]?.n !== messages) throw new Error(`the other program wrote ${rows[0]?.n} rows of ${messages}`);
  return { cpuMicros: (after.cpuMicros - before.cpuMicros) / messages, ms };
}

/** The next thing that it says; throws when it ends instead. */
async function told(child: ChildProcess, signal: AbortSignal): Promise<void> {
  await Promise.race([
    once(child, 'message', { signal }),
    once(child, 'exit', { signal }).then(([code]: unknown[]) => {
      throw new Error(`the other program ended with ${String(code)}`);
    }),
  ]);
}
