import { dirname, resolve } from 'node:path';
import type { ColumnSpec, MaskSpec } from '../masking/methods.js';
import { isJsonColumn, partOf } from '../masking/parts.js';
import type { Config, KekConfig, PipelineConfig } from './config.js';
import { databaseOf, queueOf } from './connections.js';
import { type Environment, envText } from './interpolation.js';
import { entriesOf, readPart, valueAt } from './issues.js';
import { warnOfKept } from './kept-masked.js';
import { notifyOf } from './notify.js';
import { buildPipeline } from './pipelines.js';
import type { Findings, Path } from './problem.js';
import { shareQueues } from './routes.js';
import { type ShellInput, shellSchema } from './schema.js';
import { type PlacedTable, tablesOf } from './tables.js';

const DEFAULT_KEYRING = './maskline.keyring.json';
// SQS hands a message out for 14 days at most, and the ledger must remember it for a day longer.
const LONG_ENOUGH_MS = 15 * 86_400_000;

/** The configuration that a file's content and the environment make, or null with everything wrong reported. */
export function assembleConfig(
  file: string,
  data: unknown,
  env: Environment,
  findings: Findings,
): Config | null {
  const shell = readPart(shellSchema, data, [], findings);
  const entries = entriesOf(valueAt(data, ['pipelines']));
  const folder = resolve(dirname(file));
  const pipelines = entries.map(([name, written]) => buildPipeline(name, written, { env, folder }, findings));
  const sound = pipelines.filter((pipeline) => pipeline !== null);
  const routed = shareQueues(sound, findings);
  checkTogether(sound, findings);
  if (shell === null) return null;
  if (entries.length === 0) findings.error(['pipelines'], 'at least one pipeline is needed');
  if (shell.retention.ledger < LONG_ENOUGH_MS) {
    findings.warn(
      ['retention', 'ledger'],
      'below 15d, only a queue that keeps its messages for a day less can be received from; others are refused',
    );
  }
  if (shell.queue.keep_failed.age > shell.retention.ledger) {
    findings.error(
      ['queue', 'keep_failed', 'age'],
      'must not be longer than retention.ledger: a batch could be retried when the ledger has forgotten its records',
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
    reveal: shell.reveal,
    retention: {
      ledgerMs: retention.ledger,
      runsMs: retention.runs,
      replayedQuarantineMs: retention.replayed_quarantine,
    },
    startupTimeoutMs: shell.startup_timeout,
    healthMaxLagMs: shell.health.max_lag,
    notify: notifyOf(shell.notify, findings),
    metrics: shell.metrics,
    pipelines: routed,
  };
}

const KEK_OPTIONS = {
  env: [],
  file: ['path'],
  'aws-kms': ['key_arn', 'context', 'encrypted_kek'],
} as const;

function kekOf(shell: ShellInput, findings: Findings): KekConfig | null {
  const { kek } = shell.keyring;
  const { type, path, key_arn: keyArn } = kek;
  let isSound = true;
  const wrong = (option: string, what: string): void => {
    findings.error(['keyring', 'kek', option], what);
    isSound = false;
  };
  for (const [owner, options] of Object.entries(KEK_OPTIONS)) {
    if (owner === type) continue;
    for (const option of options) {
      if (kek[option] !== undefined)
        wrong(option, `is an option of \`type: ${owner}\`, and the type is ${type}`);
    }
  }
  const needed = { env: null, file: 'path', 'aws-kms': 'key_arn' }[type];
  if (needed === 'path' && path === undefined) wrong(needed, `required by \`type: ${type}\``);
  if (needed === 'key_arn' && keyArn === undefined) wrong(needed, `required by \`type: ${type}\``);
  if (!isSound) return null;
  if (type === 'file') return { type, path: path ?? '' };
  if (type === 'env') return { type };
  return {
    type,
    keyArn: keyArn ?? '',
    context: kek.context ?? null,
    encryptedKek: kek.encrypted_kek ?? null,
  };
}

/** What only shows when pipelines are looked at side by side. */
function checkTogether(pipelines: readonly PipelineConfig[], findings: Findings): void {
  for (const pipeline of pipelines)
    if (pipeline.leakGate) warnOfKept(tablesOf(pipeline), ['pipelines', pipeline.name], findings);
  checkTables(pipelines, findings);
  checkDomains(pipelines, findings);
}

/** What one adds, another would overwrite, and none could tell what is missing. */
function checkTables(pipelines: readonly PipelineConfig[], findings: Findings): void {
  const tables = new Map<string, { readonly name: string; readonly target: PipelineConfig['target'] }>();
  const all = pipelines.flatMap((pipeline) =>
    tablesOf(pipeline).map(({ target, at }) => ({ name: pipeline.name, target, at })),
  );
  for (const { name, target, at } of all) {
    const key = `${target.schema} ${target.table}`;
    const first = tables.get(key) ?? { name, target };
    tables.set(key, first);
    const modes = [first.target, target].map(({ upsert }) =>
      JSON.stringify(upsert && { ...upsert, keys: upsert.keys.toSorted() }),
    );
    if (modes[0] === modes[1]) continue;
    const message = `pipeline ${first.name} has the same table: both must have one \`mode\`, and the same \`keys\` and \`newest_by\``;
    findings.error(['pipelines', name, ...at], message);
  }
}

/** A mask, its name, and where its column, or what of it it is for, stands below the pipeline. */
interface NamedMask {
  readonly name: string;
  readonly column: Path;
  readonly mask: MaskSpec;
}

/** The masks of a table's columns. */
function namedMasks({ columns, columnsAt }: PlacedTable): readonly NamedMask[] {
  return columns.flatMap((spec) =>
    masksOfColumn(spec).map(({ column, ...rest }) => ({ ...rest, column: [...columnsAt, ...column] })),
  );
}

function masksOfColumn(spec: ColumnSpec): readonly NamedMask[] {
  if (!isJsonColumn(spec)) return [{ name: spec.name, column: [spec.name, 'mask'], mask: spec.mask }];
  return spec.mask.members.map((member) => ({
    name: partOf(spec, member).name,
    column: [spec.name, 'masks', member.at],
    mask: member.mask,
  }));
}

/** Columns share a domain so that their tokens can be joined; these cannot. */
function checkDomains(pipelines: readonly PipelineConfig[], findings: Findings): void {
  const domains = new Map<string, { readonly shape: string; readonly place: string }>();
  for (const pipeline of pipelines) {
    for (const { name, column, mask } of tablesOf(pipeline).flatMap(namedMasks)) {
      if (mask.method !== 'siv' && mask.method !== 'hmac' && mask.method !== 'vault') continue;
      const shape = `${mask.as} ${String(mask.pad)} ${String(mask.lower)}`;
      const key = `${mask.method} ${mask.domain}`;
      const first = domains.get(key) ?? { shape, place: `${pipeline.name}.${name}` };
      domains.set(key, first);
      if (first.shape === shape) continue;
      const message = `shares its domain with ${first.place}, but not as, pad and lower: equal values get different tokens`;
      findings.warn(['pipelines', pipeline.name, ...column], message);
    }
  }
}
