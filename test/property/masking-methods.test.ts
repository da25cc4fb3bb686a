import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import { systemClock } from '../../src/clock.js';
import { patternProblem } from '../../src/config/pattern.js';
import { compareDecimals, floorAt, parseDecimal, scaleOf, writeDecimal } from '../../src/masking/decimal.js';
import { formatIp } from '../../src/masking/ip.js';
import { compileMasker } from '../../src/masking/mask.js';
import { maskOf } from '../../src/masking/masks.js';
import type { ColumnSpec, MaskSpec } from '../../src/masking/methods.js';
import { noneNormalized } from '../../src/masking/refusal.js';
import { unmaskOf } from '../../src/masking/unmask.js';
import { ff1Oracle } from '../support/ff1.js';
import { batchOf, column, policyOf, primaryMaster, testKeyring } from '../support/masking.js';
import { keyOracle } from '../support/oracle.js';

const keyring = testKeyring();
const entity = { name: 'entity', steps: [] };
const ssn = [{ least: 3, most: 3 }, { literal: '-' }, { least: 4, most: 9 }] as const;
const masks: readonly (readonly [MaskSpec, Partial<ColumnSpec>])[] = [
  [{ method: 'ip-truncate', v4: 24, v6: 48 }, { type: 'inet' }],
  [{ method: 'partial', kind: 'email' }, { maxLength: 40 }],
  [{ method: 'partial', kind: 'phone', show: 4 }, {}],
  [{ method: 'partial', kind: 'card' }, {}],
  [{ method: 'partial', kind: 'pattern', pattern: '(.).*', replace: '$1…' }, {}],
  [{ method: 'ff1', domain: 'd', template: ssn, alphabet: '0123456789' }, {}],
  [{ method: 'ipcrypt-det', domain: 'd' }, { type: 'inet' }],
  [{ method: 'ipcrypt-pfx', domain: 'd' }, { type: 'inet' }],
  [{ method: 'date-shift', domain: 'd', entity, days: 3000 }, { type: 'date' }],
  [{ method: 'date-shift', domain: 'd', entity, days: 3000 }, { type: 'timestamptz' }],
  [{ method: 'bucket', edges: ['0', '1.5'] }, {}],
  [{ method: 'bucket', width: '2.5' }, {}],
  [{ method: 'generalize', to: 'week' }, { type: 'date' }],
  [{ method: 'generalize', to: 'hour' }, { type: 'timestamptz' }],
  [{ method: 'generalize', to: 'ip_version' }, { type: 'integer' }],
  [{ method: 'generalize', map: [['a', 'b']], other: null, lower: true }, {}],
];

function maskAll(
  mask: MaskSpec,
  values: readonly unknown[],
  options: Partial<ColumnSpec> = {},
): readonly unknown[] {
  return maskOf(column('c', { mask, ...options }), keyring)(values, noneNormalized());
}

const text = fc.oneof(
  fc.ipV4(),
  fc.ipV6(),
  fc.emailAddress(),
  fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
  fc.date({ noInvalidDate: true }).map((date) => date.toISOString().slice(0, 10)),
  fc.double().map(String),
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  fc.stringMatching(/^[0-9]{3}-[0-9]{4,9}$/),
  fc.constantFrom('', ' ', '\\N', '4111 1111 1111 1111', '+49 30 123456', '1e999999999', '-0', 'a\tb', '\0'),
);
const value = fc.oneof({ weight: 8, arbitrary: text }, fc.jsonValue(), fc.constant(null));

test('every mask gives a field or a refusal for whatever JSON holds, alone and in columns, and never fails', () => {
  const columns = masks.map(([mask, options], i) => column(`c${i}`, { mask, ...options }));
  for (const spec of columns) {
    const masker = compileMasker(policyOf([spec]), keyring, systemClock);
    fc.assert(
      fc.property(fc.array(fc.record({ [spec.name]: value, entity: value }), { maxLength: 8 }), (events) => {
        const bodies = events.map((event) => JSON.stringify(event));
        const whole = masker.mask(batchOf(bodies));
        assert.equal(whole.masked.keys.length + whole.masked.rejections.length, bodies.length);
        for (const { code, path } of whole.masked.rejections) {
          assert.notEqual(code, 'mask_failed');
          assert.equal(path, spec.path);
        }
        const one = bodies.map((body) => masker.mask(batchOf([body])).masked.rows.toString());
        assert.equal(one.join(''), whole.masked.rows.toString());
      }),
      { numRuns: 150 },
    );
  }
});

