import { loadConfig } from '../config/load.js';
import type { RunReport } from '../batch.js';
import { PipelineError } from '../errors.js';
import { type Releases, type Service, type Started, runService, untilStopped } from '../lifecycle.js';
import type { HttpServer } from '../ops/http.js';
import type { Logger } from '../ops/logger.js';
import { type Assembly, assemble } from '../roles/assembly.js';
import { type Deployment, createDeployment } from '../roles/deployment.js';
import { startHealth } from '../roles/health.js';
import { Stops } from '../roles/stops.js';
import { startIngest } from '../roles/ingest-role.js';
import { type StopSignals, ingest } from '../roles/ingester.js';
import { startPresence } from '../roles/presence.js';
import { STOP_DEADLINE_MS, inOrder, startAllWorkers } from '../roles/role.js';
import type { CliContext, Command } from './context.js';
import { openLogger } from './deployment.js';
import { type Sent, sendEvents } from './demo-send.js';
import { type DemoStack, startDemoStack } from './demo-stack.js';
import { type BeforeAfter, demoText, nextSteps } from './demo-text.js';
import { exitCode, exitCodeOf } from './exit.js';
import { reportLifecycle } from './lifecycle-report.js';
import { migrateDeployment } from './migrate.js';
import type { Row } from './output.js';
import { type Progress, openProgress } from './progress.js';
import { reportRow } from './report.js';

interface DemoOptions {
  readonly rows: number;
  readonly bad?: number;
  readonly duplicates?: number;
  readonly keep?: string;
  readonly port?: number;
  readonly stay?: boolean;
}

/** A demo's numbers: received = rows + bad + duplicates. */
interface Numbers {
  readonly rows: number;
  readonly bad: number;
  readonly duplicates: number;
}

const ONE_PERCENT = 0.01;
const DEMO_TABLE = 'public.user_logins';

/** `demo`: the whole stack on this machine; sends made-up logins, some bad and some twice, and shows what became of them. */
export const demoCommand: Command<DemoOptions> = async (context, options) => {
  const share = Math.ceil(options.rows * ONE_PERCENT);
  const numbers = { rows: options.rows, bad: options.bad ?? share, duplicates: options.duplicates ?? share };
  if (numbers.rows < 1 || numbers.duplicates > numbers.rows) {
    throw new PipelineError('usage', 'a demo needs --rows of at least 1, and no more --duplicates than rows');
  }
  const startedAt = Date.now();
  // Its story is told on the terminal; the log has only what went wrong, unless somebody asked for more.
  const isAsked = context.environment.logLevel !== null || context.logLevel !== 'info';
  const log = openLogger({ ...context, logLevel: isAsked ? context.logLevel : 'error' }, 'demo');
  const tell = (line: string): void =>
    context.out.note(`[${((Date.now() - startedAt) / 1000).toFixed(1)} s] ${line}`);
  return runService({
    start: async (up) => {
      const remember = numbers.rows + numbers.bad;
      const keep = options.keep ?? null;
      const stack = await startDemoStack({ keep, remember, releases: up.releases, tell });
      const deployment = openDemo(context, stack, options, log);
      const demo = { context, options, numbers, stack, deployment, startedAt, tell };
      return startDemo({ ...demo, progress: openProgress(context.line, null) }, up);
    },
    deadlineMs: STOP_DEADLINE_MS,
    exitCodeOf,
    exitCodeOnSignal: options.stay ? exitCode.ok : exitCode.failed,
    report: reportLifecycle(context, log),
  });
};

/** All that one demo is about. */
interface Demo {
  readonly context: CliContext;
  readonly options: DemoOptions;
  readonly numbers: Numbers;
  readonly stack: DemoStack;
  readonly deployment: Deployment;
  readonly startedAt: number;
  readonly tell: (line: string) => void;
  readonly progress: Progress;
}

/** A deployment like any user's, from the demo's files. */
function openDemo(
  { environment }: CliContext,
  stack: DemoStack,
  options: DemoOptions,
  log: Logger,
): Deployment {
  const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } = stack.variables;
  // The SDK reads these itself, and would rather have a profile if one is named.
  delete process.env['AWS_PROFILE'];
  Object.assign(process.env, { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY });
  const variables = { ...environment.variables, ...stack.variables };
  const port = options.port === undefined ? environment.port : String(options.port);
  const config = loadConfig({ file: stack.configFile, env: variables });
  return createDeployment(config, { ...environment, variables, port }, log);
}

