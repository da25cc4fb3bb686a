// docker-compose.yml and the Dockerfile, carried out without an engine: every service is a process of this machine, with
// the command, the environment, the mounts and the order that the files say. What differs is where things are: volumes
// are folders, hosts are ports of loopback, and all users are one.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { freePort } from '../../src/embedded/free-port.js';
import { type EmbeddedPostgres, startPostgres } from '../../src/embedded/postgres.js';
import { findRedisServer } from '../../src/embedded/redis.js';
import { SqsFaultProxy } from '../../src/proof/sqs-fault-proxy.js';
import { withConnection } from './postgres.js';
import { hasPsql } from './psql.js';
import { eventually } from './queue.js';

/** A service as Compose sees it, anchors resolved. */
export interface Service {
  readonly image: string;
  readonly build?: { readonly target: string };
  readonly user?: string;
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly environment?: Readonly<{ [name: string]: string }>;
  readonly volumes?: readonly string[];
  readonly depends_on?: Readonly<{ [service: string]: { readonly condition: string } }>;
  readonly healthcheck?: { readonly test?: readonly string[]; readonly disable?: boolean };
  readonly profiles?: readonly string[];
  readonly ports?: readonly string[];
  readonly networks?: readonly string[];
  readonly stop_grace_period?: string;
  readonly restart?: string;
  readonly init?: boolean;
  readonly read_only?: boolean;
  readonly tmpfs?: readonly string[];
  readonly cap_add?: readonly string[];
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
}

/** What a stage of the Dockerfile gives to its containers. */
export interface Image {
  readonly env: Readonly<{ [name: string]: string }>;
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly healthcheck: readonly string[];
  readonly user: string;
}

/** A process that ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
}

/** The package's root and the folder of the build, from this file's place in it. */
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const BUILD = fileURLToPath(new URL('../../', import.meta.url));
const PSQL = fileURLToPath(new URL('psql.js', import.meta.url));
/** Ports by which services know each other. */
const PORTS = { postgres: '5432', valkey: '6379', sqs: '4566' } as const;
const HTTP_PORT = '9090';
const HEALTHY_LIMIT_MS = 60_000;

