import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type Measured,
  type Outcome,
  type ProcessName,
  figuresOf,
  problemOf,
  spreadOf,
  summaryOf,
} from '../bench/figures.js';
import { parseOptions } from '../bench/options.js';
import type { Usage } from '../bench/usage.js';

/** CPU in µs and peak memory in MiB of each process at one moment. */
function usages(of: Readonly<Record<ProcessName, readonly [number, number]>>): Record<ProcessName, Usage> {
  const entries = Object.entries(of).map(([name, [cpuMicros, mib]]) => [
    name,
    { cpuMicros, peakRssBytes: mib * 1_048_576 },
  ]);
  return Object.fromEntries(entries) as Record<ProcessName, Usage>;
}

const MEASURED: Measured = {
  messages: 2_000,
  wallMs: 500,
  before: usages({
    ingest: [900_000, 90],
    transform: [800_000, 80],
    load: [700_000, 70],
    postgres: [50_000, 10],
    redis: [10_000, 10],
    sqs_emulator: [3_000_000, 200],
  }),
  after: usages({
    ingest: [1_100_000, 128],
    transform: [840_000, 112.5],
    load: [720_000, 96],
    postgres: [76_000, 10],
    redis: [16_000, 10],
    sqs_emulator: [3_140_000, 220],
  }),
};

describe("a run's figures", () => {
  test('CPU per message is what a role used between the two readings, divided by the messages', () => {
    const { cpu_us_per_message: cpu } = figuresOf(MEASURED);

    assert.deepEqual(cpu, { ingest: 100, transform: 20, load: 10, total: 130 });
  });

  test('servers are told apart and are not in the total', () => {
    const { server_cpu_us_per_message: servers } = figuresOf(MEASURED);

    assert.deepEqual(servers, { postgres: 13, redis: 3, sqs_emulator: 70 });
  });

  test('start-up is what a role had used before it received anything', () => {
    assert.deepEqual(figuresOf(MEASURED).start_up_cpu_ms, { ingest: 900, transform: 800, load: 700 });
  });

  test('memory is the peak at the end, and the rate is messages by wall time', () => {
    const figures = figuresOf(MEASURED);

    assert.deepEqual(figures.peak_rss_mib, { ingest: 128, transform: 112.5, load: 96 });
    assert.equal(figures.messages_per_second, 4_000);
  });
});

describe('the summary of runs', () => {
  test('the median is the middle value, or the mean of the two in the middle', () => {
    assert.deepEqual(spreadOf([9, 1, 5]), { median: 5, min: 1, max: 9 });
    assert.deepEqual(spreadOf([10, 4, 2, 5]), { median: 4.5, min: 2, max: 10 });
    assert.deepEqual(spreadOf([7]), { median: 7, min: 7, max: 7 });
  });

  test('the median of the total is that of the totals, not the sum of the roles’ medians', () => {
    const run = figuresOf(MEASURED);
    const withCpu = (ingest: number, transform: number, load: number) => ({
      ...run,
      cpu_us_per_message: { ingest, transform, load, total: ingest + transform + load },
    });

    const { cpu_us_per_message: cpu } = summaryOf([withCpu(1, 30, 0), withCpu(10, 2, 0), withCpu(20, 3, 0)]);

    assert.deepEqual(cpu.ingest, { median: 10, min: 1, max: 20 });
    assert.deepEqual(cpu.transform, { median: 3, min: 2, max: 30 });
    assert.deepEqual(cpu.total, { median: 23, min: 12, max: 31 });
  });
});

describe('a run that does not account for every message', () => {
  const good: Outcome = {
    sent: 500,
    rows: 500,
    ledgerEntries: 500,
    loaded: 500,
    notLoaded: 0,
    leftInQueue: 0,
  };

  test('has no figures: each of the counts is enough', () => {
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
});

describe('the arguments', () => {
  test('the defaults are 20,000 messages in three runs', () => {
    assert.deepEqual(parseOptions([]), {
      messages: 20_000,
      runs: 3,
      json: false,
      profileDir: null,
      help: false,
    });
  });

  test('what is no whole number, or unknown, is refused as usage', () => {
    for (const args of [
      ['--messages', '0'],
      ['--messages', '1e3'],
      ['--runs', '1.5'],
      ['--fast'],
      ['more'],
    ]) {
      assert.throws(() => parseOptions(args), { code: 'usage' });
    }
  });
});
