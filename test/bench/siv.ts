// `npm run bench -- siv`: what two SIV columns cost, cipher alone and from value to token. One thread, no servers.

import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { aessiv } from '@noble/ciphers/aes.js';
import { packBytes, valueAt } from '../../src/masking/column.js';
import { noneNormalized } from '../../src/masking/refusal.js';
import { Siv } from '../../src/masking/siv.js';
import { tokenMask } from '../../src/masking/tokenize.js';
import { column, testKeyring, token } from '../support/masking.js';
import { type Spread, spreadOf } from '../../src/proof/bench/figures.js';
import { parseSettings } from './settings.js';
import { type Facts, machine } from '../../src/proof/bench/surroundings.js';

/** The whole of it. Keys are those of `--json`; figures are millions of values a second of CPU, user and system. */
export interface SivReport {
  readonly benchmark: string;
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly machine: Facts;
  readonly node: string;
  readonly runs: number;
  readonly values_per_run: number;
  /** Encoded values to V || C. */
  readonly cipher: Spread;
  /** Values as they come to tokens: canonical form, encoding, cipher, base64url. */
  readonly whole: Spread;
}

export const sivUsage = `npm run bench -- siv [options]

  --runs R       how often to measure (default 7)
  --batches N    batches of 1,000 values in each of two columns, a run (default 1000)
  --json         print one JSON object
  --help         print this`;

const BENCHMARK =
  'AES-SIV of two columns, an address and an id, in batches of 1,000: M values a second of CPU';
const BATCH_ROWS = 1_000;
const COLUMNS = 2;
const SETTINGS = { runs: { byDefault: 7, max: 100 }, batches: { byDefault: 1_000, max: 100_000 } } as const;
/** Until the compiler has seen enough of it. */
const WARM_UP_BATCHES = 300;
const IP_BYTES = 16;
const ID_LENGTH = 11;

/** Measures, and returns what is to be printed. Throws `usage`. */
export function runSiv(args: readonly string[]): string {
  const { settings, json, help } = parseSettings(args, SETTINGS, sivUsage);
  if (help) return sivUsage;
  const { runs, batches } = settings;
  const cipher = cipherWork();
  const whole = wholeWork();
  const rates = Array.from({ length: runs }, () => ({
    cipher: rateOf(cipher, batches),
    whole: rateOf(whole, batches),
  }));
  const report: SivReport = {
    benchmark: BENCHMARK,
    at: new Date().toISOString(),
    machine: machine(),
    node: process.versions.node,
    runs,
    values_per_run: batches * BATCH_ROWS * COLUMNS,
    cipher: spreadOf(rates.map((rate) => rate.cipher)),
    whole: spreadOf(rates.map((rate) => rate.whole)),
  };
  return json ? JSON.stringify(report) : reportText(report);
}

/** Both columns of one batch, encoded; each value is compared with another implementation once, before it is timed. */
function cipherWork(): () => void {
  const columns = [IP_BYTES, ID_LENGTH].map((length) => {
    const key = randomBytes(64);
    const data = randomBytes(IP_BYTES);
    const values = Array.from({ length: BATCH_ROWS }, () => randomBytes(length));
    const siv = new Siv(createSecretKey(key), [data]);
    const packed = packBytes(values);
    const sealed = siv.seal(packed);
    for (const [i, value] of values.entries())
      assert.ok(valueAt(sealed, i).equals(aessiv(key, data).encrypt(value)), 'the cipher is not AES-SIV');
    return { siv, packed };
  });
  return () => {
    for (const { siv, packed } of columns) siv.seal(packed);
  };
}

/** Both columns of one batch, as text. */
function wholeWork(): () => void {
  const keyring = testKeyring();
  const bytes = randomBytes(BATCH_ROWS * 4);
  const digits = Array.from({ length: BATCH_ROWS }, (_, i) =>
    String(bytes.readUInt32BE(i * 4) % 10 ** 9).padStart(9, '0'),
  );
  const columns = [
    {
      mask: tokenMask(column('ip'), token('siv', { as: 'ip', domain: 'ip' }), keyring),
      values: Array.from({ length: BATCH_ROWS }, (_, i) => bytes.subarray(i * 4, i * 4 + 4).join('.')),
    },
    {
      mask: tokenMask(column('id'), token('siv', { domain: 'id' }), keyring),
      values: digits.map((nine) => `${nine.slice(0, 3)}-${nine.slice(3, 5)}-${nine.slice(5)}`),
    },
  ];
  for (const { mask, values } of columns)
    assert.ok(
      mask(values, noneNormalized()).every((cell) => typeof cell === 'string' && cell.startsWith('s')),
    );
  return () => {
    for (const { mask, values } of columns) mask(values, noneNormalized());
  };
}

/** Millions of values a second of CPU. */
function rateOf(work: () => void, batches: number): number {
  for (let i = 0; i < WARM_UP_BATCHES; i += 1) work();
  const before = process.cpuUsage();
  for (let i = 0; i < batches; i += 1) work();
  const { user, system } = process.cpuUsage(before);
  return (batches * BATCH_ROWS * COLUMNS) / (user + system);
}

function reportText({
  benchmark,
  at,
  machine: facts,
  node,
  runs,
  values_per_run,
  cipher,
  whole,
}: SivReport): string {
  const line = (what: string, { median, min, max }: Spread): string =>
    `${what.padEnd(30)}${[median, min, max].map((rate) => rate.toFixed(2).padStart(8)).join('')}`;
  return [
    `${benchmark} (${at})`,
    '',
    `${''.padEnd(30)}${['median', 'min', 'max'].map((head) => head.padStart(8)).join('')}`,
    line('cipher alone', cipher),
    line('from value to token', whole),
    '',
    `${runs} runs of ${values_per_run} values`,
    `node ${node}`,
    ...Object.entries(facts).map(([name, value]) => `${name} ${value}`),
  ].join('\n');
}
