import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const OXLINT = path.join(ROOT, 'node_modules', 'oxlint', 'bin', 'oxlint');

/** A file of that path with that content must be refused for that reason. */
interface Planted {
  readonly file: string;
  readonly text: string;
  readonly reason: RegExp;
}

const FORBIDDEN: readonly Planted[] = [
  {
    file: 'src/errors.ts',
    text: "import { now } from './clock.js';\nexport const a = now;\n",
    reason: /errors may not import clock/,
  },
  {
    file: 'src/batch.ts',
    text: "import { a } from './masking/masked.js';\nexport const b = a;\n",
    reason: /batch may not import masking\/masked/,
  },
  {
    file: 'src/pipeline.ts',
    text: "import { a } from './load/postgres.js';\nexport const b = a;\n",
    reason: /pipeline may not import load\/postgres/,
  },
  {
    file: 'src/load/a.ts',
    text: "import type { A } from '../queue/queue.js';\nexport type B = A;\n",
    reason: /load\/a may not import queue\/queue/,
  },
  {
    file: 'src/queue/b.ts',
    text: "export const b = await import('../source/sqs.js');\n",
    reason: /queue\/b may not import source\/sqs/,
  },
  {
    file: 'src/queue/c.ts',
    text: "export { a } from '../masking/masked.js';\n",
    reason: /queue\/c may not import masking\/masked/,
  },
  {
    file: 'src/ops/d.ts',
    text: "export type D = import('../load/sink.js').Sink;\n",
    reason: /ops\/d may not import load\/sink/,
  },
  {
    file: 'src/ops/admin/d.ts',
    text: "import { boardJob } from '../../queue/board.js';\nexport const d = boardJob;\n",
    reason: /ops\/admin\/d may not import queue\/board/,
  },
  {
    file: 'src/masking/e.ts',
    text: "import { asMasked } from './masked.js';\nexport const e = asMasked;\n",
    reason: /asMasked is only for masking\/mask and masking\/quarantined and queue\/payload/,
  },
  {
    file: 'src/load/f.ts',
    text: "import { SQSClient } from '@aws-sdk/client-sqs';\nexport const f = SQSClient;\n",
    reason: /@aws-sdk\/\* is only for source\/sqs/,
  },
  {
    file: 'src/queue/g.ts',
    text: "import { Redis } from 'ioredis';\nexport const g = Redis;\n",
    reason: /ioredis is only for queue\/bullmq\*/,
  },
  {
    file: 'src/ops/h.ts',
    text: "import { debounce } from 'lodash';\nexport const h = debounce;\n",
    reason: /package lodash is not in scripts\/import-table/,
  },
  {
    file: 'src/cli/i.ts',
    text: "import { startPostgres } from '../embedded/postgres.js';\nexport const i = startPostgres;\n",
    reason: /cli\/i may not import embedded\/postgres/,
  },
  {
    file: 'src/roles/j.ts',
    text: "export const j = await import('../embedded/postgres.js');\n",
    reason: /roles\/j may not import embedded\/postgres/,
  },
  {
    file: 'workers/k.ts',
    text: "import { a } from '../src/cli/main.js';\nexport const k = a;\n",
    reason: /workers may not import cli\/main/,
  },
  {
    file: 'src/novelty.ts',
    text: "import { a } from './errors.js';\nexport const l = a;\n",
    reason: /novelty is not in scripts\/import-table/,
  },
  {
    file: 'src/load/m.ts',
    text: "import { a } from '../../test/support/a.js';\nexport const m = a;\n",
    reason: /src imports nothing from outside of src/,
  },
  { file: 'src/load/n.ts', text: "export * from './sink.js';\n", reason: /export by name/ },
  {
    file: 'src/load/o.ts',
    text: "export const o = process.env['HOME'];\n",
    reason: /process\.env/,
  },
  { file: 'src/load/p.ts', text: 'export default 1;\n', reason: /default/ },
  {
    file: 'src/load/q.ts',
    text: `export const q = 1;\n${'// A line.\n'.repeat(300)}`,
    reason: /too many lines/,
  },
  {
    file: 'src/load/r.ts',
    text: `export function r(): void {\n${'  void 0;\n'.repeat(60)}}\n`,
    reason: /too many lines/,
  },
  {
    file: 'src/load/s.ts',
    text: 'const s = async (): Promise<void> => undefined;\nexport const t = (): void => {\n  s();\n};\n',
    reason: /Promises must be awaited/,
  },
  {
    file: 'src/load/u.ts',
    text:
      "export function u(code: 'a' | 'b'): number {\n" +
      "  switch (code) {\n    case 'a':\n      return 1;\n  }\n  return 2;\n}\n",
    reason: /Switch is not exhaustive/,
  },
  { file: 'src/load/v.ts', text: 'export const v: any = 1;\n', reason: /any/ },
  {
    file: 'src/load/w.ts',
    text: "import { x } from './x.js';\nexport const w = (): unknown => x;\n",
    reason: /cycle/i,
  },
];

