// Sentinels for tests, each a process of its own.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { INSTALL_REDIS, findRedisServer } from '../../src/embedded/redis.js';
import type { TestCertificate } from './certificates.js';
import { eventually } from './queue.js';
import { freePort } from '../../src/embedded/free-port.js';

/** Three Sentinels that watch one primary, of the name that was given. */
export interface TestSentinels {
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  /** The port of the primary, as the first of them tells it. */
  primaryPort(): Promise<number>;
  /** Has them make a replica the primary, though the old one lives. */
  failOver(): Promise<void>;
  stop(): Promise<void>;
}

/** What they watch. */
export interface Watched {
  /** What they call the primary. */
  readonly name: string;
  readonly port: number;
  /** That of them all, servers and Sentinels. */
  readonly password: string;
  readonly replicas: number;
  /** Given: they speak nothing but TLS, with each other and with the servers. */
  readonly tls?: TestCertificate & { readonly caFile: string };
}

const COUNT = 3;
const QUORUM = 2;

/** Starts them, and waits until each knows the others and the replicas. */
export async function startTestSentinels(watched: Watched): Promise<TestSentinels> {
  const { name, password, replicas, tls } = watched;
  const command = findRedisServer() ?? assert.fail(`these tests need a Redis: ${INSTALL_REDIS}`);
  const dir = mkdtempSync(join(tmpdir(), 'maskline-sentinel-'));
  const children: ChildProcess[] = [];
  const ports: number[] = [];
  for (let index = 0; index < COUNT; index += 1) {
    const port = await freePort();
    const file = join(dir, `sentinel-${index}.conf`);
    writeFileSync(file, configuration(watched, port));
    children.push(spawn(command, [file, '--sentinel'], { stdio: 'ignore', cwd: dir }));
    ports.push(port);
  }
  const [first = 0] = ports;
  const encrypted = tls ? { tls: { ca: readFileSync(tls.caFile) } } : {};
  const clients = ports.map(
    (port) => new Redis({ host: '127.0.0.1', port, password, maxRetriesPerRequest: null, ...encrypted }),
  );
  for (const client of clients) client.on('error', () => undefined);
  const known = async (): Promise<readonly string[]> =>
    Promise.all(clients.map(async (client) => stateOf(await client.call('SENTINEL', 'MASTER', name))));
  await eventually(known, (states) => states.every((state) => state === `${COUNT - 1} ${replicas}`), 20_000);
  for (const client of clients.slice(1)) client.disconnect();
  const [client = new Redis(first)] = clients;
  return {
    hosts: ports.map((port) => ({ host: '127.0.0.1', port })),
    primaryPort: async () => {
      const address: unknown = await client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name);
      return Array.isArray(address) ? Number(address[1]) : 0;
    },
    failOver: async () => {
      await client.call('SENTINEL', 'FAILOVER', name);
    },
    stop: async () => {
      client.disconnect();
      for (const child of children) {
        child.kill('SIGKILL');
        if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      }
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function configuration({ name, port: primaryPort, password, tls }: Watched, port: number): string {
  const listening = tls
    ? [
        'port 0',
        `tls-port ${port}`,
        'tls-replication yes',
        'tls-auth-clients no',
        `tls-cert-file ${tls.certFile}`,
        `tls-key-file ${tls.keyFile}`,
        `tls-ca-cert-file ${tls.caFile}`,
      ]
    : [`port ${port}`];
  return [
    ...listening,
    'bind 127.0.0.1',
    `requirepass ${password}`,
    `sentinel sentinel-pass ${password}`,
    `sentinel monitor ${name} 127.0.0.1 ${primaryPort} ${QUORUM}`,
    `sentinel auth-pass ${name} ${password}`,
    `sentinel down-after-milliseconds ${name} 500`,
    `sentinel failover-timeout ${name} 3000`,
    '',
  ].join('\n');
}

/** How many other Sentinels and how many replicas it knows. */
function stateOf(answer: unknown): string {
  const fields = Array.isArray(answer) ? answer.map(String) : [];
  const of = (field: string): string => fields[fields.indexOf(field) + 1] ?? '';
  return `${of('num-other-sentinels')} ${of('num-slaves')}`;
}
