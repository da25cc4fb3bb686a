import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseOptions, repeatOf } from '../chaos/options.js';
import { type Observed, outageReport, outageText } from '../chaos/outage.js';
import { type Look, type Soaked, soakReport, soakText } from '../chaos/soak.js';
import { Receives } from '../chaos/receives.js';
import type { DrillEnd } from '../chaos/drill.js';

const allRight: DrillEnd = {
  sent: 1_000,
  findings: { lost: 0, twice: 0, misplaced: 0, strays: 0, wrong: 0, leaks: [], problems: [], facts: {} },
  problems: [],
  mostReceives: 1,
  receivedAgain: 0,
  failedAttempts: 0,
  wallMs: 40_000,
};
const common = {
  messages: 1_000,
  seed: 1,
  backend: 'redis',
  searchPath: '',
  repeat: 'npm run chaos',
  keep: false,
  signal: new AbortController().signal,
  tell: () => undefined,
} as const;

describe('the verdict on an outage', () => {
  /** Ten seconds of load, an outage of twenty, and ten seconds of load; a commit a second, but for the outage. */
  const observed: Observed = {
    outage: { from: 10_000, to: 30_000 },
    samples: Array.from({ length: 40 }, (_, second) => ({
      at: second * 1_000,
      messages: second >= 10 && second < 35 ? (second - 9) * 100 : 90,
      mostAttempts: 0,
    })),
    commits: [...Array.from({ length: 10 }, (_, second) => 500 + second * 1_000), 31_200, 32_000],
  };
  const options = { ...common, of: 'redis', outageMs: 20_000, perSecond: 25 } as const;
  const verdictOn = (seen: Partial<Observed>, end: Partial<DrillEnd> = {}) =>
    outageReport({ ...observed, ...seen }, { ...allRight, ...end }, options);

  test('passes, and tells how long it took to recover', () => {
    const report = verdictOn({});
    assert.equal(report.verdict, 'passed');
    assert.equal(report.first_commit_ms, 1_200);
    assert.equal(report.backlog_before, 90);
    assert.equal(report.backlog_peak, 2_500);
    assert.equal(report.backlog_recovered_ms, 5_000);
    assert.match(outageText(report), /^lost 0 · twice 0 · leaked 0 · redis away for 20 s · seed 1\n/);
  });

  for (const [what, seen, end] of [
    ['a message is lost', {}, { findings: { ...allRight.findings, lost: 1 } }],
    ['the dead-letter queue has a message', {}, { problems: ['the dead-letter queue has 1 messages'] }],
    ['a message was received three times', {}, { mostReceives: 3 }],
    ['a process logged an attempt that failed', {}, { failedAttempts: 1 }],
    [
      'a job has spent an attempt',
      { samples: observed.samples.map((sample) => ({ ...sample, mostAttempts: 1 })) },
      {},
    ],
    ['nothing was committed afterwards', { commits: observed.commits.slice(0, 10) }, {}],
    [
      'the backlog stays',
      { samples: observed.samples.map((one) => (one.at < 10_000 ? one : { ...one, messages: 91 })) },
      {},
    ],
  ] as const) {
    test(`fails when ${what}`, () => assert.equal(verdictOn(seen, end).verdict, 'failed'));
  }

  test('is invalid when work went on in the outage, or there was none before it', () => {
    assert.equal(verdictOn({ commits: [...observed.commits, 25_000] }).verdict, 'invalid');
    assert.equal(verdictOn({ commits: [31_200, 32_000] }).verdict, 'invalid');
  });
});

