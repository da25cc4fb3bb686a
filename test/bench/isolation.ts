// `npm run bench -- isolation`: how much one pipeline gets done while another of the same process is broken.

import pg from 'pg';
import type { CliProcess } from '../support/cli.js';
import { smallEvents } from '../support/events.js';
import { type Deployment, PIPELINE, type Stack, startStack } from '../support/stack.js';
import { BROKEN, SOUND, newerKeyring, twoPipelines } from '../support/two-pipelines.js';
import { type Spread, spreadOf } from '../../src/proof/bench/figures.js';
import { parseSettings } from './settings.js';
import { readUsage } from '../../src/proof/bench/usage.js';

const SETTINGS = { messages: { byDefault: 10_000, max: 1_000_000 }, runs: { byDefault: 5, max: 100 } };
const RUN_LIMIT_MS = 600_000;
/** `limits.in_flight`, by default. */
const MOST_HELD = 20_000;

const USAGE = `npm run bench -- isolation [--messages N] [--runs R] [--json]

Two pipelines in one \`maskline run all\`. One is broken; then the other drains N messages (default 10000). Its rate and
the CPU of the process per message are compared with the same pipeline beside an idle one, within one round; R rounds
(default 5), medians.`;

/** Breaks `user_logins`, resolves when that has shown, to what is to be done at the end. */
type Break = (
  deployment: Deployment,
  all: CliProcess,
  messages: number,
) => Promise<(() => Promise<void>) | undefined>;

const breakings: Readonly<{ [name: string]: Break }> = {
  alone: async () => undefined,
  missing_table: async (deployment, all) => {
    await deployment.query(`alter table ${BROKEN} rename to gone`);
    await deployment.send(smallEvents(100, 0).bodies);
    await resume(deployment, PIPELINE);
    await all.waitFor('pipeline_stopped');
    return undefined;
  },
  bad_key: async (deployment, all) => {
    await deployment.send(smallEvents(1, 0).bodies);
    const elsewhere = deployment.cli.spawn([
      '-c',
      newerKeyring(deployment),
      'drain',
      PIPELINE,
      '--ingest-only',
    ]);
    await all.waitFor('pipeline_stopped');
    await elsewhere.ended;
    return undefined;
  },
  breaker_open: async (deployment, _, messages) => {
    await deployment.query(
      `insert into maskline.breaker (pipeline, state, reason) values ('${PIPELINE}', 'open', 'bench')`,
    );
    await deployment.send(smallEvents(messages, 0).bodies);
    await resume(deployment, PIPELINE);
    return undefined;
  },
  locked_table: async (deployment, _, messages) => {
    const client = new pg.Client({ connectionString: deployment.database });
    await client.connect();
    await client.query(`begin; lock table ${BROKEN} in exclusive mode`);
    await deployment.send(smallEvents(messages, 0).bodies);
    await resume(deployment, PIPELINE);
    // All that it may hold has been received: what is left is to wait for the lock.
    await deployment.countUntil(
      `maskline.runs where received >= ${Math.min(messages, MOST_HELD)}`,
      (runs) => runs === 1,
      RUN_LIMIT_MS,
    );
    return () => client.end();
  },
  poison_flood: async (deployment, _, messages) => {
    await deployment.send(Array.from({ length: messages }, () => 'not JSON'));
    // At the same moment as the sound one.
    await resume(deployment, PIPELINE);
    return undefined;
  },
};

interface Figure {
  readonly rate: number;
  readonly cpuMicros: number;
}

/** Measures, and returns the text to print. */
export async function runIsolation(args: readonly string[]): Promise<string> {
  const asked = parseSettings(args, SETTINGS, USAGE);
  if (asked.help) return USAGE;
  const { messages, runs } = asked.settings;
  const rounds: (readonly (readonly [name: string, figure: Figure])[])[] = [];
  for (let run = 1; run <= runs; run += 1) rounds.push(await oneRound(messages, `run ${run} of ${runs}`));
  const ratios = Object.keys(breakings).map((name) => {
    const of = (value: (figure: Figure) => number): Spread =>
      spreadOf(
        rounds.map((round) => {
          const figures = new Map(round);
          const [own, alone] = [figures.get(name), figures.get('alone')];
          return own && alone ? value(own) / value(alone) : Number.NaN;
        }),
      );
    return { name, rate: of(({ rate }) => rate), cpu: of(({ cpuMicros }) => cpuMicros) };
  });
  const rate = spreadOf(rounds.flatMap((round) => round.slice(0, 1).map(([, figure]) => figure.rate)));
  if (asked.json) return JSON.stringify({ messages, runs, alone_messages_per_second: rate, ratios });
  return [
    `alone: ${rate.median.toFixed(0)} messages/s (${rate.min.toFixed(0)}–${rate.max.toFixed(0)})`,
    ...ratios.map((each) => `${each.name}: rate ${text(each.rate)}, CPU of the process ${text(each.cpu)}`),
  ].join('\n');
}

const text = ({ median, min, max }: Spread): string =>
  `${median.toFixed(2)} (${min.toFixed(2)}–${max.toFixed(2)})`;

/** Each way once, on servers of its own, the pipeline alone first. */
async function oneRound(messages: number, title: string) {
  const stack = await startStack();
  try {
    const figures: (readonly [name: string, figure: Figure])[] = [];
    for (const [name, breaking] of Object.entries(breakings)) {
      const figure = await measure(stack, breaking, messages);
      figures.push([name, figure]);
      const cost = `${figure.cpuMicros.toFixed(0)} µs of CPU each`;
      process.stderr.write(`${title}, ${name}: ${figure.rate.toFixed(0)} messages/s, ${cost}\n`);
    }
    return figures;
  } finally {
    await stack.stop();
  }
}

async function measure(stack: Stack, breaking: Break, messages: number): Promise<Figure> {
  const batch = { max_messages: 1_000, linger: '200ms' };
  const { deployment, sendSound } = await twoPipelines(stack, {}, { batch });
  await deployment.query(
    `insert into maskline.schedules (pipeline, paused_at) values ('${PIPELINE}', now()), ('sound', now())`,
  );
  await sendSound(smallEvents(messages, 0).bodies);
  const all = deployment.cli.spawn(['run', 'all'], { limitMs: RUN_LIMIT_MS });
  await all.waitFor('started');
  const mend = await breaking(deployment, all, messages);
  try {
    const before = await readUsage(all.pid);
    await resume(deployment, 'sound');
    await deployment.countUntil(SOUND, (rows) => rows === messages, RUN_LIMIT_MS);
    const after = await readUsage(all.pid);
    const [row] = await deployment.query(
      `select extract(epoch from max(loaded_at) - min(received_at))::float8 as s
         from maskline.loads where pipeline = 'sound' and state = 'committed'`,
    );
    return {
      rate: messages / Number(row?.['s']),
      cpuMicros: (after.cpuMicros - before.cpuMicros) / messages,
    };
  } finally {
    await mend?.();
    await deployment.cli.stopAll();
  }
}

async function resume(deployment: Deployment, pipeline: string): Promise<void> {
  await deployment.query(`update maskline.schedules set paused_at = null where pipeline = '${pipeline}'`);
}