/** The services of docker-compose.yml, by name. */
export function readServices(): Readonly<{ [name: string]: Service }> {
  const file: unknown = parse(readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8'), { merge: true });
  return (file as { services: { [name: string]: Service } }).services;
}

/** The stages of the Dockerfile, by name; of each what concerns its containers. */
export function readImages(): ReadonlyMap<string, Image> {
  const text = readFileSync(join(ROOT, 'Dockerfile'), 'utf8');
  const lines = text
    .replace(/^#.*\n/gm, '')
    .replace(/\\\n\s*/g, ' ')
    .split('\n');
  const images = new Map<string, Image>();
  let stage = '';
  for (const line of lines) {
    const [, instruction = '', rest = ''] = /^([A-Z]+) (.*)$/.exec(line) ?? [];
    if (instruction === 'FROM') stage = rest.split(' AS ')[1] ?? '';
    const image = images.get(stage) ?? { env: {}, entrypoint: [], cmd: [], healthcheck: [], user: 'root' };
    images.set(stage, { ...image, ...changed(image, instruction, rest) });
  }
  return images;
}

function changed(image: Image, instruction: string, rest: string): Partial<Image> {
  const list = (json: string): readonly string[] => JSON.parse(json) as string[];
  switch (instruction) {
    case 'ENV': {
      const env: { [name: string]: string } = { ...image.env };
      for (const pair of rest.split(/\s+/)) {
        const at = pair.indexOf('=');
        env[pair.slice(0, at)] = pair.slice(at + 1);
      }
      return { env };
    }
    case 'ENTRYPOINT':
      return { entrypoint: list(rest) };
    case 'CMD':
      return { cmd: list(rest) };
    case 'HEALTHCHECK':
      return { healthcheck: list(rest.slice(rest.indexOf('['))) };
    case 'USER':
      return { user: rest };
    default:
      return {};
  }
}

/** What is mounted: its place in the container, and where that is on this machine. */
type Mount = readonly [target: string, source: string];

/** A running service. */
export class Container {
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcess;
  #output = '';

  constructor(child: ChildProcess) {
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.#output += text));
    }
    this.ended = once(child, 'close').then(() => ({
      code: child.exitCode,
      signal: child.signalCode,
      output: this.#output,
    }));
  }

  get output(): string {
    return this.#output;
  }

  /** SIGTERM, as `docker compose stop` sends it; says how long the process took to end. */
  async stop(): Promise<Ended & { readonly ms: number }> {
    const from = performance.now();
    this.#child.kill('SIGTERM');
    return { ...(await this.ended), ms: performance.now() - from };
  }

  kill(): void {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL');
  }
}

/** One `docker compose` project. */
export class Compose {
  readonly dir = temporaryFolder();
  readonly services = readServices();
  readonly #images = readImages();
  readonly #ports = new Map<string, string>();
  readonly #running = new Map<string, Container>();
  readonly #up = new Map<string, Promise<void>>();
  readonly #placed = new Map<string, Promise<readonly Mount[]>>();
  #postgres: EmbeddedPostgres | null = null;
  #door: SqsFaultProxy | null = null;

  /** Before the first service starts: has the queue refuse all calls that a service may not make. */
  async guardQueue(allows: (service: string, action: string) => boolean): Promise<void> {
    const door = new SqsFaultProxy(Number(await this.port('sqs')));
    door.fault = ({ action, accessKey }) =>
      accessKey === null || allows(accessKey, action)
        ? null
        : { kind: 'error', status: 403, type: 'com.amazonaws.sqs#AccessDenied' };
    await door.start();
    this.#door = door;
  }

  /** Starts a service after all that it depends on, and waits until others may depend on it. */
  up(name: string): Promise<void> {
    const starting = this.#up.get(name) ?? this.#start(name);
    this.#up.set(name, starting);
    return starting;
  }

  /** Runs a service that ends, once more, as `docker compose run` does; `command` is instead of its own. */
  async run(name: string, command?: readonly string[]): Promise<Ended> {
    return (await this.#spawn(name, this.#command(name, command))).ended;
  }

  /** Runs a command in a running service, as `docker compose exec` does. */
  async exec(name: string, command: readonly string[]): Promise<Ended> {
    return (await this.#spawn(name, command)).ended;
  }

  container(name: string): Container {
    const container = this.#running.get(name);
    assert.ok(container, `${name} does not run`);
    return container;
  }

  /** One run of the service's health check. */
  async health(name: string): Promise<Ended> {
    const [kind, ...test] = this.#service(name).healthcheck?.test ?? [
      'CMD',
      ...this.#image(name).healthcheck,
    ];
    assert.equal(kind, 'CMD');
    return (await this.#spawn(name, test)).ended;
  }

  /** The port of this machine that stands for one of a service. */
  async port(name: string): Promise<string> {
    const known = this.#ports.get(name) ?? String(await freePort());
    this.#ports.set(name, known);
    return known;
  }

  /** The folder that stands for a volume. */
  volume(name: string): string {
    const folder = join(this.dir, 'volumes', name);
    mkdirSync(folder, { recursive: true });
    return folder;
  }

  /** A connection URL of the superuser. */
  get databaseUrl(): string {
    const url = new URL(this.#postgres?.url ?? '');
    url.pathname = '/maskline';
    url.password = readFileSync(join(this.volume('superuser'), 'password'), 'utf8');
    return url.href;
  }

  /** Ends what still runs. */
  async down(): Promise<void> {
    for (const container of this.#running.values()) container.kill();
    await Promise.all([...this.#running.values()].map((container) => container.ended));
    await this.#postgres?.stop();
    await this.#door?.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }

  async #start(name: string): Promise<void> {
    const service = this.#service(name);
    await Promise.all(Object.keys(service.depends_on ?? {}).map((other) => this.up(other)));
    if (name === 'postgres') await this.#startPostgres(service);
    else this.#running.set(name, await this.#spawn(name, this.#command(name)));
    if (service.restart === 'no') {
      const { code, output } = await this.container(name).ended;
      assert.equal(code, 0, `${name}: ${output}`);
      return;
    }
    const isWaitedFor = Object.values(this.services).some(
      (other) => other.depends_on?.[name]?.condition === 'service_healthy',
    );
    if (!isWaitedFor) return;
    await eventually(
      async () => (await this.health(name)).code,
      (code) => code === 0,
      HEALTHY_LIMIT_MS,
    );
  }

  /** What the entrypoint of the image does: a superuser with the password of the file, and the database. */
  async #startPostgres({ environment = {} }: Service): Promise<void> {
    const port = Number(await this.port('postgres'));
    const server = await startPostgres({
      dir: join(this.dir, 'postgres'),
      port,
      durable: false,
      temporary: true,
    });
    this.#postgres = server;
    const file = await this.#place('postgres', environment['POSTGRES_PASSWORD_FILE'] ?? '');
    const password = readFileSync(file, 'utf8');
    await withConnection(server.url, async (client) => {
      await client.query(`create database ${environment['POSTGRES_DB']}`);
      await client.query(`alter role postgres password '${password}'`);
    });
  }

  #service(name: string): Service {
    const service = this.services[name];
    assert.ok(service, `docker-compose.yml has no service ${name}`);
    return service;
  }

  #image(name: string): Image {
    const empty = { env: {}, entrypoint: [], cmd: [], healthcheck: [], user: 'root' };
    return this.#images.get(this.#service(name).build?.target ?? '') ?? empty;
  }

  /** As Docker puts it together: an entrypoint of the service's own leaves out the image's command. */
  #command(name: string, instead?: readonly string[]): readonly string[] {
    const { entrypoint, command } = this.#service(name);
    const image = this.#image(name);
    return [...(entrypoint ?? image.entrypoint), ...(instead ?? command ?? (entrypoint ? [] : image.cmd))];
  }

  async #spawn(name: string, command: readonly string[]): Promise<Container> {
    const { environment = {} } = this.#service(name);
    const env: { [name: string]: string } = { PATH: this.#path(), HOME: this.#folder('home') };
    for (const [key, value] of Object.entries({ ...this.#image(name).env, ...environment })) {
      if (key.endsWith('_UID')) env[key] = String(process.getuid?.() ?? 0);
      // The emulator takes any key: this one says whose call it is.
      else if (key === 'AWS_ACCESS_KEY_ID') env[key] = name;
      else env[key] = key === 'PGHOST' ? '127.0.0.1' : await this.#place(name, value);
    }
    const [program = '', ...args] = await Promise.all(command.map((word) => this.#place(name, word)));
    const child = spawn(program, args, { cwd: this.#app(), env, stdio: ['ignore', 'pipe', 'pipe'] });
    child.on('error', () => undefined);
    return new Container(child);
  }

  /** Where on this machine is what a service calls so. */
  async #place(name: string, text: string): Promise<string> {
    let placed = text.replaceAll('$$', '$').replace(/\$\{\w+:-(.*?)\}/g, '$1');
    for (const [target, source] of await this.#mounts(name)) placed = placed.replaceAll(target, source);
    return this.#ported(name, placed);
  }

  async #ported(name: string, text: string): Promise<string> {
    let placed = text;
    for (const [host, port] of Object.entries(PORTS)) {
      placed = placed.replaceAll(`${host}:${port}`, `127.0.0.1:${port}`);
      const door = host === 'sqs' && name !== 'sqs' ? this.#door : null;
      placed = placed.replace(
        new RegExp(`\\b${port}\\b`, 'g'),
        String(door?.port ?? (await this.port(host))),
      );
    }
    return placed.replace(new RegExp(`\\b${HTTP_PORT}\\b`, 'g'), await this.port(name));
  }

  /** Its mounts, made once: a file that is written again would be empty for a moment, for who reads it then. */
  #mounts(name: string): Promise<readonly Mount[]> {
    const placed = this.#placed.get(name) ?? this.#placeMounts(name);
    this.#placed.set(name, placed);
    return placed;
  }

  /** Files are given to each service as it would read them. */
  async #placeMounts(name: string): Promise<readonly Mount[]> {
    const mounts: Mount[] = [];
    for (const mount of this.#service(name).volumes ?? []) {
      const [source = '', target = ''] = mount.split(':');
      if (source.startsWith('./')) continue;
      mounts.push([target, this.volume(source)]);
      // A folder of volumes under their own names.
      if (target.endsWith(`/${source}`) && target !== `/${source}`) {
        mounts.push([dirname(target), dirname(this.volume(source))]);
      }
    }
    for (const mount of this.#service(name).volumes ?? []) {
      const [source = '', target = ''] = mount.split(':');
      if (!source.startsWith('./')) continue;
      let content = readFileSync(join(ROOT, source), 'utf8');
      if (source.endsWith('.yaml')) {
        for (const [path, folder] of mounts) content = content.replaceAll(path, folder);
        content = await this.#ported(name, content);
      }
      const file = join(this.#folder(`files-${name}`), source.replaceAll('/', '-'));
      writeFileSync(file, content);
      mounts.push([target, file]);
    }
    return mounts;
  }

  /** /app of the image: what the Dockerfile copies there. */
  #app(): string {
    const app = join(this.dir, 'app');
    const links = { dist: BUILD, node_modules: `${ROOT}node_modules`, deploy: `${ROOT}deploy` };
    try {
      mkdirSync(app);
    } catch {
      return app;
    }
    for (const [name, target] of Object.entries(links)) symlinkSync(target, join(app, name));
    return app;
  }

  /** Commands of the images that go by another name here, or are not there at all; written once, as mounts are. */
  #path(): string {
    const folder = join(this.dir, 'bin');
    const path = [folder, dirname(process.execPath), process.env['PATH']].join(delimiter);
    if (existsSync(folder)) return path;
    const redis = findRedisServer() === 'redis-server' ? 'redis' : 'valkey';
    const scripts = {
      'valkey-server': `cd "${this.volume('valkey')}" && exec ${redis}-server "$@" --port ${this.#ports.get('valkey')} --bind 127.0.0.1`,
      'valkey-cli': `exec ${redis}-cli -p ${this.#ports.get('valkey')} "$@"`,
      maskline: `exec node "${BUILD}src/cli/main.js" "$@"`,
      ...(hasPsql()
        ? {}
        : Object.fromEntries(
            ['psql', 'pg_isready'].map((name) => [name, `exec node "${PSQL}" ${name} "$@"`]),
          )),
    };
    mkdirSync(folder, { recursive: true });
    for (const [name, script] of Object.entries(scripts)) {
      writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    }
    return path;
  }

  #folder(name: string): string {
    const folder = join(this.dir, name);
    mkdirSync(folder, { recursive: true });
    return folder;
  }
}

/** Which others may enter: as root, Postgres runs as somebody else. */
function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'maskline-compose-'));
  chmodSync(folder, 0o755);
  return folder;
}
