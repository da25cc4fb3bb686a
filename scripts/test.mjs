// Runs the built tests: `npm test`, `npm test -- unit`, `npm test -- ops-health lifecycle`.
// Each argument is a suite or a part of a file's path. Fails when nothing matches, when nothing ran, and when a
// server that the tests start is missing; says on its last line what was not run.
import { randomInt } from 'node:crypto';
import { accessSync, constants, existsSync, mkdirSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import { freemem } from 'node:os';
import path from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

const SUITES = ['unit', 'property', 'conformance', 'integration', 'simulation'];
/** These start no servers. */
const BARE_SUITES = ['unit', 'property', 'simulation'];
/** Files at once: each may start a Postgres and a Redis of its own, and waits for them most of the time. */
const CONCURRENCY = 3;
/** Far above what any file takes; one that hangs, or leaves a handle open, ends here and fails. */
const FILE_TIMEOUT_MS = 300_000;
const MAX_SEED = 2 ** 31 - 1;
/** A file system in memory, where there is one: each Postgres makes thousands of files, which costs seconds on a disk. */
const MEMORY = '/dev/shm';
/** Several times what the files at once keep there. */
const MEMORY_BYTES = 4 * 1024 ** 3;

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** Built test files by suite. */
function builtTests() {
  return new Map(
    SUITES.map((suite) => {
      const folder = path.join(root, 'dist', 'test', suite);
      const names = existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }) : [];
      return [
        suite,
        names.filter((name) => name.endsWith('.test.js')).map((name) => path.join(folder, name)),
      ];
    }),
  );
}

/** What the filters let through, still by suite. */
function select(tests, filters) {
  if (filters.length === 0) return tests;
  const isWanted = (suite, file) =>
    filters.some((filter) => filter === suite || (!SUITES.includes(filter) && file.includes(filter)));
  return new Map([...tests].map(([suite, files]) => [suite, files.filter((file) => isWanted(suite, file))]));
}

function isOnPath(program) {
  return (process.env.PATH ?? '').split(path.delimiter).some((folder) => {
    try {
      accessSync(path.join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Puts temporary files into memory where there is room, unless TMPDIR says where to; gone with this process. */
function useMemory() {
  if (process.env.TMPDIR !== undefined || !existsSync(MEMORY)) return;
  const { bavail, bsize } = statfsSync(MEMORY);
  if (Math.min(bavail * bsize, freemem()) < MEMORY_BYTES) return;
  // What a run left that was killed; a Postgres whose files are gone ends by itself.
  for (const name of readdirSync(MEMORY)) {
    const pid = /^maskline-test-(\d+)$/.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid)))
      rmSync(path.join(MEMORY, name), { recursive: true, force: true });
  }
  const folder = path.join(MEMORY, `maskline-test-${process.pid}`);
  // The servers run as another user when this is root.
  mkdirSync(folder, { mode: 0o755 });
  process.env.TMPDIR = folder;
  process.once('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
}

function isAlive(pid) {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function refuse(message) {
  console.error(message);
  process.exit(1);
}

/** Runs the files in processes of their own and counts what happened. */
async function runFiles(files) {
  const counts = { passed: 0, failed: 0, skipped: 0, unfinished: 0 };
  const stream = run({ files, concurrency: CONCURRENCY, timeout: FILE_TIMEOUT_MS });
  stream.on('test:pass', ({ skip, todo, details }) => {
    // A file is reported as a test around its own.
    if (details?.type === 'suite') return;
    if (skip !== undefined) counts.skipped += 1;
    else if (todo !== undefined) counts.unfinished += 1;
    else counts.passed += 1;
  });
  stream.on('test:fail', () => (counts.failed += 1));
  for await (const chunk of stream.compose(spec)) process.stdout.write(chunk);
  return counts;
}

const filters = process.argv.slice(2);
const selected = select(builtTests(), filters);
const files = [...selected.values()].flat();
if (files.length === 0) refuse(`no test matches ${filters.join(' ') || 'at all: run npm run build'}`);
const needsServers = [...selected].some(([suite, found]) => found.length > 0 && !BARE_SUITES.includes(suite));
if (needsServers && !isOnPath('redis-server') && !isOnPath('valkey-server')) {
  refuse('the tests start a Redis: apt-get install redis-server (macOS: brew install valkey)');
}
useMemory();
process.env.MASKLINE_TEST_SEED ??= String(randomInt(MAX_SEED));
console.log(`seed ${process.env.MASKLINE_TEST_SEED} (again: MASKLINE_TEST_SEED=... npm test)`);
const counts = await runFiles(files);
const isGreen = counts.failed === 0 && counts.unfinished === 0 && counts.passed > 0;
if (!isGreen) process.exitCode = 1;
const left = SUITES.filter((suite) => selected.get(suite)?.length === 0);
const notRun = [
  counts.skipped > 0 ? `${counts.skipped} tests skipped` : '',
  left.length > 0 ? `suites not run: ${left.join(', ')}` : '',
].filter(Boolean);
console.log(
  `${isGreen ? 'passed' : 'FAILED'}: ${files.length} files, ${counts.passed} tests passed, ${counts.failed} failed; ` +
    (notRun.join('; ') || 'nothing skipped'),
);
