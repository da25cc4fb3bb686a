// A process with one loop that turns by statements on Postgres, watched as a role's are, but with shorter limits. Its
// client would wait for an answer for ever, and stopping waits for the loop. Arguments: maskline.yaml, whose environment
// is this process's. On stdout: the port of its probes, once the loop has turned.

import { systemClock } from '../../src/clock.js';
import { loadConfig } from '../../src/config/load.js';
import { runService } from '../../src/lifecycle.js';
import { createPool } from '../../src/load/connection.js';
import { startHealthServer } from '../../src/ops/health.js';
import { createLogger } from '../../src/ops/logger.js';
import { actionFor } from '../../src/policy.js';
import { freshAnswers } from '../../src/roles/watch-answers.js';
import { Loops, startWatch } from '../../src/roles/watch.js';

const FOR_EVER_MS = 3_600_000;
const config = loadConfig({ file: process.argv[2] ?? '', env: process.env });
const log = createLogger({ level: 'info', pretty: false });
const loops = new Loops(systemClock);
const loop = loops.watch({ name: 'statements', need: 'postgres', limitMs: 1_500 });
const pool = createPool({
  url: process.env['DATABASE_URL'] ?? '',
  applicationName: 'hung',
  max: 1,
  statementTimeoutMs: FOR_EVER_MS,
});

const turning = async (): Promise<never> => {
  for (;;) {
    try {
      await loop.turn(() => pool.query('select 1'));
    } catch (error) {
      if (actionFor(error) !== 'wait') throw error;
    }
    await systemClock.sleep(50);
  }
};

process.exitCode = await runService({
  start: async () => {
    await pool.query('select 1');
    const looping = turning();
    const server = await startHealthServer({
      host: '127.0.0.1',
      port: 0,
      checks: {},
      hung: () => loops.hung,
      metrics: { contentType: 'text/plain', render: () => Promise.resolve('') },
      auth: null,
      metricsPublic: false,
    });
    const answers = freshAnswers({ config }, { user: 'all', pipelines: config.pipelines });
    const watch = startWatch({ loops, answers, log, clock: systemClock, everyMs: 500 });
    process.stdout.write(`${server.port}\n`);
    return { service: { stop: () => looping }, stuck: watch.hung };
  },
  deadlineMs: 8_000,
  exitCodeOf: () => 9,
  exitCodeOnSignal: 0,
  report: (event) => {
    if (event.kind !== 'failed') log.warn({ event: event.kind });
  },
});