const bytes16 = fc.oneof(
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
  fc
    .uint8Array({ minLength: 4, maxLength: 4 })
    .map((last) => Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...last])),
);

function commonPrefix(a: Uint8Array, b: Uint8Array): number {
  const bits = (bytes: Uint8Array): string =>
    [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const [one, other] = [bits(a), bits(b)];
  let length = 0;
  while (length < one.length && one[length] === other[length]) length += 1;
  return length;
}

/** The address as bytes, read by URL's parser. */
function parsed(address: string): Uint8Array {
  if (!address.includes(':'))
    return Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...address.split('.').map(Number)]);
  const [head = '', tail] = address.split('::');
  const groups = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
  const [front, back] = [groups(head), groups(tail ?? '')];
  const all = [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 255]));
}

test('equal addresses in any spelling give equal results, whatever masks them', () => {
  const spelling = (bytes: Uint8Array, pick: number): string => {
    const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0));
    const hex = groups.map((group) => group.toString(16).padStart(pick % 2 === 0 ? 4 : 1, '0')).join(':');
    const dotted = `${hex.split(':').slice(0, 6).join(':')}:${bytes.subarray(12).join('.')}`;
    const text = pick % 3 === 0 ? dotted : hex;
    return pick % 5 === 0 ? ` ${text.toUpperCase()}\t` : text;
  };
  const addressMasks = masks.filter(([{ method }]) => method.startsWith('ip'));
  assert.equal(addressMasks.length, 3);
  fc.assert(
    fc.property(bytes16, fc.nat(29), (bytes, pick) => {
      for (const [mask] of [...addressMasks, [{ method: 'generalize', to: 'ip_version' }] as const]) {
        const [one, other] = maskAll(mask, [formatIp(bytes), spelling(bytes, pick)]);
        assert.equal(typeof one, 'string');
        assert.equal(one, other);
      }
    }),
    { numRuns: 300 },
  );
});

test('ipcrypt-pfx keeps the length of every common prefix and the family; both ipcrypts can be undone', () => {
  fc.assert(
    fc.property(bytes16, bytes16, fc.nat(127), (a, other, shared) => {
      const b = other.map((byte, i) => (i < shared >> 3 ? (a[i] ?? 0) : byte));
      const addresses = [formatIp(a), formatIp(b)];
      for (const method of ['ipcrypt-pfx', 'ipcrypt-det'] as const) {
        const mask = { method, domain: 'd' };
        const masked = maskAll(mask, addresses).map(String);
        assert.deepEqual(unmaskOf(mask, keyring, 2)?.(masked), addresses);
        if (method === 'ipcrypt-det') continue;
        const [x, y] = masked.map(parsed);
        assert.ok(x && y);
        const isV4 = addresses.map((address) => address.includes('.'));
        assert.deepEqual(
          masked.map((address) => address.includes('.')),
          isV4,
        );
        if (isV4[0] === isV4[1]) assert.equal(commonPrefix(x, y), commonPrefix(a, b));
      }
    }),
    { numRuns: 300 },
  );
});

test('ff1 gives what the standard says for numerals of any radix and length, in the same shape, and can be undone', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 40 }),
      fc.array(fc.nat(1_000_000), { minLength: 20, maxLength: 60 }),
      fc.nat(19),
      (radix, seeds, cut) => {
        const alphabet = Array.from({ length: radix }, (_, i) => String.fromCodePoint(0x430 + i));
        const numerals = seeds.map((seed) => seed % radix);
        const all = numerals.map((numeral) => alphabet[numeral]).join('');
        const template = [{ least: cut, most: cut }, { literal: '-' }, { least: 1, most: 99 }];
        const mask = { method: 'ff1', domain: 'd', template, alphabet: alphabet.join('') } as const;
        const value = `${all.slice(0, cut)}-${all.slice(cut)}`;
        const [masked = ''] = maskAll(mask, [value]);
        const key = keyOracle(primaryMaster, 'ff1', 'd', 2, 32);
        const expected = ff1Oracle(key, radix, Buffer.from('\0\u0001d', 'latin1'), numerals);
        const secret = expected.map((numeral) => alphabet[numeral]).join('');
        assert.equal(masked, `${secret.slice(0, cut)}-${secret.slice(cut)}`);
        assert.deepEqual(unmaskOf(mask, keyring, 2)?.([masked]), [value]);
      },
    ),
    { numRuns: 100 },
  );
});