describe('the verdict on a soak', () => {
  const look = ({ rss = 100, fds = 30, keys = 12 }: { rss?: number; fds?: number; keys?: number }): Look => ({
    processes: [{ rssBytes: rss * 2 ** 20, fds, heapBytes: 50 * 2 ** 20, lagMs: 11 }],
    queue: { keys, bytes: 2 ** 20, mostAttempts: 0 },
  });
  const soaked: Soaked = {
    names: ['load 0'],
    looks: Array.from({ length: 30 }, () => look({})),
    keysAtStart: 12,
    keysAtEnd: 12,
    busy: 0.5,
  };
  const options = { ...common, soakMs: 60_000, maxGrowth: 0.05 };
  const verdictOn = (seen: Partial<Soaked>) => soakReport({ ...soaked, ...seen }, allRight, options);
  const rising = (by: (at: number) => Parameters<typeof look>[0]): Partial<Soaked> => ({
    looks: Array.from({ length: 30 }, (_, at) => look(by(at))),
  });

  test('passes when nothing grows, and shows each process', () => {
    const report = verdictOn({});
    assert.equal(report.verdict, 'passed');
    assert.match(soakText(report), /load 0\s+100 → 100\s+\+0\.0 %\s+50 → 50\s+30 → 30\s+11 → 11/);
  });

  test('allows growth up to 5 %, and a moment of it', () => {
    assert.equal(verdictOn(rising((at) => ({ rss: at < 15 ? 100 : 105 }))).verdict, 'passed');
    assert.equal(verdictOn(rising((at) => ({ rss: at === 25 ? 400 : 100 }))).verdict, 'passed');
  });

  for (const [what, seen] of [
    ['the memory of a process grows by 6 %', rising((at) => ({ rss: at < 15 ? 100 : 106 }))],
    ['descriptors stay open', rising((at) => ({ fds: 30 + at }))],
    ['keys pile up', rising((at) => ({ keys: 12 + at }))],
    ['a key is left behind', { keysAtEnd: 13 }],
  ] as const) {
    test(`fails when ${what}`, () => assert.equal(verdictOn(seen).verdict, 'failed'));
  }

  test('is invalid when there was hardly a look', () => {
    assert.equal(verdictOn({ looks: soaked.looks.slice(0, 8) }).verdict, 'invalid');
  });
});

test('receives are counted by what SQS answers', () => {
  const receives = new Receives();
  const answer = (id: string, count: number): string =>
    JSON.stringify({ Messages: [{ MessageId: id, Attributes: { ApproximateReceiveCount: String(count) } }] });
  const note = (action: string, text: string): void =>
    receives.note({ action, input: {}, at: 0, accessKey: null }, text);
  note('ReceiveMessage', '{}');
  note('ReceiveMessage', answer('a', 1));
  note('ReceiveMessage', answer('b', 2));
  note('ReceiveMessage', answer('b', 3));
  note('DeleteMessage', answer('c', 9));
  assert.deepEqual([receives.most, receives.again], [3, 1]);
});

describe('the arguments of npm run chaos', () => {
  test('a storm is the default, and the line that repeats a run reads back as the same run', () => {
    const storm = parseOptions([]);
    assert.deepEqual(
      { ...storm },
      {
        messages: 20_000,
        kills: 40,
        seed: 1,
        backend: 'redis',
        profile: 'storm',
        json: false,
        keep: false,
        help: false,
      },
    );
    for (const line of [
      '',
      '--profile committed --kills 500 --backend postgres',
      '--profile outage --of sqs --minutes 3',
      '--profile soak --seed 7',
    ]) {
      const options = parseOptions(line.split(' ').filter((word) => word !== ''));
      assert.deepEqual(parseOptions(repeatOf(options).split(' ').slice(4)), options);
    }
  });

  test('load is so many messages a second, and what cannot be is refused', () => {
    assert.equal(parseOptions(['--profile', 'outage']).messages, 200 * (600 + 2 * 60));
    assert.equal(parseOptions(['--profile', 'soak']).messages, 500 * 1_800);
    for (const args of [
      ['--profile', 'outage', '--of', 'kafka'],
      ['--profile', 'outage', '--of', 'redis', '--backend', 'postgres'],
      ['--profile', 'soak', '--minutes', '0'],
      ['--profile', 'drizzle'],
    ]) {
      assert.throws(() => parseOptions(args), { code: 'usage' });
    }
  });
});
