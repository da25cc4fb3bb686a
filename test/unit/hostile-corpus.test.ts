import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/clock.js';
import { type Masker, compileMasker } from '../../src/masking/mask.js';
import { columnTypes } from '../../src/masking/methods.js';
import {
  EVERY_COLUMNS,
  EVERY_POLICY,
  LOGIN_POLICY,
  type PipelineName,
  harmless,
} from '../support/hostile-case.js';
import { type Found, assertOutcome, hostileBatch } from '../support/hostile-check.js';
import { hostileCorpus } from '../support/hostile-corpus.js';
import { decodeCopy, testKeyring } from '../support/masking.js';

const corpus = hostileCorpus();
const keyring = testKeyring();
const maskers: Readonly<{ [name in PipelineName]: Masker }> = {
  login: compileMasker(LOGIN_POLICY, keyring, systemClock),
  every: compileMasker(EVERY_POLICY, keyring, systemClock),
};
const PIPELINES = ['login', 'every'] as const;
const BATCH = 400;
const ids = {
  batchId: '01890a5d-ac96-774b-bcce-b302099a8057',
  runId: '01890a5d-ac96-774b-bcce-b302099a8058',
};
/** Postgres prints these in a spelling of its own; what it then holds is compared where there is a Postgres. */
const RESPELLED = new Set(['num', 'at', 'uid', 'net', 'doc']);

/** What the masker makes of each body. */
function outcomesOf(name: PipelineName, bodies: readonly string[]): readonly (Found | undefined)[] {
  const { masked } = maskers[name].mask(hostileBatch(name, bodies, ids, 'm'));
  assert.equal(masked.keys.length + masked.rejections.length, bodies.length);
  const found = new Map<number, Found>();
  for (const [i, fields] of decodeCopy(masked.rows).entries()) {
    assert.equal(fields.length, masked.columns.length);
    const row = Object.fromEntries(masked.columns.map((column, c) => [column, fields[c] ?? null]));
    found.set(masked.keys[i]?.message ?? -1, { row });
  }
  for (const { message, code, path } of masked.rejections) found.set(message, { code, path });
  return bodies.map((_, i) => found.get(i));
}

test('the corpus is of 2,000 bodies at least, and has columns of every scalar type', () => {
  assert.ok(corpus.length >= 2_000, `${corpus.length}`);
  assert.deepEqual(
    new Set(EVERY_COLUMNS.map((column) => column.type)),
    new Set(columnTypes.filter((type) => type !== 'text[]')),
  );
  const methods = ['constant', 'drop', 'hmac', 'keep', 'null', 'siv'];
  assert.deepEqual([...new Set(EVERY_COLUMNS.map((column) => column.mask.method))].sort(), methods);
  const rejections = PIPELINES.flatMap((name) => corpus.filter((one) => 'code' in one[name]));
  const rows = PIPELINES.flatMap((name) => corpus.filter((one) => 'row' in one[name]));
  assert.ok(rejections.length > 1_000 && rows.length > 1_000, 'both outcomes are common');
});

for (const name of PIPELINES) {
  test(`masking gives every hostile body the outcome that is required of it: ${name}`, () => {
    for (let from = 0; from < corpus.length; from += BATCH) {
      const some = corpus.slice(from, from + BATCH);
      const found = outcomesOf(
        name,
        some.map((one) => one.body),
      );
      for (const [i, one] of some.entries())
        assertOutcome(one, one[name], found[i], (column) => !RESPELLED.has(column));
    }
  });

  test(`a hostile body does nothing to its neighbours: ${name}`, () => {
    const neighbour = harmless('the neighbour', '{}');
    const body = harmless('', '').body;
    assert.equal(body, '');
    const event = corpus.find((one) => one.name === 'as it is');
    assert.ok(event);
    for (let from = 0; from < corpus.length; from += BATCH) {
      const bodies = corpus.slice(from, from + BATCH).flatMap((one) => [event.body, one.body]);
      const found = outcomesOf(name, [...bodies, event.body]);
      for (let i = 0; i < found.length; i += 2)
        assertOutcome(
          { ...neighbour, name: `neighbour ${from + i}` },
          event[name],
          found[i],
          (c) => !RESPELLED.has(c),
        );
    }
  });
}

test('no hostile body changes what all objects inherit', () => {
  assert.deepEqual(Object.keys(Object.prototype), []);
  assert.deepEqual(Object.keys(Array.prototype), []);
  assert.equal(Reflect.get({}, 'user_id'), undefined);
});
