import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findRedisServer } from '../../embedded/redis.js';
import { packageVersion } from '../../version.js';

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
export function versions(): Facts {
  const redis = findRedisServer();
  return {
    maskline: packageVersion(),
    node: process.versions.node,
    redis: redis === null ? 'none' : redisVersion(redis),
    ...Object.fromEntries(PACKAGES.map((name) => [name, installedVersion(name)])),
  };
}

function redisVersion(command: string): string {
  const said = execFileSync(command, ['--version'], { encoding: 'utf8' });
  return `${command} ${/ v=(\S+)/.exec(said)?.[1] ?? 'unknown'}`;
}

/** As its own package.json has it. */
function installedVersion(name: string): string {
  const folder = findPackageJSON(name);
  const manifest: unknown = folder === null ? null : JSON.parse(readFileSync(folder, 'utf8'));
  const version: unknown =
    typeof manifest === 'object' && manifest !== null ? Reflect.get(manifest, 'version') : null;
  return typeof version === 'string' ? version : 'unknown';
}

/** Walks up as Node does, since not every package lets its package.json be imported. */
function findPackageJSON(name: string): string | null {
  for (let at = dirname(fileURLToPath(import.meta.url)); at !== dirname(at); at = dirname(at)) {
    const file = join(at, 'node_modules', name, 'package.json');
    if (existsSync(file)) return file;
  }
  return null;
}