async function startDemo(
  demo: Demo,
  up: { readonly signal: AbortSignal; readonly releases: Releases },
): Promise<Started> {
  const { options, deployment, stack, tell } = demo;
  await migrateDeployment(deployment, deployment.config.pipelines);
  const assembly = await assemble(deployment, {
    ...up,
    pipelines: deployment.config.pipelines,
    role: 'demo',
    receives: true,
  });
  const isServed = options.stay === true || options.port !== undefined;
  const health = isServed ? await startHealth(deployment, 'all', assembly, new Stops()) : null;
  const sent = await sendEvents(stack.sqs, stack.queueName, demo.numbers);
  tell(`sent ${demo.numbers.rows} logins and ${demo.numbers.bad} bad messages to ${stack.queueName}`);
  const workers = startAllWorkers(deployment, assembly);
  const soft = new AbortController();
  const hard = new AbortController();
  const work = carryOut(demo, assembly, sent, { soft: soft.signal, hard: hard.signal });
  const printed = work
    .finally(() => demo.progress.end())
    .then((report) => finish(demo, assembly, sent, report, health));
  const { service, stopped } = untilStopped(
    inOrder([
      [stopping(printed, soft, hard)],
      options.stay ? [stayUp(deployment, assembly, printed)] : [],
      workers,
      health === null ? [] : [health],
    ]),
  );
  return { service, done: printed.then((code) => (options.stay && code === exitCode.ok ? stopped : code)) };
}

/** What `--stay` is for: once the demo has been shown, it goes on by its schedule as `run all` does. */
function stayUp(
  deployment: Deployment,
  { pipelines, pool, schedules }: Assembly,
  shown: Promise<number>,
): Service {
  const names = pipelines.map(({ pipeline }) => pipeline.name);
  const presence = startPresence(deployment, pool, { role: 'all', pipelines: names });
  const start = async (): Promise<readonly Service[]> => {
    if ((await shown) !== exitCode.ok) return [];
    const ingesters = pipelines.flatMap(({ ingester }) => ingester ?? []);
    return Promise.all(ingesters.map((one) => startIngest(deployment, one, schedules, () => undefined)));
  };
  // Who waits for the demo itself hears why it failed.
  const running = start().catch(() => []);
  return {
    stop: async (mode) => {
      await Promise.all((await running).map((each) => each.stop(mode)));
      await presence.stop();
    },
  };
}

function stopping(work: Promise<unknown>, soft: AbortController, hard: AbortController): Service {
  return {
    stop: async (mode = 'soft') => {
      soft.abort();
      if (mode === 'hard') hard.abort();
      await work.catch(() => undefined);
    },
  };
}

/** One run over all that was sent; once every valid event is committed, some of them are delivered again. */
async function carryOut(demo: Demo, assembly: Assembly, sent: Sent, stop: StopSignals): Promise<RunReport> {
  const { deployment, numbers, stack, tell } = demo;
  const ingester = assembly.pipelines[0]?.ingester;
  if (!ingester) throw new TypeError('the demo has one pipeline, with a source');
  let loaded = 0;
  deployment.events.on('batch_loaded', async (batch) => {
    loaded += batch.loaded;
    demo.progress.at('rows', loaded, numbers.rows);
    // The bar tells on a terminal.
    if (!demo.context.line.isTerminal) tell(`${loaded} rows are in ${batch.table}`);
    if (batch.loaded === 0 || loaded < numbers.rows || numbers.duplicates === 0) return;
    await stack.sqs.redeliver(stack.queueName, sent.validIds.slice(0, numbers.duplicates));
    tell(`delivered ${numbers.duplicates} of them again, as SQS does at times`);
  });
  const maxRecords = numbers.rows + numbers.bad + numbers.duplicates;
  return ingest(ingester, { trigger: 'drain', mode: 'continuous', maxRecords }, stop);
}

async function finish(
  demo: Demo,
  { pool }: Assembly,
  sent: Sent,
  report: RunReport,
  health: HttpServer | null,
): Promise<number> {
  const { context, numbers, stack, options } = demo;
  const seconds = (Date.now() - demo.startedAt) / 1000;
  const pairs: BeforeAfter[] = [];
  for (const before of sent.samples) {
    const { rows } = await pool.query<{ row: Row }>(
      `select to_jsonb(t) as row from ${DEMO_TABLE} t where user_id = $1 and app_version = $2 limit 1`,
      [before.user_id, before.app_version],
    );
    if (rows[0]) pairs.push({ before, after: rows[0].row });
  }
  const url = options.stay && health ? `http://${health.host}:${health.port}` : null;
  const beforeAfter = pairs.map(({ before, after }) => ({ before: { ...before }, after }));
  context.out.result(
    {
      ...reportRow(report),
      seconds,
      queue_backend: stack.queueBackend,
      table: DEMO_TABLE,
      before_after: beforeAfter,
    },
    demoText({ report, seconds, table: DEMO_TABLE, pairs }, nextSteps(options.keep ?? null, url)),
  );
  const { loaded, duplicates, quarantined } = report;
  const isAsSent =
    loaded === numbers.rows && duplicates === numbers.duplicates && quarantined === numbers.bad;
  return isAsSent && report.state === 'succeeded' ? exitCode.ok : exitCode.failed;
}
