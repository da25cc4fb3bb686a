import type { Config, KekConfig, PipelineConfig } from './config.js';
import { type Environment, envText } from './interpolation.js';
import { entriesOf, readPart, valueAt } from './issues.js';
import { buildPipeline } from './pipelines.js';
import type { Findings } from './problem.js';
import { type ShellInput, shellSchema } from './schema.js';
import { Secret } from './secret.js';

const DEFAULT_QUEUE_URL = 'redis://127.0.0.1:6379';
const DEFAULT_KEYRING = './maskline.keyring.json';
// SQS hands a message out for so long at most: a shorter ledger could forget one that is still to come.
const SQS_RETENTION_MS = 14 * 86_400_000;

// BullMQ needs memory to finish jobs too: a Redis at its limit cannot drain.
const HIGH_WATER_LIMIT = 0.8;

const BACKENDS = {
  redis: 'redis',
  rediss: 'redis',
  postgres: 'postgres',
  postgresql: 'postgres',
  memory: 'memory',
} as const;

/** The configuration that a file's content and the environment make, or null with everything wrong reported. */
export function assembleConfig(
  file: string,
  data: unknown,
  env: Environment,
  findings: Findings,
): Config | null {
  const shell = readPart(shellSchema, data, [], findings);
  const entries = entriesOf(valueAt(data, ['pipelines']));
  const pipelines = entries.map(([name, written]) => buildPipeline(name, written, env, findings));
  const sound = pipelines.filter((pipeline) => pipeline !== null);
  checkTogether(sound, findings);
  if (shell === null) return null;
  if (entries.length === 0) findings.error(['pipelines'], 'at least one pipeline is needed');
  if (shell.retention.ledger < SQS_RETENTION_MS) {
    findings.warn(
      ['retention', 'ledger'],
      'below 14d, a message that SQS held for longer could be loaded twice',
    );
  }
  const database = databaseOf(shell, env, findings);
  const queue = queueOf(shell, env, findings);
  const kek = kekOf(shell, findings);
  if (database === null || queue === null || kek === null || sound.length < entries.length) return null;
  const { admin, retention } = shell;
  return {
    file,
    database,
    queue,
    keyring: { file: shell.keyring.file ?? envText(env, 'MASKLINE_KEYRING') ?? DEFAULT_KEYRING, kek },
    admin: {
      host: admin.host,
      port: admin.port,
      allowActions: admin.allow_actions,
      metricsPublic: admin.metrics_public,
    },
    retention: {
      ledgerMs: retention.ledger,
      runsMs: retention.runs,
      replayedQuarantineMs: retention.replayed_quarantine,
    },
    startupTimeoutMs: shell.startup_timeout,
    healthMaxLagMs: shell.health.max_lag,
    pipelines: sound,
  };
}

function databaseOf(shell: ShellInput, env: Environment, findings: Findings): Config['database'] | null {
  const url = shell.database.url ?? envText(env, 'DATABASE_URL');
  if (url === undefined) {
    findings.error(['database', 'url'], 'required: the URL of Postgres; or set DATABASE_URL');
    return null;
  }
  if (/^postgres(ql)?:\/\//i.test(url) && URL.canParse(url)) return { url: new Secret(url) };
  const origin = shell.database.url === undefined ? ' (from DATABASE_URL)' : '';
  findings.error(
    ['database', 'url'],
    `must be a URL that begins with postgres:// or postgresql://${origin}; in a password, write characters such as "#" and "/" percent-encoded`,
  );
  return null;
}

function queueOf(shell: ShellInput, env: Environment, findings: Findings): Config['queue'] | null {
  const url = shell.queue.url ?? envText(env, 'REDIS_URL') ?? DEFAULT_QUEUE_URL;
  const scheme = /^([a-z]+):\/\//i.exec(url)?.[1]?.toLowerCase();
  const backend = Object.entries(BACKENDS).find(([known]) => known === scheme)?.[1];
  if (backend === undefined || !URL.canParse(url)) {
    const origin = shell.queue.url === undefined ? ' (from REDIS_URL)' : '';
    findings.error(
      ['queue', 'url'],
      `must be a URL that begins with redis://, rediss://, postgres://, postgresql:// or memory://${origin}`,
    );
    return null;
  }
  const highWater = shell.queue.high_water;
  if (highWater === 0)
    findings.error(['queue', 'high_water'], 'must be above 0, or nothing is ever received');
  if (highWater > HIGH_WATER_LIMIT) {
    findings.warn(['queue', 'high_water'], 'leaves Redis little room; when it is full, nothing moves');
  }
  return {
    url: new Secret(url),
    backend,
    prefix: shell.queue.prefix,
    highWater,
    keepFailed: { count: shell.queue.keep_failed.count, ageS: Math.ceil(shell.queue.keep_failed.age / 1000) },
  };
}

function kekOf(shell: ShellInput, findings: Findings): KekConfig | null {
  const { type, path } = shell.keyring.kek;
  if (type === 'env') {
    if (path === undefined) return { type };
    findings.error(['keyring', 'kek', 'path'], 'is an option of `type: file`, and the type is env');
    return null;
  }
  if (path !== undefined) return { type, path };
  findings.error(['keyring', 'kek', 'path'], 'required by `type: file`');
  return null;
}

/** What only shows when pipelines are looked at side by side. */
function checkTogether(pipelines: readonly PipelineConfig[], findings: Findings): void {
  const queues = new Map<string, string>();
  for (const { name, source } of pipelines) {
    const key = `${source.sqs.endpoint ?? ''} ${source.sqs.queue}`;
    const other = queues.get(key);
    queues.set(key, other ?? name);
    if (other === undefined) continue;
    const message = `is the queue of ${other} too: each message reaches only one of the two`;
    findings.warn(['pipelines', name, 'source', 'sqs', 'queue'], message);
  }
  checkDomains(pipelines, findings);
}

/** Columns share a domain so that their tokens can be joined; these cannot. */
function checkDomains(pipelines: readonly PipelineConfig[], findings: Findings): void {
  const domains = new Map<string, { readonly shape: string; readonly place: string }>();
  for (const pipeline of pipelines) {
    for (const { name, mask } of pipeline.policy.columns) {
      if (mask.method !== 'siv' && mask.method !== 'hmac') continue;
      const shape = `${mask.as} ${String(mask.pad)} ${String(mask.lower)}`;
      const key = `${mask.method} ${mask.domain}`;
      const first = domains.get(key) ?? { shape, place: `${pipeline.name}.${name}` };
      domains.set(key, first);
      if (first.shape === shape) continue;
      const message = `shares its domain with ${first.place}, but not as, pad and lower: equal values get different tokens`;
      findings.warn(['pipelines', pipeline.name, 'columns', name, 'mask'], message);
    }
  }
}
