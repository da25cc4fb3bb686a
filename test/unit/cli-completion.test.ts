import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Cli } from '../support/cli.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'maskline-completion-'));
after(() => rmSync(dir, { recursive: true }));

// As half a file as one has while one writes it: no columns, a variable that is not set, a key that there is not.
writeFileSync(
  join(dir, 'maskline.yaml'),
  'pipelines:\n  logins: { source: "${NOT_SET}" }\n  orders: {}\nunknown: 1\n',
);
writeFileSync(join(dir, 'other.yaml'), 'pipelines: { visits: {} }\n');
mkdirSync(join(dir, 'bin'));
writeFileSync(join(dir, 'bin', 'maskline'), `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`, {
  mode: 0o755,
});

const cli = new Cli(dir, { MASKLINE_CONFIG: join(dir, 'maskline.yaml') });

/** The words that may come next. */
async function next(...words: string[]): Promise<readonly string[]> {
  const { code, stdout, stderr } = await cli.run(['__complete', '--', ...words]);
  assert.equal(code, 0, stderr);
  return stdout.split('\n').flatMap((line) => line.split('\t')[0] || []);
}

test('commands, and the commands below them, with what they are', async () => {
  const all = await next('');
  for (const command of ['demo', 'drain', 'quarantine', 'tap', 'completion'])
    assert.ok(all.includes(command));
  assert.ok(!all.includes('__complete'));
  assert.deepEqual(await next('dr'), ['drain']);
  assert.deepEqual(await next('quarantine', 'p'), ['purge']);
  assert.deepEqual(await next('--json', '--log-level', 'warn', 'keys', 'i'), ['init']);
  const { stdout } = await cli.run(['__complete', '--', 'dr']);
  assert.match(stdout, /^drain\trun each pipeline once/);
});

test('options of the command and of those above it, each once unless it may be repeated', async () => {
  assert.deepEqual(await next('quarantine', 'list', '--by'), ['--by-code', '--by-cause']);
  assert.deepEqual(await next('quarantine', 'list', '--by-code', '--by'), ['--by-cause']);
  assert.deepEqual(await next('quarantine', 'list', '--code', 'bad_ip', '--co'), ['--code', '--config']);
  assert.deepEqual(await next('drain', '--max', '3', '--max'), []);
  assert.deepEqual(await next('drain', '--', '--m'), [], 'after -- nothing is an option');
});

test('values: pipelines of the file that is meant, codes, levels, roles, and files', async () => {
  assert.deepEqual(await next('drain', ''), ['logins', 'orders']);
  assert.deepEqual(await next('drain', 'orders', ''), ['logins']);
  assert.deepEqual(await next('-p', 'l'), ['logins']);
  assert.deepEqual(await next('status', '--pipeline=o'), ['--pipeline=orders']);
  const other = join(dir, 'other.yaml');
  assert.deepEqual(await next('-c', other, 'drain', ''), ['visits']);
  assert.deepEqual(await next(`--config=${other}`, 'schedule', 'pause', ''), ['visits']);
  assert.deepEqual(await next('-c', '/nowhere', 'drain', ''), []);
  assert.deepEqual(await next('run', 'l'), ['load']);
  assert.deepEqual(await next('tap', 'i'), ['ingest']);
  assert.deepEqual(await next('--log-level', 'w'), ['warn']);
  assert.deepEqual(await next('quarantine', 'list', '--code', 'bad_i'), ['bad_ip']);
  assert.deepEqual(await next('failed', 'list', '--code', 'leak'), ['leak_found']);
  assert.deepEqual(await next('runs', 'list', '--state', 'ab'), ['abandoned']);
  assert.deepEqual(await next('init', '--from-sample', ''), [':files']);
  assert.deepEqual(await next('no-such-command', ''), []);
  assert.deepEqual(await next(), await next(''));
});

/** What bash would offer for a line with the cursor at its end. */
function inBash(...words: string[]): readonly string[] {
  const program = `
    source <(maskline completion bash)
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    [[ $(complete -p maskline) == *'-F _maskline_completion maskline' ]] || exit 9
    _maskline_completion
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { status, stdout, stderr } = spawnSync(
    'bash',
    ['--norc', '--noprofile', '-c', program, 'bash', ...words],
    { cwd: dir, env: { PATH: `${dir}/bin:${process.env['PATH']}` }, encoding: 'utf8' },
  );
  assert.equal(status, 0, stderr);
  assert.equal(stderr, '');
  return stdout.split('\n').filter((line) => line !== '');
}

test('bash offers them, puts together what it splits at =, and completes names of files', () => {
  assert.deepEqual(inBash('maskline', 'dlq', ''), ['redrive']);
  assert.deepEqual(inBash('maskline', 'status', '--pipeline', '=', 'lo'), ['logins']);
  assert.deepEqual(inBash('maskline', 'status', '--pipeline', '='), ['logins', 'orders']);
  assert.deepEqual(inBash('maskline', '-c', 'oth'), ['other.yaml']);
});

for (const [shell, check] of [
  ['zsh', ['-n']],
  ['fish', ['--no-execute']],
] as const) {
  const isThere = spawnSync(shell, ['--version']).status === 0;
  test(`the script for ${shell} asks maskline, and ${shell} can read it`, async () => {
    const { code, stdout } = await cli.run(['completion', shell]);
    assert.equal(code, 0);
    assert.match(stdout, / __complete -- /);
    assert.match(stdout, shell === 'zsh' ? /^#compdef maskline\n/ : /\ncomplete -c maskline -f -a '/);
    const file = join(dir, shell);
    writeFileSync(file, stdout);
    if (isThere) execFileSync(shell, [...check, file]);
  });
}

test('a shell that there is no script for is a usage error', async () => {
  const { code, stderr } = await cli.run(['completion', 'csh']);
  assert.equal(code, 2);
  assert.match(stderr, /bash, zsh, fish/);
});
