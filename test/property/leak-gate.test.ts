import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { systemClock } from '../../src/clock.js';
import { PipelineError } from '../../src/errors.js';
import { compileLeakGate } from '../../src/masking/leak-gate.js';
import { compileMasker } from '../../src/masking/mask.js';
import { batchOf, column, policyOf, testKeyring, token } from '../support/masking.js';

const POLICY = policyOf([
  column('id'),
  column('masked_mail', { path: 'mail', source: { kind: 'field', name: 'mail' }, mask: token('siv') }),
  column('note'),
  column('masked_ip', {
    path: 'ip',
    source: { kind: 'field', name: 'ip' },
    mask: token('siv', { as: 'ip' }),
  }),
  column('extra', { type: 'jsonb' }),
  column('amount', { type: 'integer' }),
  column('day', { type: 'date' }),
  column('masked_plan', { path: 'plan', source: { kind: 'field', name: 'plan' }, mask: token('hmac') }),
]);
const masker = compileMasker(POLICY, testKeyring(), systemClock);
const gate = compileLeakGate(POLICY, systemClock);

interface Row {
  readonly id: string;
  readonly mail: string;
  readonly note: string;
  readonly ip: string;
  readonly extra: unknown;
  readonly amount: number;
  readonly day: string;
  readonly plan: string;
}

const KEPT = ['id', 'note', 'extra'] as const;

/** Rows whose fields have nothing to do with each other. */
const row: fc.Arbitrary<Row> = fc.record({
  id: fc.uuid(),
  mail: fc.emailAddress({ size: '-1' }),
  note: fc.oneof(
    fc.lorem({ maxCount: 8 }),
    fc.uint8Array({ minLength: 12, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('base64')),
    fc.uint8Array({ minLength: 12, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex')),
  ),
  ip: fc.oneof(fc.ipV4(), fc.ipV6()),
  extra: fc.dictionary(
    fc.string({ maxLength: 5 }),
    fc.oneof(fc.integer(), fc.boolean(), fc.lorem({ maxCount: 2 })),
    {
      maxKeys: 3,
      noNullPrototype: true,
    },
  ),
  amount: fc.nat(100_000),
  day: fc.integer({ min: 1, max: 28 }).map((day) => `2026-02-${String(day).padStart(2, '0')}`),
  plan: fc.constantFrom('free', 'pro', 'true', '1'),
});

function found(rows: readonly Row[]): string | null {
  const batch = batchOf(rows.map((fields) => JSON.stringify(fields)));
  const { masked } = masker.mask(batch);
  assert.equal(masked.rejections.length, 0);
  try {
    gate.check(batch, masked);
    return null;
  } catch (error) {
    assert.ok(error instanceof PipelineError && error.code === 'leak_found', String(error));
    return error.message;
  }
}

const forms: readonly ((value: string) => string)[] = [
  (value) => value,
  (value) => value.toUpperCase(),
  (value) => Buffer.from(value).toString('hex'),
  (value) => Buffer.from(value).toString('hex').toUpperCase(),
  ...['', 'a', 'ab'].flatMap((before) => [
    (value: string) => Buffer.from(`${before}${value}`).toString('base64'),
    (value: string) => Buffer.from(`${before}${value}`).toString('base64url'),
  ]),
  encodeURIComponent,
];

// Random rows are made once for many planted values: making them costs more than looking through them.
const SEED = Date.now() % 2 ** 31;
const LIMIT_MS = 8_000;

test(`random rows that share nothing are never stopped (seed ${SEED})`, () => {
  fc.assert(
    fc.property(fc.array(row, { minLength: 100, maxLength: 300 }), (rows) => {
      assert.equal(found(rows), null);
    }),
    { seed: SEED, numRuns: 60, plugins: [fc.interruptAfterTimeLimit(LIMIT_MS)] },
  );
});

/** A value with enough to it that no rule takes it for chance. */
const secret = fc
  .oneof(
    fc.stringMatching(/^[a-z]{3,8}[.][a-z0-9]{3,12}@[a-z]{3,9}[.]test$/),
    fc.stringMatching(/^[0-9]{3}-[0-9]{2}-[0-9]{4}x$/),
    fc.stringMatching(/^[A-Za-zÀ-ž]{4,12} [A-Za-zÀ-ž'"\\]{4,12}$/),
  )
  .filter((value) => new Set(value).size >= 4 && value.normalize('NFC') === value);

test(`a masked value is found in any kept cell of its row, in every form (seed ${SEED})`, () => {
  fc.assert(
    fc.property(
      fc.array(row, { minLength: 1, maxLength: 20 }),
      fc.nat(),
      secret,
      fc.constantFrom(...KEPT),
      fc.constantFrom(...forms),
      fc.tuple(
        fc.string({ unit: 'grapheme-ascii', maxLength: 10 }),
        fc.string({ unit: 'grapheme-ascii', maxLength: 10 }),
      ),
      (rows, pick, mail, where, form, [before, after]) => {
        const at = pick % rows.length;
        const text = `${before}${form(mail)}${after}`;
        const planted = rows.map((fields, i) =>
          i === at ? { ...fields, mail, [where]: where === 'extra' ? { [text]: [text] } : text } : fields,
        );
        assert.match(
          found(planted) ?? 'nothing was found',
          new RegExp(`what masked_mail masks is in ${where} `),
        );
      },
    ),
    { seed: SEED, numRuns: 600, plugins: [fc.interruptAfterTimeLimit(LIMIT_MS)] },
  );
});