/** These must not be refused. */
const ALLOWED: readonly { readonly file: string; readonly text: string }[] = [
  {
    file: 'src/load/x.ts',
    text: "import { w } from './w.js';\nexport const x = (): unknown => w;\n",
  },
  {
    file: 'src/queue/payload.ts',
    text: "import { asMasked } from '../masking/masked.js';\nexport const a = asMasked;\n",
  },
  {
    file: 'src/cli/lazy.ts',
    text: "export const lazy = (): Promise<unknown> => import('../embedded/postgres.js');\n",
  },
  { file: 'src/cli/env.ts', text: "export const home = process.env['HOME'];\n" },
  { file: 'workers/load.ts', text: "import { a } from '../src/cli/entry.js';\nexport const b = a;\n" },
  { file: 'src/load/pool.ts', text: "import pg from 'pg';\nexport const pool = pg.Pool;\n" },
];

/** The modules that the planted files import, so that lint can resolve them. */
const TARGETS = [
  'src/clock.ts',
  'src/masking/masked.ts',
  'src/load/postgres.ts',
  'src/load/sink.ts',
  'src/queue/queue.ts',
  'src/source/sqs.ts',
  'src/embedded/postgres.ts',
  'src/cli/main.ts',
  'src/cli/entry.ts',
  'test/support/a.ts',
];

/** Lints the planted files under this project's own rules; messages by file. */
function lintPlanted(t: TestContext): ReadonlyMap<string, readonly string[]> {
  const folder = mkdtempSync(path.join(tmpdir(), 'maskline-lint-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const name of ['.oxlintrc.json', 'scripts', 'tsconfig.json', 'package.json']) {
    cpSync(path.join(ROOT, name), path.join(folder, name), { recursive: true });
  }
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'));
  const targets = TARGETS.map((file) => ({
    file,
    text:
      'export const a = 1;\nexport const now = 1;\nexport const startPostgres = 1;\n' +
      'export const asMasked = 1;\nexport interface A {\n  readonly a: 1;\n}\n' +
      'export interface Sink {\n  readonly a: 1;\n}\n',
  }));
  for (const { file, text } of [...targets, ...FORBIDDEN, ...ALLOWED]) {
    mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
    writeFileSync(path.join(folder, file), text);
  }
  const done = spawnSync(process.execPath, [OXLINT, '-f', 'unix'], { cwd: folder, encoding: 'utf8' });
  const found = new Map<string, string[]>();
  for (const line of done.stdout.split('\n')) {
    const [, file, message] = /^(\S+?):\d+:\d+: (.*)$/.exec(line) ?? [];
    if (file === undefined || message === undefined) continue;
    found.set(file, [...(found.get(file) ?? []), message]);
  }
  return found;
}

test('lint refuses what the import table and the house rules forbid, and nothing that they allow', (t) => {
  const found = lintPlanted(t);
  for (const { file, reason } of FORBIDDEN) assert.match((found.get(file) ?? []).join('\n'), reason, file);
  for (const { file } of ALLOWED) {
    const messages = (found.get(file) ?? []).filter((message) => !message.includes('cycle'));
    assert.deepEqual(messages, [], file);
  }
});

test('there is no module of a name that says nothing', () => {
  const names = readdirSync(path.join(ROOT, 'src'), { recursive: true, encoding: 'utf8' });
  const empty = /(?:^|[/\\])(?:utils?|common|helpers?|types|interfaces|misc|shared)(?:\.ts)?$/;
  assert.deepEqual(
    names.filter((name) => empty.test(name)),
    [],
  );
});
