import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { findRedisServer } from '../../src/embedded/redis.js';
import { packageVersion } from '../../src/version.js';
import { LOAD_CONCURRENCY, TRANSFORM_CONCURRENCY } from '../../src/roles/workers.js';
import type { BenchOptions } from './options.js';
import type { MeasuredRun } from './run.js';

/** Packages whose version shows in the figures. */
const PACKAGES = ['bullmq', 'ioredis', '@aws-sdk/client-sqs', 'pg', 'pg-copy-streams', 'fauxqs'] as const;

/** Names of what was measured, each with a number or a text. */
export type Facts = Readonly<{ [name: string]: string | number }>;

/** The machine, and how busy others kept it when the benchmark began. */
export function machine(): Facts {
  const cores = cpus();
  return {
    cpu: cores[0]?.model.trim() ?? 'unknown',
    cores: cores.length,
    memory_gib: Math.round(totalmem() / 2 ** 30),
    kernel: `${process.platform} ${release()}`,
    load_average_before: Number(loadavg()[0]?.toFixed(2)),
  };
}

/** What ran: maskline, Node, the servers and the packages that talk to them. */
export function versions({ postgresVersion }: MeasuredRun): Facts {
  const manifest = JSON.parse(
    readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
  ) as Readonly<{ [section: string]: Readonly<{ [name: string]: string }> }>;
  const pinned = { ...manifest['dependencies'], ...manifest['optionalDependencies'] };
  const redis = findRedisServer();
  return {
    maskline: packageVersion(),
    node: process.versions.node,
    postgres: postgresVersion,
    redis: redis === null ? 'none' : redisVersion(redis),
    ...Object.fromEntries(PACKAGES.map((name) => [name, pinned[name] ?? 'unknown'])),
  };
}

function redisVersion(command: string): string {
  const said = execFileSync(command, ['--version'], { encoding: 'utf8' });
  return `${command} ${/ v=(\S+)/.exec(said)?.[1] ?? 'unknown'}`;
}

/** What was done, and with which settings. */
export function parameters(options: BenchOptions, { pipeline, batches, bodyBytes }: MeasuredRun): Facts {
  return {
    messages: options.messages,
    runs: options.runs,
    body_bytes_mean: Math.round(bodyBytes),
    batches,
    batch_max_messages: pipeline.batch.maxMessages,
    receivers: pipeline.source.sqs.queues[0].receivers,
    transform_concurrency: TRANSFORM_CONCURRENCY,
    load_concurrency: LOAD_CONCURRENCY,
    processes: 'one per role',
    postgres: 'durable (fsync and synchronous_commit on), loopback',
    redis: 'no persistence, loopback',
    profiled: options.profileDir === null ? 'no' : 'yes: the figures include the profiler',
  };
}
