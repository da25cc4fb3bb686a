// How long what supervises the processes waits before it kills them.

import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { durationMs } from '../config/units.js';
import { PipelineError } from '../errors.js';
import type { KillTime } from './facts.js';

/** pm2's own, where an app does not say (pm2 documentation, "Graceful shutdown"). */
const PM2_KILL_TIMEOUT_MS = 1_600;
/** Where pm2 users have their apps; the first that is there is read. */
const PM2_FILES = [
  'ecosystem.config.js',
  'ecosystem.config.cjs',
  'ecosystem.config.mjs',
  'ecosystem.config.json',
];
/** Where users of Compose have their services; the first that is there is read (Compose specification). */
const COMPOSE_FILES = ['compose.yaml', 'compose.yml', 'docker-compose.yaml', 'docker-compose.yml'];
/** The same of Compose. */
const COMPOSE_GRACE_MS = 10_000;
const READ_LIMIT_MS = 10_000;

/** In a process of its own, as pm2 does: the file is a program, and may end or change the one that it runs in. */
const READER = `
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
const [file] = process.argv.slice(1);
const read = file.endsWith('.json') ? JSON.parse(readFileSync(file, 'utf8')) : await import(pathToFileURL(file).href);
const apps = read.apps ?? read.default?.apps ?? read.default ?? read;
const picked = [apps].flat().map((app) => ({
  name: String(app.name ?? ''),
  what: [app.name, app.script, app.args].flat().join(' '),
  kill_timeout: app.kill_timeout ?? null,
}));
process.stdout.write(JSON.stringify(picked));
`;

const run = promisify(execFile);

/** The file of pm2's apps in that directory; null when there is none. */
export function findPm2File(directory: string): string | null {
  return PM2_FILES.map((name) => resolve(directory, name)).find((file) => existsSync(file)) ?? null;
}

/** The kill timeouts of maskline's apps in a file of pm2. Throws `config_invalid` when it can't be read. */
export async function readPm2File(file: string): Promise<readonly KillTime[]> {
  const apps = await appsIn(file);
  return apps
    .filter(({ what }) => /maskline/i.test(what))
    .map(({ name, killTimeout }) => ({
      where: `${basename(file)}, app ${name}`,
      ms: timeoutMs(killTimeout),
      how: `set kill_timeout of the app ${name}, in ms,`,
    }));
}

/** That of the pm2 that runs this process, by the variables that it sets; none where it is not pm2. */
export function ownPm2({ pm_id: id, name, kill_timeout: timeout }: NodeJS.ProcessEnv): readonly KillTime[] {
  if (id === undefined) return [];
  const app = name ?? id;
  return [
    {
      where: `pm2, app ${app}`,
      ms: timeoutMs(timeout ?? null),
      how: `set kill_timeout of the app ${app}, in ms,`,
    },
  ];
}

/** The file of Compose in that directory; null when there is none. */
export function findComposeFile(directory: string): string | null {
  return COMPOSE_FILES.map((name) => resolve(directory, name)).find((file) => existsSync(file)) ?? null;
}

/** The grace periods of maskline's services in a file of Compose. Throws `config_invalid` when it can't be read. */
export function readComposeFile(file: string): readonly KillTime[] {
  let read: unknown;
  try {
    read = parse(readFileSync(file, 'utf8'), { merge: true, logLevel: 'error' });
  } catch {
    throw new PipelineError('config_invalid', `${file} cannot be read as a file of Compose`);
  }
  const services = memberOf(read, 'services');
  if (typeof services !== 'object' || services === null) return [];
  return Object.entries(services).flatMap(([name, service]: [string, unknown]) => {
    if (!isProcess(service)) return [];
    const where = `${basename(file)}, service ${name}`;
    return [
      { where, ms: graceMs(memberOf(service, 'stop_grace_period')), how: `set stop_grace_period of ${name}` },
    ];
  });
}

/** One that works until it is told to end: `maskline run …`, or a `drain`. */
function isProcess(service: unknown): boolean {
  const words = (name: string): string => [memberOf(service, name)].flat().join(' ');
  const isOurs = /maskline/i.test(`${words('image')} ${words('entrypoint')} ${words('command')}`);
  return isOurs && /(^|\s)(run|drain)(\s|$)/.test(words('command'));
}

/** As `1m30s`. */
function graceMs(given: unknown): number {
  if (typeof given !== 'string') return COMPOSE_GRACE_MS;
  const parts = given.match(/\d+(ms|s|m|h)/g) ?? [];
  return parts.reduce((sum, part) => sum + (durationMs(part) ?? 0), 0);
}

/** What the user says of the container that the processes run in. */
export function graceOf(ms: number): KillTime {
  return {
    where: '--grace',
    ms,
    how: 'set stop_grace_period (Compose), terminationGracePeriodSeconds (Kubernetes), stopTimeout (ECS) or TimeoutStopSec (systemd)',
  };
}

interface App {
  readonly name: string;
  readonly what: string;
  readonly killTimeout: unknown;
}

async function appsIn(file: string): Promise<readonly App[]> {
  let apps: unknown;
  try {
    const args = ['--input-type=module', '--eval', READER, resolve(file)];
    const { stdout } = await run(process.execPath, args, { timeout: READ_LIMIT_MS });
    // The file may have printed something before.
    apps = JSON.parse(stdout.slice(stdout.lastIndexOf('\n') + 1));
  } catch {
    // Neither its errors nor what it prints are ours to quote.
    apps = null;
  }
  if (!Array.isArray(apps)) {
    throw new PipelineError('config_invalid', `${file} cannot be read as a file of pm2's apps`);
  }
  return apps.map((app: unknown) => ({
    name: String(memberOf(app, 'name')),
    what: String(memberOf(app, 'what')),
    killTimeout: memberOf(app, 'kill_timeout'),
  }));
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : null;
}

/** pm2 takes a number of ms, which is text in the variables of its processes. */
function timeoutMs(given: unknown): number {
  if (typeof given === 'number') return given;
  if (typeof given !== 'string' || given === '') return PM2_KILL_TIMEOUT_MS;
  return /^[0-9]+$/.test(given) ? Number(given) : (durationMs(given) ?? PM2_KILL_TIMEOUT_MS);
}