test('decimals compare and round down exactly as fractions of integers do', () => {
  const decimal = fc
    .tuple(fc.bigInt({ min: -(10n ** 25n), max: 10n ** 25n }), fc.integer({ min: -20, max: 20 }))
    .map(([units, exponent]) => ({ text: `${units}e${exponent}`, units, exponent }));
  const scaled = (units: bigint, exponent: number): bigint => units * 10n ** BigInt(exponent + 20);
  fc.assert(
    fc.property(decimal, decimal, (a, b) => {
      const [one, other] = [parseDecimal(a.text), parseDecimal(b.text)];
      assert.ok(one && other);
      const difference = scaled(a.units, a.exponent) - scaled(b.units, b.exponent);
      assert.equal(Math.sign(compareDecimals(one, other)), difference > 0n ? 1 : difference < 0n ? -1 : 0);
      const written = parseDecimal(writeDecimal(floorAt(one, scaleOf(one)), scaleOf(one)));
      assert.ok(written);
      assert.equal(compareDecimals(one, written), 0);
    }),
    { numRuns: 2000 },
  );
});

test('a number lies in the bucket that is named, and buckets of a width leave no gap', () => {
  const number = fc.tuple(fc.bigInt({ min: -(10n ** 12n), max: 10n ** 12n }), fc.integer({ min: 0, max: 8 }));
  const units = (written: string): bigint => {
    const [whole = '', fraction = ''] = written.replace('-', '').split('.');
    return BigInt(whole + fraction.padEnd(10, '0')) * (written.startsWith('-') ? -1n : 1n);
  };
  fc.assert(
    fc.property(number, fc.constantFrom('1', '0.1', '2.5', '1000', '0.003'), ([digits, places], width) => {
      const [cell] = maskAll({ method: 'bucket', width }, [`${digits}e-${places}`]);
      const [, low = '', high = ''] = /^\[([^,]+),([^,]+)\)$/.exec(String(cell)) ?? [];
      const exact = digits * 10n ** BigInt(10 - places);
      assert.ok(units(low) <= exact && exact < units(high), String(cell));
      assert.equal(units(high) - units(low), units(width));
      assert.equal(units(low) % units(width), 0n);
    }),
    { numRuns: 1000 },
  );
});

test('no value makes a pattern that is let through slow', () => {
  const part = fc.constantFrom(
    '.*',
    'a*',
    'a+',
    '[a-y]*',
    'a?',
    'a{0,20}',
    '[^-]*',
    '\\w+',
    'a',
    'z',
    '-',
    '(a*)',
    'a{30}',
  );
  let slowest = 0;
  let allowed = 0;
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 9 }), (parts) => {
      const pattern = parts.join('');
      if (patternProblem(pattern, 'x') !== null) return;
      allowed += 1;
      const mask = { method: 'partial', kind: 'pattern', pattern, replace: 'x' } as const;
      const values = ['a'.repeat(1023) + '!', 'a'.repeat(1024), `${'a'.repeat(500)}-${'a'.repeat(500)}!`];
      const masker = maskOf(column('c', { mask }), keyring);
      for (const hostile of values) {
        const start = process.cpuUsage();
        masker([hostile], noneNormalized());
        const { user } = process.cpuUsage(start);
        slowest = Math.max(slowest, user);
      }
    }),
    { numRuns: 400 },
  );
  assert.ok(allowed > 50);
  // Milliseconds; what backtracks without a bound takes longer than any test waits.
  assert.ok(slowest < 200_000, `${slowest} µs of CPU`);
});
