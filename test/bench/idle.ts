// `npm run bench -- idle`: what SQS is asked while no message comes.

import { setTimeout as sleep } from 'node:timers/promises';
import { SMALL_COLUMNS } from '../support/events.js';
import { NotedSqs } from '../support/noted-sqs.js';
import { startHere } from '../support/role-here.js';
import { PIPELINE, startStack } from '../support/stack.js';
import { parseSettings } from './settings.js';

const SETTINGS = { seconds: { byDefault: 60, max: 3_600 } };
/** What the start asks is over by then. */
const SETTLE_MS = 1_000;

const USAGE = `npm run bench -- idle [--seconds S] [--json]

An idle pipeline under \`schedule: continuous\`, all roles in one process: what it asks of SQS in S seconds (default 60).`;

/** Measures, and returns the text to print. */
export async function runIdle(args: readonly string[]): Promise<string> {
  const { settings, json, help } = parseSettings(args, SETTINGS, USAGE);
  if (help) return USAGE;
  const idle = await measure(settings.seconds);
  if (json) return JSON.stringify(idle);
  return `${idle.receives_per_minute.toFixed(1)} receives a minute, ${idle.other_calls} other calls in ${idle.seconds} s`;
}

async function measure(seconds: number) {
  const stack = await startStack();
  const sqs = await NotedSqs.start(stack);
  try {
    const deployment = await stack.deployment({
      ddl: `create table public.${PIPELINE} (event_id varchar(32), device varchar(256))`,
      pipeline: { schedule: 'continuous', columns: SMALL_COLUMNS, batch: {} },
    });
    const all = await startHere(deployment, 'all', { env: sqs.env });
    try {
      await sleep(SETTLE_MS);
      const [receives, calls] = [sqs.proxy.of('ReceiveMessage').length, sqs.proxy.calls.length];
      await sleep(seconds * 1_000);
      const received = sqs.proxy.of('ReceiveMessage').length - receives;
      const others = sqs.proxy.calls.length - calls - received;
      return { seconds, receives_per_minute: (received * 60) / seconds, other_calls: others };
    } finally {
      await all.stop('hard');
    }
  } finally {
    await stack.stop();
    await sqs.stop();
  }
}
