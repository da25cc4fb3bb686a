import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { access, chmod, chown, mkdir, open, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { PipelineError } from '../errors.js';
import { freePort } from './free-port.js';
import {
  type PostgresBinaries,
  type RunAs,
  locatePostgres,
  reachable,
  unprivilegedUser,
} from './postgres-binaries.js';
import {
  SHUTDOWN_LIMIT_MS,
  dataDirectory,
  forgetOwner,
  livingOwner,
  readPostmasterFile,
  reapOrphans,
  recordOwner,
  stopAtExit,
} from './postgres-orphans.js';

export { reapOrphans };

/** How a private Postgres is to be started. */
export interface PostgresOptions {
  /** Made if need be. Holds `data`, `postgres.log`, `password` and, while it runs, `owner.json`. */
  readonly dir: string;
  /** A free one by default. */
  readonly port?: number;
  /** Hears what is being done, a line at a time. */
  readonly log?: (line: string) => void;
  /** More settings, as `-c name=value` on the command line. */
  readonly settings?: Readonly<{ [name: string]: string }>;
  /** False gives up durability for speed: for the demo and for tests only. Default true. */
  readonly durable?: boolean;
  /** Removes `dir` at `stop`, or by `reapOrphans` once this process was killed. Default false. */
  readonly temporary?: boolean;
  /** The PATH in which a system's Postgres is looked for when the npm package is missing. */
  readonly searchPath?: string;
}

/** A private Postgres that runs. */
export interface EmbeddedPostgres {
  /** With the password of the superuser `postgres`; database `postgres`. */
  readonly url: string;
  readonly port: number;
  /** Of the running postmaster; another one after `restart`. */
  readonly pid: number;
  readonly dir: string;
  /** `immediate` is a crash: nothing is flushed, and the start recovers. Same port, same data. */
  restart(options: { readonly mode: 'fast' | 'immediate' }): Promise<void>;
  /** Cuts all connections and stops. Safe twice. */
  stop(): Promise<void>;
}

const USER = 'postgres';
const START_LIMIT_MS = 60_000;
const READY_POLL_MS = 10;
/** Somebody else may take the free port between its choice and its use. */
const PORT_ATTEMPTS = 3;

const run = promisify(execFile);

/**
 * Starts a private Postgres on 127.0.0.1 with a random password, making its data directory first if need be. As root
 * it runs as `nobody`. It is not in this process's group, so Ctrl-C does not reach it; when this process exits
 * without `stop` it is told to shut down, and when this process is killed it goes on until `reapOrphans` or the next
 * start in the same directory. Throws `usage` when there is no Postgres here or the directory can't be used,
 * `postgres_unavailable` when it does not start.
 */
export async function startPostgres(options: PostgresOptions): Promise<EmbeddedPostgres> {
  const log = options.log ?? (() => undefined);
  const runAs = unprivilegedUser();
  const binaries = await locatePostgres(runAs, options.searchPath);
  const owner = await livingOwner(options.dir);
  if (owner !== null) {
    throw new PipelineError(
      'usage',
      `the Postgres in ${options.dir} belongs to process ${owner}, which is alive`,
    );
  }
  await reapOrphans(options.dir);
  const dir = await prepareDirectory(options.dir, runAs);
  const server = new Server(options, { binaries, runAs, dir });
  await recordOwner(dir, options.temporary ?? false);
  try {
    await server.initialise(log);
    await server.start();
    log(`${binaries.version} listens on 127.0.0.1:${server.port}, data in ${dir}`);
    return server;
  } catch (error) {
    // The log is what tells why, so the directory stays, temporary or not.
    await forgetOwner(dir);
    throw error;
  }
}

interface Place {
  readonly binaries: PostgresBinaries;
  readonly runAs: RunAs | null;
  readonly dir: string;
}

class Server implements EmbeddedPostgres {
  readonly dir: string;
  readonly #options: PostgresOptions;
  readonly #place: Place;
  #password = '';
  #port = 0;
  #child: ChildProcess | null = null;

  constructor(options: PostgresOptions, place: Place) {
    this.#options = options;
    this.#place = place;
    this.dir = place.dir;
  }

  get port(): number {
    return this.#port;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get url(): string {
    return `postgres://${USER}:${this.#password}@127.0.0.1:${this.#port}/postgres`;
  }

  /** Makes the data directory and its password, unless they are there. */
  async initialise(log: (line: string) => void): Promise<void> {
    const { dir } = this;
    const { binaries, runAs } = this.#place;
    const data = dataDirectory(dir);
    const passwordFile = join(dir, 'password');
    if (await exists(join(data, 'PG_VERSION'))) {
      this.#password = (await readFile(passwordFile, 'utf8')).trim();
      return;
    }
    log(`making a ${binaries.version} in ${dir}`);
    // What an interrupted initdb left has no PG_VERSION, and another would refuse to go on from it.
    await rm(data, { recursive: true, force: true });
    this.#password = randomBytes(18).toString('base64url');
    await writeFile(passwordFile, `${this.#password}\n`, { mode: 0o600 });
    await mkdir(data, { mode: 0o700 });
    if (runAs) for (const path of [passwordFile, data]) await chown(path, runAs.uid, runAs.gid);
    const args = [
      '-D',
      data,
      '-U',
      USER,
      '--pwfile',
      passwordFile,
      '-A',
      'scram-sha-256',
      '-E',
      'UTF8',
      '--locale=C',
    ];
    if (this.#options.durable === false) args.push('--no-sync');
    try {
      await run(binaries.initdb, args, { ...runAs, cwd: dir, env: { LC_ALL: 'C', TZ: 'UTC' } });
    } catch (error) {
      const said = error instanceof Error && 'stderr' in error ? String(error.stderr) : '';
      await writeFile(join(dir, 'postgres.log'), said, { flag: 'a' });
      throw new PipelineError('postgres_unavailable', `initdb failed in ${dir}; postgres.log there says why`);
    }
  }

  /** Starts the postmaster and waits until it takes connections. */
  async start(): Promise<void> {
    const { dir } = this;
    const fixed = this.#port || this.#options.port;
    for (let attempt = 1; ; attempt += 1) {
      this.#port = fixed ?? (await freePort());
      if (await this.#launch()) return;
      if (fixed !== undefined || attempt === PORT_ATTEMPTS) break;
    }
    throw new PipelineError(
      'postgres_unavailable',
      `Postgres did not start in ${dir}; postgres.log there says why`,
    );
  }

  async restart(options: { readonly mode: 'fast' | 'immediate' }): Promise<void> {
    await this.#shutDown(options.mode === 'fast' ? ['SIGINT', 'SIGQUIT', 'SIGKILL'] : ['SIGQUIT', 'SIGKILL']);
    await this.start();
  }

  async stop(): Promise<void> {
    await this.#shutDown(['SIGINT', 'SIGQUIT', 'SIGKILL']);
    await forgetOwner(this.dir);
    if (this.#options.temporary) await rm(this.dir, { recursive: true, force: true });
  }

  /** True once it takes connections, false when it ended before. */
  async #launch(): Promise<boolean> {
    const { binaries, runAs, dir } = this.#place;
    const log = await open(join(dir, 'postgres.log'), 'a', 0o644);
    const child = spawn(binaries.postgres, ['-D', dataDirectory(dir), ...this.#settings()], {
      ...runAs,
      cwd: dir,
      env: { LC_ALL: 'C', TZ: 'UTC' },
      stdio: ['ignore', log.fd, log.fd],
      // Its own process group: Ctrl-C is for us to answer, in our own order.
      detached: true,
    });
    const failed = once(child, 'error').then(() => undefined);
    this.#child = child;
    stopAtExit(child);
    await log.close();
    const giveUpAt = Date.now() + START_LIMIT_MS;
    while (!hasEnded(child) && child.pid !== undefined && Date.now() < giveUpAt) {
      const file = await readPostmasterFile(dir);
      if (file?.pid === child.pid && file.ready) return true;
      await Promise.race([delay(READY_POLL_MS), failed]);
    }
    if (child.pid !== undefined) await this.#shutDown(['SIGQUIT', 'SIGKILL']);
    return false;
  }

  #settings(): string[] {
    const settings: { [name: string]: string } = {
      listen_addresses: '127.0.0.1',
      port: String(this.#port),
      unix_socket_directories: '',
      logging_collector: 'off',
      log_destination: 'stderr',
      timezone: 'UTC',
      log_timezone: 'UTC',
      ...(this.#options.durable === false ? { fsync: 'off', full_page_writes: 'off' } : {}),
      ...this.#options.settings,
    };
    return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  }

  async #shutDown(signals: readonly NodeJS.Signals[]): Promise<void> {
    const child = this.#child;
    if (!child) return;
    for (const signal of signals) {
      if (hasEnded(child)) break;
      const limit = new AbortController();
      const ended = once(child, 'exit', { signal: limit.signal }).catch(() => undefined);
      const timer = setTimeout(() => limit.abort(), SHUTDOWN_LIMIT_MS);
      child.kill(signal);
      await ended;
      clearTimeout(timer);
    }
    this.#child = null;
  }
}

async function prepareDirectory(path: string, runAs: RunAs | null): Promise<string> {
  await mkdir(path, { recursive: true });
  const dir = await realpath(path);
  if (runAs && !(await reachable(dir, runAs))) {
    // Passing through is all that is needed, so the directory stays unreadable; one above it is not ours to open.
    await chmod(dir, (await stat(dir)).mode | 0o011);
    if (!(await reachable(dir, runAs))) {
      throw new PipelineError(
        'usage',
        `as root, Postgres runs as user ${runAs.uid}, who may not enter ${dir}; choose a directory below /tmp`,
      );
    }
  }
  return dir;
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
