// What four separate processes must come to, undisturbed and killed one after the other: the same on each queue backend.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { STOP_DEADLINE_MS } from '../../src/roles/role.js';
import type { CliProcess } from './cli.js';
import { DATABASE_ROLES } from './database-roles.js';
import { eventually } from './queue.js';
import { type Sent, allSettled, assertSameEnd, prepareSmallEvents, settledBetween } from './same-end.js';
import { type DeploymentOptions, type Stack, startStack } from './stack.js';

/** BullMQ on Postgres costs several times the CPU of one on Redis. */
const COUNTS = { redis: 20_000, postgres: 8_000 } as const;
const ROLES = ['ingest', 'transform', 'load', 'admin'] as const;
const LIMIT_MS = 180_000;

type Role = (typeof ROLES)[number];

/** The processes of a deployment, one of each role. */
class Processes {
  readonly #sent: Sent;
  readonly #running = new Map<Role, CliProcess>();

  constructor(sent: Sent) {
    this.#sent = sent;
    for (const role of ROLES) this.start(role);
  }

  of(role: Role): CliProcess {
    const running = this.#running.get(role);
    assert.ok(running);
    return running;
  }

  start(role: Role): void {
    this.#running.set(role, this.#sent.deployment.start(role, { limitMs: LIMIT_MS }));
  }

  /** SIGKILL, and another process in its place. */
  async replace(role: Role): Promise<void> {
    await this.of(role).kill();
    this.start(role);
  }

  /** SIGTERM to all: each ends with 0, in time. */
  async stop(): Promise<void> {
    const from = performance.now();
    for (const role of ROLES) {
      assert.ok(this.of(role).isRunning, `${role} ended: ${this.of(role).stderr}`);
      this.of(role).signal('SIGTERM');
    }
    for (const role of ROLES) {
      const { code, stderr } = await this.of(role).ended;
      assert.equal(code, 0, `${role}: ${stderr}`);
    }
    assert.ok(performance.now() - from < STOP_DEADLINE_MS);
  }
}

/** The tests, for a queue on that backend. */
export function describeSeparateRoles(queue: NonNullable<DeploymentOptions['queue']>): void {
  const count = COUNTS[queue];
  describe(`with its queues on ${queue}, through four processes under a database role each, ${count} messages`, () => {
    let stack: Stack;
    before(async () => {
      stack = await startStack();
    });
    after(() => stack.stop());

    test('end once each, in the table or in quarantine', async () => {
      const sent = await prepareSmallEvents(stack, count, { queue });
      await sent.send(count);
      const processes = new Processes(sent);
      await allSettled(sent);
      const users = await sent.deployment.query(
        `select distinct application_name as name, usename as user from pg_stat_activity
          where datname = current_database() and application_name like 'maskline-%'`,
      );
      for (const { name, user } of users) {
        const role = String(name).replace('maskline-', '') as Role;
        assert.equal(user, DATABASE_ROLES[role], `process ${role}`);
      }
      assert.ok(users.length >= 3, JSON.stringify(users));
      await processes.stop();
      await assertSameEnd(sent);
      assert.equal(await sent.deployment.count(`maskline.runs where state = 'running'`), 0);
    });

    test('end so too when each process in turn is killed in the middle and started again', async () => {
      const sent = await prepareSmallEvents(stack, count, { queue });
      await sent.send(count);
      const processes = new Processes(sent);
      for (const [index, role] of (['load', 'transform', 'ingest', 'admin'] as const).entries()) {
        await settledBetween(sent, (index + 1) * (count / 8), count);
        await processes.replace(role);
      }
      await allSettled(sent);
      await eventually(
        () => sent.deployment.count(`maskline.processes where seen_at > now() - interval '15 seconds'`),
        (count) => count >= ROLES.length,
        30_000,
      );
      await processes.stop();
      await assertSameEnd(sent);
    });
  });
}
