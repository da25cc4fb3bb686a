// `npm run bench -- continuous`: how soon a message that comes alone is a row, and what SQS is asked while none comes.

import { setTimeout as sleep } from 'node:timers/promises';
import { SMALL_COLUMNS } from '../support/events.js';
import { NotedSqs } from '../support/noted-sqs.js';
import { startHere } from '../support/role-here.js';
import { PIPELINE, startStack } from '../support/stack.js';
import { spreadOf } from './figures.js';
import { parseSettings } from './settings.js';

const TABLE = `public.${PIPELINE}`;
const SETTINGS = { messages: { byDefault: 100, max: 10_000 }, 'idle-seconds': { byDefault: 60, max: 3_600 } };
/** Between two messages: longer than a batch lingers, so that each comes after a quiet time. */
const GAP_MS = 1_100;
const GAP_SPREAD_MS = 400;
/** What the start asks is over by then. */
const SETTLE_MS = 1_000;

const USAGE = `npm run bench -- continuous [--messages N] [--idle-seconds S] [--json]

An idle pipeline under \`schedule: continuous\`, all roles in one process: what it asks of SQS in S seconds (default 60),
then N messages (default 100), one at a time: the time from SentTimestamp to the insert of the batch's fate, by Postgres.`;

/** Measures, and returns the text to print. */
export async function runContinuous(args: readonly string[]): Promise<string> {
  const asked = parseSettings(args, SETTINGS, USAGE);
  if (asked.help) return USAGE;
  const figures = await measure(asked.settings.messages, asked.settings['idle-seconds']);
  if (asked.json) return JSON.stringify(figures);
  const { idle, latency_ms: latency } = figures;
  return [
    `idle: ${idle.receives_per_minute.toFixed(1)} receives a minute, ${idle.other_calls} other calls in ${idle.seconds} s`,
    `latency of ${latency.messages} single messages: median ${latency.median.toFixed(0)} ms, p95 ${latency.p95.toFixed(0)} ms, most ${latency.max.toFixed(0)} ms`,
  ].join('\n');
}

async function measure(messages: number, seconds: number) {
  const stack = await startStack();
  const sqs = await NotedSqs.start(stack);
  try {
    const deployment = await stack.deployment({
      ddl: `create table ${TABLE} (event_id varchar(32), device varchar(256))`,
      pipeline: { schedule: 'continuous', columns: SMALL_COLUMNS, batch: {} },
    });
    const all = await startHere(deployment, 'all', { env: sqs.env });
    try {
      await sleep(SETTLE_MS);
      const [receives, calls] = [sqs.proxy.of('ReceiveMessage').length, sqs.proxy.calls.length];
      await sleep(seconds * 1_000);
      const received = sqs.proxy.of('ReceiveMessage').length - receives;
      const others = sqs.proxy.calls.length - calls - received;
      for (let n = 0; n < messages; n += 1) {
        await deployment.send([`{"event_id":"e${n}","device":"d${n}"}`]);
        await sleep(GAP_MS + (n % 5) * (GAP_SPREAD_MS / 5));
      }
      await deployment.countUntil(TABLE, (rows) => rows === messages);
      const rows = await deployment.query(
        'select extract(epoch from loaded_at - oldest_sent_at)::float8 * 1000 as ms from maskline.loads',
      );
      const times = rows.map((row) => Number(row['ms'])).toSorted((a, b) => a - b);
      const { median, max } = spreadOf(times);
      const p95 = times[Math.ceil(times.length * 0.95) - 1] ?? max;
      return {
        idle: { seconds, receives_per_minute: (received * 60) / seconds, other_calls: others },
        latency_ms: { messages: times.length, median, p95, max },
      };
    } finally {
      await all.stop('hard');
    }
  } finally {
    await stack.stop();
    await sqs.stop();
  }
}
