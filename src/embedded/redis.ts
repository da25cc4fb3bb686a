import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { type Socket, connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { PipelineError } from '../errors.js';
import { freePort } from './free-port.js';

/** What the operator types when neither Redis nor Valkey is installed. */
export const INSTALL_REDIS = 'apt-get install redis-server, or brew install redis';

const COMMANDS = ['redis-server', 'valkey-server'] as const;

/** How a private Redis is to be started. */
export interface RedisOptions {
  /** Made if need be. Holds `redis.log`, the append-only file if there is one and, while it runs, `redis.pid`. */
  readonly dir: string;
  /** A free one by default. */
  readonly port?: number;
  /** Keeps an append-only file, so that a restart brings the data back. Default false. */
  readonly appendOnly?: boolean;
  /** More settings, as `--name value` on the command line. */
  readonly settings?: Readonly<{ [name: string]: string }>;
}

/** A private Redis that runs. */
export interface EmbeddedRedis {
  readonly url: string;
  readonly port: number;
  /** Of the running server; another one after `restart`. */
  readonly pid: number;
  /** Shuts it down. Safe twice. */
  stop(): Promise<void>;
  /** Ends it with SIGKILL; `restart` brings it back. */
  kill(): Promise<void>;
  /** Ends it with SIGKILL if it runs, and starts it on the same port and directory. */
  restart(): Promise<void>;
}

const START_LIMIT_MS = 10_000;
const STOP_LIMIT_MS = 5_000;
const POLL_MS = 10;
/** Somebody else may take the free port between its choice and its use. */
const PORT_ATTEMPTS = 3;

const run = promisify(execFile);

/** The command that starts a Redis or Valkey of this machine's PATH, or null. */
export function findRedisServer(): string | null {
  return (
    COMMANDS.find((command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0) ?? null
  );
}

/**
 * Starts a private Redis on 127.0.0.1 that evicts nothing. One that a killed process left behind in `dir` is ended
 * first. It is not in this process's group, so Ctrl-C does not reach it; it is ended when this process exits. Throws
 * `usage` when there is no Redis here or a living process uses `dir`, `redis_unavailable` when it does not start.
 */
export async function startRedis(options: RedisOptions): Promise<EmbeddedRedis> {
  const command = findRedisServer();
  if (command === null) {
    throw new PipelineError('usage', `there is no redis-server on the PATH: ${INSTALL_REDIS}`);
  }
  await mkdir(options.dir, { recursive: true });
  await reapRedis(options.dir);
  const server = new Server(command, options);
  await server.start();
  return server;
}

class Server implements EmbeddedRedis {
  readonly #command: string;
  readonly #options: RedisOptions;
  #port = 0;
  #child: ChildProcess | null = null;

  constructor(command: string, options: RedisOptions) {
    this.#command = command;
    this.#options = options;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async start(): Promise<void> {
    const fixed = this.#port || this.#options.port;
    for (let attempt = 1; ; attempt += 1) {
      this.#port = fixed ?? (await freePort());
      if (await this.#launch()) return;
      if (fixed !== undefined || attempt === PORT_ATTEMPTS) break;
    }
    const message = `${this.#command} did not start; redis.log in ${this.#options.dir} says why`;
    throw new PipelineError('redis_unavailable', message);
  }

  async stop(): Promise<void> {
    await this.#end(['SIGTERM', 'SIGKILL']);
    await rm(pidFile(this.#options.dir), { force: true });
  }

  async kill(): Promise<void> {
    await this.#end(['SIGKILL']);
  }

  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  /** True once it answers, false when it ended before. */
  async #launch(): Promise<boolean> {
    const { dir } = this.#options;
    const log = await open(join(dir, 'redis.log'), 'a', 0o600);
    const child = spawn(this.#command, this.#arguments(), {
      cwd: dir,
      stdio: ['ignore', log.fd, log.fd],
      // Its own process group: Ctrl-C is for us to answer, in our own order.
      detached: true,
    });
    child.on('error', () => undefined);
    await log.close();
    if (child.pid === undefined) return false;
    this.#child = child;
    endAtExit(child);
    await writeFile(pidFile(dir), `${child.pid} ${this.#port} ${process.pid}\n`);
    const giveUpAt = Date.now() + START_LIMIT_MS;
    while (!hasEnded(child) && Date.now() < giveUpAt) {
      // Checked again: what answers may be somebody else's, who took the port first.
      if ((await answers(this.#port)) && !hasEnded(child)) return true;
      await delay(POLL_MS);
    }
    await this.kill();
    return false;
  }

  #arguments(): string[] {
    const settings = {
      bind: '127.0.0.1',
      port: String(this.#port),
      save: '',
      appendonly: this.#options.appendOnly ? 'yes' : 'no',
      'maxmemory-policy': 'noeviction',
      ...this.#options.settings,
    };
    return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  }

  async #end(signals: readonly NodeJS.Signals[]): Promise<void> {
    const child = this.#child;
    if (!child) return;
    for (const signal of signals) {
      if (hasEnded(child)) break;
      const limit = AbortSignal.timeout(STOP_LIMIT_MS);
      const ended = once(child, 'exit', { signal: limit }).catch(() => undefined);
      child.kill(signal);
      await ended;
    }
    this.#child = null;
  }
}

function pidFile(dir: string): string {
  return join(dir, 'redis.pid');
}

/** Ends what a killed process left running in `dir`. A pid that now belongs to something else is left alone. */
export async function reapRedis(dir: string): Promise<void> {
  const note = await readFile(pidFile(dir), 'utf8').catch(() => '');
  const [pid, port, owner] = note.trim().split(' ').map(Number);
  if (!pid || !port || !owner) return;
  if (owner !== process.pid && isAlive(owner) && (await serves(pid, port))) {
    throw new PipelineError('usage', `the Redis in ${dir} belongs to process ${owner}, which is alive`);
  }
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (!(await serves(pid, port))) break;
    process.kill(pid, signal);
    for (const until = Date.now() + STOP_LIMIT_MS; Date.now() < until && isAlive(pid);) await delay(POLL_MS);
  }
  await rm(pidFile(dir), { force: true });
}

/** Redis and Valkey show the address they serve in their command line. */
async function serves(pid: number, port: number): Promise<boolean> {
  const command = await run('ps', ['-ww', '-p', String(pid), '-o', 'command=']).then(
    ({ stdout }) => stdout,
    () => '',
  );
  return COMMANDS.some((name) => command.includes(name)) && command.includes(`127.0.0.1:${port}`);
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** Whether a server on this port answers PING, in Redis's inline protocol. */
async function answers(port: number): Promise<boolean> {
  const socket: Socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  try {
    socket.write('PING\r\n');
    const answer: readonly unknown[] = await once(socket, 'data', {
      signal: AbortSignal.timeout(STOP_LIMIT_MS),
    });
    return String(answer[0]).startsWith('+PONG');
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** Servers of this process. At exit, when nothing can be cut short any more, they are told to shut down. */
const running = new Set<ChildProcess>();
const endRunning = (): void => running.forEach((server) => server.kill('SIGTERM'));

function endAtExit(child: ChildProcess): void {
  if (!process.listeners('exit').includes(endRunning)) process.once('exit', endRunning);
  running.add(child);
  child.once('exit', () => running.delete(child));
}
