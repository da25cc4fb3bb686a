// `npm run bench -- brute-force`: how long a plain hash of personal data lasts. One thread, Node's own SHA-256.

import { hash, randomInt } from 'node:crypto';
import { parseSettings } from './settings.js';
import { type Facts, machine } from '../../src/proof/bench/surroundings.js';

/** Values of one format, by number. */
interface Space {
  readonly name: string;
  readonly size: number;
  valueAt(index: number): string;
}

/** What was measured for one space. Keys are those of `--json`. */
export interface BruteForce {
  readonly space: string;
  readonly size: number;
  readonly seconds: number;
  readonly hashes: number;
  readonly hashes_per_second: number;
  /** Not measured: the whole space at that rate. */
  readonly extrapolated_seconds: number;
  /** A value that was drawn from the first so many of the space, hashed, and searched for until its hash was met. */
  readonly planted: {
    readonly within: number;
    readonly found: string;
    readonly tried: number;
    readonly seconds: number;
  };
}

/** The whole of it. */
export interface BruteForceReport {
  readonly benchmark: string;
  readonly at: string;
  readonly machine: Facts;
  readonly node: string;
  readonly spaces: readonly BruteForce[];
}

export const bruteForceUsage = `npm run bench -- brute-force [options]

  --seconds S     how long to hash values of each space (default 10)
  --within N      the part of each space that the planted value is drawn from (default 1000000)
  --json          print one JSON object
  --help          print this`;

const BENCHMARK = 'plain SHA-256 of every value there is: one thread, one hash after the other';
const SETTINGS = {
  seconds: { byDefault: 10, max: 3_600 },
  within: { byDefault: 1_000_000, max: 1_000_000_000 },
} as const;
/** Clocks are asked so seldom that asking costs nothing. */
const BETWEEN_LOOKS = 4_096;
const MINUTE_S = 60;

const SPACES: readonly Space[] = [
  {
    name: 'ddd-dd-dddd',
    size: 10 ** 9,
    valueAt: (index) => {
      const digits = String(index).padStart(9, '0');
      return `${digits.slice(0, 3)}-${digits.slice(3, 5)}-${digits.slice(5)}`;
    },
  },
  {
    name: 'IPv4',
    size: 2 ** 32,
    valueAt: (index) => `${index >>> 24}.${(index >>> 16) & 255}.${(index >>> 8) & 255}.${index & 255}`,
  },
];

/** Measures, and returns what is to be printed. Throws `usage`. */
export function runBruteForce(args: readonly string[]): string {
  const { settings, json, help } = parseSettings(args, SETTINGS, bruteForceUsage);
  if (help) return bruteForceUsage;
  const report: BruteForceReport = {
    benchmark: BENCHMARK,
    at: new Date().toISOString(),
    machine: machine(),
    node: process.versions.node,
    spaces: SPACES.map((space) => measure(space, settings.seconds, settings.within)),
  };
  return json ? JSON.stringify(report) : reportText(report);
}

function measure(space: Space, seconds: number, within: number): BruteForce {
  const planted = plant(space, within);
  const limitMs = seconds * 1_000;
  const start = performance.now();
  let hashes = 0;
  let met = 0;
  while (performance.now() - start < limitMs) {
    for (let i = 0; i < BETWEEN_LOOKS; i += 1) {
      // Compared, as an attacker would; with something that is never met.
      if (sha256(space.valueAt((hashes + i) % space.size)) === '') met += 1;
    }
    hashes += BETWEEN_LOOKS;
  }
  if (met > 0) throw new TypeError('a hash was empty');
  const took = (performance.now() - start) / 1_000;
  const rate = hashes / took;
  return {
    space: space.name,
    size: space.size,
    seconds: took,
    hashes,
    hashes_per_second: rate,
    extrapolated_seconds: space.size / rate,
    planted,
  };
}

/** Hashes a value drawn at random and searches for it: the search knows its hash only. */
function plant(space: Space, within: number): BruteForce['planted'] {
  const target = sha256(space.valueAt(randomInt(within)));
  const start = performance.now();
  for (let index = 0; index < within; index += 1) {
    const value = space.valueAt(index);
    if (sha256(value) !== target) continue;
    return { within, found: value, tried: index + 1, seconds: (performance.now() - start) / 1_000 };
  }
  throw new TypeError('the planted value was not found');
}

function sha256(value: string): string {
  return hash('sha256', value, 'binary');
}

function reportText({ benchmark, at, machine: facts, node, spaces }: BruteForceReport): string {
  return [
    `${benchmark} (${at})`,
    '',
    ...spaces.flatMap(
      ({ space, size, seconds, hashes, hashes_per_second: rate, extrapolated_seconds: all, planted }) => [
        `${space}: ${(rate / 10 ** 6).toFixed(2)} M hashes/s (${hashes} in ${seconds.toFixed(1)} s)`,
        `  all ${size} values: ${durationText(all)}, extrapolated from that rate`,
        `  found ${planted.found}, drawn from the first ${planted.within} values, by its hash: ` +
          `after ${planted.tried} tries, ${planted.seconds.toFixed(2)} s, measured`,
      ],
    ),
    '',
    `node ${node}`,
    ...Object.entries(facts).map(([name, value]) => `${name} ${value}`),
  ].join('\n');
}

function durationText(seconds: number): string {
  return seconds < MINUTE_S ? `${seconds.toFixed(0)} s` : `${(seconds / MINUTE_S).toFixed(1)} min`;
}
