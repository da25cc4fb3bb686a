import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bench } from '../../src/proof/bench/bench.js';
import { type Outcome, problemOf } from '../../src/proof/bench/drained.js';
import { type Drained, cpuPerMessage, figuresOf } from '../../src/proof/bench/end-to-end.js';
import { spreadOf, summaryOf } from '../../src/proof/bench/figures.js';
import { growthOf } from '../../src/proof/bench/growth.js';
import type { Usage } from '../../src/proof/bench/usage.js';

const MIB = 1_048_576;

/** CPU in µs and peak memory in MiB of one process. */
const usage = (cpuMicros: number, mib: number): Usage => ({
  cpuMicros,
  rssBytes: mib * MIB,
  peakRssBytes: mib * MIB,
});

const DRAINED: Drained = {
  messages: 2_000,
  wallMs: 500,
  before: {
    ingest: usage(900_000, 90),
    transform: usage(800_000, 80),
    load: usage(700_000, 70),
    postgres: usage(50_000, 10),
    redis: usage(10_000, 10),
    sqs_emulator: usage(3_000_000, 200),
  },
  after: {
    ingest: usage(1_100_000, 128),
    transform: usage(840_000, 112.5),
    load: usage(720_000, 96),
    postgres: usage(76_000, 10),
    redis: usage(16_000, 10),
    sqs_emulator: usage(3_140_000, 220),
  },
};

describe("a run's figures", () => {
  const figures = figuresOf({ ...DRAINED, floorMicros: 52, undiciFloorMicros: 40 });

  test('CPU per message is what a role used between the two readings, divided by the messages', () => {
    const { ingest_cpu_us_per_message: ingest, transform_cpu_us_per_message: transform } = figures;
    assert.deepEqual([ingest, transform, figures['load_cpu_us_per_message']], [100, 20, 10]);
    assert.equal(figures['transform_and_load_cpu_us_per_message'], 30);
  });

  test('the sum is of roles only: servers are told apart', () => {
    assert.equal(figures['cpu_us_per_message'], 130);
    assert.equal(cpuPerMessage(DRAINED), 130);
    const servers = ['postgres', 'redis', 'sqs_emulator'].map(
      (name) => figures[`${name}_cpu_us_per_message`],
    );
    assert.deepEqual(servers, [13, 3, 70]);
  });

  test('the floor is the other program’s, and the multiple is of it', () => {
    assert.deepEqual([figures['floor_cpu_us_per_message'], figures['times_the_floor']], [52, 2.5]);
    assert.deepEqual(
      [figures['undici_floor_cpu_us_per_message'], figures['times_the_undici_floor']],
      [40, 3.25],
    );
  });

  test('start-up is what a role had used before it received anything', () => {
    const startUps = ['ingest', 'transform', 'load'].map((role) => figures[`${role}_start_up_cpu_ms`]);
    assert.deepEqual(startUps, [900, 800, 700]);
  });

  test('memory is the peak at the end, and the rate is messages by wall time', () => {
    const peaks = ['ingest', 'transform', 'load'].map((role) => figures[`${role}_peak_rss_mib`]);
    assert.deepEqual(peaks, [128, 112.5, 96]);
    assert.equal(figures['messages_per_second'], 4_000);
  });
});

test('growth compares the parts of a run with each other, each by what was received in it', () => {
  const at = (messages: number, cpuMicros: number, mib: number) => ({
    messages,
    cpuMicros,
    rssBytes: mib * MIB,
  });
  const figures = growthOf([at(0, 1_000, 50), at(100, 11_000, 80), at(300, 21_000, 90), at(400, 26_000, 91)]);
  assert.deepEqual(figures, {
    part_1_cpu_us_per_message: 100,
    part_2_cpu_us_per_message: 50,
    part_3_cpu_us_per_message: 50,
    last_to_first_part: 0.5,
    last_to_second_part: 1,
    second_part_rss_mib: 90,
    last_part_rss_mib: 91,
  });
});

describe('the summary of runs', () => {
  test('the median is the middle value, or the mean of the two in the middle', () => {
    assert.deepEqual(spreadOf([9, 1, 5]), { median: 5, min: 1, max: 9 });
    assert.deepEqual(spreadOf([10, 4, 2, 5]), { median: 4.5, min: 2, max: 10 });
    assert.deepEqual(spreadOf([7]), { median: 7, min: 7, max: 7 });
  });

  test('the median of a sum is that of the runs’ sums, not the sum of the medians', () => {
    const of = (a: number, b: number) => ({ a, b, sum: a + b });
    const summary = summaryOf([of(1, 30), of(10, 2), of(20, 3)]);
    assert.deepEqual(summary['a'], { median: 10, min: 1, max: 20 });
    assert.deepEqual(summary['b'], { median: 3, min: 2, max: 30 });
    assert.deepEqual(summary['sum'], { median: 23, min: 12, max: 31 });
  });
});

test('a run that does not account for every message has no figures: each of the counts is enough', () => {
  const good: Outcome = {
    sent: 500,
    rows: 500,
    ledgerEntries: 500,
    loaded: 500,
    notLoaded: 0,
    leftInQueue: 0,
  };
  assert.equal(problemOf(good), null);
  for (const wrong of [
    { rows: 499 },
    { rows: 501 },
    { ledgerEntries: 499 },
    { loaded: 499 },
    { notLoaded: 1 },
    { leftInQueue: 1 },
  ]) {
    assert.match(problemOf({ ...good, ...wrong }) ?? '', /^500 messages were sent, and there are /);
  }
});

test('a profile that is not known, and numbers that can’t be, are refused before anything starts', async () => {
  const options = {
    profile: 'load',
    messages: null,
    runs: null,
    cpuProfileDir: null,
    searchPath: '',
    signal: new AbortController().signal,
    tell: () => undefined,
  };
  await assert.rejects(bench({ ...options, profile: 'fast' }), {
    code: 'usage',
    message: /end-to-end, ingest, transform, load, growth, latency, scale/,
  });
  for (const wrong of [
    { messages: 0 },
    { messages: 1_000_001 },
    { messages: 1.5 },
    { runs: 0 },
    { runs: 101 },
  ]) {
    await assert.rejects(bench({ ...options, ...wrong }), {
      code: 'usage',
      message: /^--(rows|runs) must be/,
    });
  }
});
