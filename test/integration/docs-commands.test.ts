import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import { isThere, testsInsteadOf } from '../support/documented-elsewhere.js';
import { type CommandBlock, type Page, readPages } from '../support/documents.js';
import { assertShows } from '../support/shown.js';
import { type Deployment, LOGIN_COLUMNS, PIPELINE, type Stack, startStack } from '../support/stack.js';
import { Terminal } from '../support/terminal.js';

/** Where a page's commands are typed. */
interface Place {
  readonly dir: string;
  readonly env: Readonly<{ [name: string]: string }>;
  /** What the page asks of its reader before a block: what only they know. */
  readonly prepare?: (block: CommandBlock) => void | Promise<void>;
}

/** Commands that go on until Ctrl-C, and what tells that they are at work. The next is typed into another terminal. */
const GOES_ON: readonly (readonly [RegExp, RegExp])[] = [
  [/^npx maskline demo .*--stay/m, /It all stays up.*\n/],
  [/^(?:npx )?maskline run\b/m, /listening/],
];

const DEAD_LETTERS = 'dead-letters';

const pages = await readPages();
const dirs: string[] = [];
let stack: Stack;
before(async () => {
  // As an operator would have them, so that who looks for faults finds none.
  stack = await startStack({ fsync: 'on', full_page_writes: 'on' });
  await stack.sqs.createQueue(DEAD_LETTERS, { MessageRetentionPeriod: '1209600' });
  const redis = new Redis(stack.redis.url);
  await redis.config('SET', 'appendonly', 'yes');
  await redis.config('SET', 'maxmemory', '256mb');
  redis.disconnect();
});
after(async () => {
  await stack.stop();
  for (const dir of dirs) rmSync(dir, { recursive: true, force: true });
});

/** Of a queue. */
function redrive(): Readonly<{ [name: string]: string }> {
  const deadLetterTargetArn = stack.sqs.queueArn(DEAD_LETTERS);
  return { RedrivePolicy: JSON.stringify({ deadLetterTargetArn, maxReceiveCount: 5 }) };
}

function emptyDirectory(): string {
  const dir = mkdtempSync(join(tmpdir(), 'maskline-docs-'));
  // For the database of the demo, whose user is another where this one is root: it goes with the directory.
  chmodSync(dir, 0o755);
  dirs.push(dir);
  return dir;
}

/** Nothing but what the page itself brings along. */
async function nothing(): Promise<Place> {
  return { dir: emptyDirectory(), env: {} };
}

/** The servers of a reader who has some, to be filled into `.env`, and an empty directory. */
async function servers(): Promise<Place> {
  const { environment } = await stack.deployment({ ddl: null, keys: false, queueAttributes: redrive() });
  const dir = emptyDirectory();
  const { MASKLINE_CONFIG: _own, ...env } = environment;
  return {
    dir,
    env: {},
    prepare: ({ text }) => {
      if (!text.includes('. ./.env')) return;
      const written = readFileSync(join(dir, '.env'), 'utf8');
      const kek = /^MASKLINE_KEK=(.*)$/m.exec(written)?.[1] ?? '';
      const lines = Object.entries({ ...env, MASKLINE_KEK: kek });
      writeFileSync(join(dir, '.env'), lines.map(([name, value]) => `${name}=${value}\n`).join(''));
    },
  };
}

const login = (i: number, changes: object = {}): string =>
  JSON.stringify({ user_id: `u-${i}`, ip: `203.0.113.${i}`, device_id: `d-${i}`, locale: 'PT', ...changes });

const LONG = 'a locale of more than thirty-two letters';

/** A deployment at work, with loaded rows and records in quarantine, of which some are easily mended. */
async function deployment(): Promise<Place> {
  const own = await stack.deployment({
    queueAttributes: redrive(),
    pipeline: { schedule: 'continuous', limits: { breaker: { max_rejected_ratio: 1 } } },
  });
  own.configure((config) => ({
    ...config,
    keyring: {
      file: '${MASKLINE_KEYRING:-./maskline.keyring.json}',
      kek: { type: 'file', path: own.kekFile },
    },
  }));
  assert.equal((await own.cli.run(['migrate'])).code, 0);
  await own.send([login(1), login(2), login(3, { locale: LONG }), login(4, { ip: 'none' })]);
  const drained = await own.cli.run(['drain']);
  assert.equal(drained.code, 0, drained.stderr);
  // A deployment has the file where its commands are typed, and a place for its backups.
  mkdirSync(join(own.dir, 'backup'));
  const { MASKLINE_CONFIG: _own, ...env } = own.environment;
  return { dir: own.dir, env, prepare: ({ text }) => mend(own, text) };
}

/** Before a replay the reader has mended what the page says is wrong. */
async function mend(own: Deployment, text: string): Promise<void> {
  if (!text.includes('quarantine replay')) return;
  const locale = { ...LOGIN_COLUMNS.locale, max_length: 64 };
  own.configurePipeline({ columns: { ...LOGIN_COLUMNS, locale } });
  await own.query(`alter table public.${PIPELINE} alter column locale type varchar(64)`);
}

/** By page; any other is of a deployment at work. */
const PLACES: Readonly<{ [file: string]: () => Promise<Place> }> = {
  'README.md': servers,
  'docs/quickstart.md': nothing,
};

/** Types the blocks of a page, in their order; all are to succeed, and to show what the page says. */
async function follow({ blocks }: Page, place: Place): Promise<void> {
  const terminals = [new Terminal(place.dir, place.env)];
  try {
    for (const block of blocks) {
      if (testsInsteadOf(block) !== null) continue;
      const where = `${block.document}:${block.line}`;
      await place.prepare?.(block);
      const [terminal] = terminals;
      const ready = GOES_ON.find(([command]) => command.test(block.text))?.[1];
      if (ready === undefined) {
        const typed = await terminal?.run(block.text);
        assert.equal(typed?.code, 0, `${where} ended with ${typed?.code}: ${typed?.stderr}${typed?.stdout}`);
        if (block.shows !== null) assertShows(block.shows, `${typed.stdout}\n${typed.stderr}`);
      } else {
        const shown = (await terminal?.start(block.text, ready)) ?? '';
        if (block.shows !== null) assertShows(block.shows, shown);
        terminals.unshift(new Terminal(place.dir, place.env));
      }
    }
  } finally {
    // The servers of a page are in its first terminal.
    for (const terminal of terminals) await terminal.close();
  }
}

describe('whoever types the commands of a page, word for word, sees what it says', { concurrency: 2 }, () => {
  for (const page of pages) {
    if (page.blocks.every((block) => testsInsteadOf(block) !== null)) continue;
    test(page.file, async () => follow(page, await (PLACES[page.file] ?? deployment)()));
  }
});

test('each block of commands that is not typed here has tests that stand for it, and these are there', () => {
  const blocks = pages.flatMap((page) => page.blocks);
  assert.ok(blocks.length > 20, `only ${blocks.length} blocks were found`);
  const missing = blocks.flatMap((block) =>
    (testsInsteadOf(block) ?? [])
      .filter((name) => !isThere(name))
      .map((name) => `${block.document}:${block.line} ${name}`),
  );
  assert.deepEqual(missing, []);
});
