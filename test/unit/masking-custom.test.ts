import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, beforeEach, describe, test } from 'node:test';
import { loopTurn } from '../../src/masking/blocking.js';
import { systemClock } from '../../src/clock.js';
import { PipelineError } from '../../src/errors.js';
import { compileMasker } from '../../src/masking/mask.js';
import { unhurried } from '../../src/masking/one-by-one.js';
import { MaskerFolder } from '../support/custom.js';
import { batchOf, column, policyOf, primaryMaster, testKeyring } from '../support/masking.js';
import { keyOracle } from '../support/oracle.js';

// What threads are waited for counts until the loop turns, and tests that wait for nothing else do not let it.
beforeEach(loopTurn);

const folder = new MaskerFolder();
after(() => folder.remove());

let count = 0;
/** A file whose default export masks by that body of a function of `value` and `context`. */
function masker(body: string, more = '', before = ''): string {
  count += 1;
  return folder.write(
    `m${count}.js`,
    `import { defineMasker } from 'maskline';\n${before}\nexport default defineMasker({ ${more} mask: (value, context) => { ${body} } });\n`,
  );
}

const failed = { code: 'mask_failed' };

describe('a masker of the user', () => {
  test('gets each value once, in canonical form, and its results come back in the order of the records', () => {
    const file = masker('seen += 1; return `${value}/${seen}`;', '', 'let seen = 0;');
    assert.deepEqual(folder.maskAll(folder.mask(file), [' b ', 'a', 'b', 'a', 'u\u0308']), [
      'b/1',
      'a/2',
      'b/1',
      'a/2',
      '\u00fc/3',
    ]);
  });

  test('knows its column and its options, which it can not change, and nothing of the environment', () => {
    const file = masker(
      `const frozen = Object.isFrozen(context) && Object.isFrozen(context.options.deep);
       return JSON.stringify([context.column, context.options, frozen, Object.keys(process.env), 'hmac' in context]);`,
    );
    const [stored] = folder.maskAll(folder.mask(file, { options: { deep: { list: [1, 'x'] } } }), ['a']);
    assert.deepEqual(JSON.parse(String(stored)), ['v', { deep: { list: [1, 'x'] } }, true, [], false]);
  });

  test('is not given what is no text, and no values that are none', () => {
    const file = masker('return `<${value}>`;');
    assert.deepEqual(folder.maskAll(folder.mask(file), [1, null, '  ', 'a\u0007', {}, 'x']), [
      { code: 'wrong_type' },
      null,
      null,
      { code: 'bad_text' },
      { code: 'wrong_type' },
      '<x>',
    ]);
  });

  test('gets text as it was sent if it asks for that', () => {
    const file = masker('return JSON.stringify(value);', `input: 'as_sent',`);
    assert.deepEqual(
      folder.maskAll(folder.mask(file), [' a\n\u200db ', 'u\u0308', ' \n', 'x\0', 'y\ud800']).map(unescaped),
      ['" a\\n\u200db "', '"u\u0308"', null, { code: 'bad_text' }, { code: 'bad_text' }],
    );
  });

  test('may give null; whatever else is no text is a rejection of its record, and of no other', () => {
    const file = masker(
      `const results = { null: null, number: 1, undefined, object: {}, wrapped: new String('x'), promise: Promise.resolve('x'),
         rejected: Promise.reject(new Error(value)), empty: '', nul: 'a\\0b', half: '\\ud800' };
       return value in results ? results[value] : value;`,
    );
    const values = [
      'a',
      'null',
      'number',
      'undefined',
      'object',
      'wrapped',
      'promise',
      'rejected',
      'empty',
      'nul',
      'half',
      'z',
    ];
    const expected = ['a', null, failed, failed, failed, failed, failed, failed, '', failed, failed, 'z'];
    assert.deepEqual(folder.maskAll(folder.mask(file), values), expected);
    assert.deepEqual(folder.maskAll(folder.mask(file), values), expected, 'and again');
  });

  test('that throws loses the record, with nothing of what it says', () => {
    const file = masker(
      `if (value === 'bad') throw new Error('it was ' + value); return value.toUpperCase();`,
    );
    assert.deepEqual(folder.maskAll(folder.mask(file), ['a', 'bad', 'c']), ['A', failed, 'C']);
  });

  test('that fails is told of, with the place where it threw, and no value', () => {
    const told: unknown[] = [];
    const onFailure = (failure: unknown): void => void told.push(failure);
    const file = masker(
      `if (value === 'none') return 7;\n  if (value !== 'good') throw new Error(value);\nreturn value;`,
    );
    const mask = folder.mask(file);
    folder.run(
      [column('v', { mask })],
      ['good', 'bad1', 'bad2', 'none'].map((v) => JSON.stringify({ v })),
      { onFailure },
    );
    folder.run(
      [column('v', { mask })],
      ['good', 'none'].map((v) => JSON.stringify({ v })),
      { onFailure },
    );
    const hanging = masker('for (;;);');
    folder.run([column('v', { mask: folder.mask(hanging, { timeoutMs: 100 }) })], ['{"v":"x"}'], {
      onFailure,
    });
    assert.deepEqual(told, [
      { column: 'v', file, values: 3, at: `${file}:4:31` },
      { column: 'v', file, values: 1, at: null },
      { column: 'v', file: hanging, values: null, at: null },
    ]);
  });

  test('is held to the length and the type of its column', () => {
    const file = masker('return value;');
    const mask = folder.mask(file);
    assert.deepEqual(folder.maskAll(mask, ['ab\u{1f600}', 'abcd'], { maxLength: 3 }), [
      'ab\u{1f600}',
      { code: 'too_long' },
    ]);
    assert.deepEqual(folder.maskAll(mask, ['12', '1.5', 'x'], { type: 'integer' }), ['12', failed, failed]);
    assert.deepEqual(folder.maskAll(mask, ['2024-02-29', '2023-02-29'], { type: 'date' }), [
      '2024-02-29',
      failed,
    ]);
    assert.deepEqual(folder.maskAll(mask, ['192.0.2.1', 'nowhere'], { type: 'inet' }), ['192.0.2.1', failed]);
  });

  test('masks the elements of a list, which fails as a whole', () => {
    const file = masker(
      `if (value === 'bad') throw new Error(); return value === 'none' ? null : value + '!';`,
    );
    const list = {
      type: 'jsonb',
      source: { kind: 'path', name: 'v', steps: [{ each: true }, { member: 'x' }] },
    } as const;
    const values = [[{ x: 'a' }, { x: 'none' }, {}], [{ x: 'a' }, { x: 'bad' }], [], [{ x: 'b' }]];
    assert.deepEqual(folder.maskAll(folder.mask(file), values, list), [
      '["a!",null,null]',
      failed,
      '[]',
      '["b!"]',
    ]);
  });

  test('prints into nothing, however much it prints', () => {
    const file = masker(
      `console.log(value); console.error(value); process.stdout.write(value, () => { flushed += 1; });
       // More than its memory.
       for (let i = 0; i < 300; i += 1) console.log(String(i % 10).repeat(1_000_000) + i);
       return String(flushed >= 0);`,
      '',
      'let flushed = 0;',
    );
    assert.deepEqual(folder.maskAll(folder.mask(file), ['a', 'b']), ['true', 'true']);
  });
});

describe('a masker that gives no answer', () => {
  const ways: readonly (readonly [string, string])[] = [
    ['hangs', 'for (;;);'],
    ['ends its thread', 'process.exit(0);'],
    ['ends its thread unheard', `process.removeAllListeners('exit'); process.exit(0);`],
    ['waits for ever', 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);'],
    ['recurses without end', 'const f = () => f() + 1; return f();'],
    ['uses all its memory', 'const all = []; for (;;) all.push(new Array(1e6).fill(value));'],
  ];
  for (const [how, body] of ways) {
    test(`as it ${how} loses that record alone, and all others get what it makes of them`, () => {
      const file = masker(`if (value === 'bad') { ${body} } return value + '!';`);
      const mask = folder.mask(file, { timeoutMs: how === 'uses all its memory' ? 1_500 : 300 });
      assert.deepEqual(folder.maskAll(mask, ['a', 'bad', 'c', 'd']), ['a!', failed, 'c!', 'd!']);
      assert.deepEqual(folder.maskAll(mask, ['e']), ['e!'], 'and later ones');
    });
  }

  test('in a list loses the whole record, and no other', () => {
    const file = masker(`if (value === 'bad') for (;;); return value + '!';`);
    const list = { type: 'text[]', source: { kind: 'path', name: 'v', steps: [{ each: true }] } } as const;
    assert.deepEqual(
      folder.maskAll(folder.mask(file, { timeoutMs: 300 }), [['a', 'b'], ['c', 'bad'], ['d']], list),
      ['{"a!","b!"}', failed, '{"d!"}'],
    );
  });

  test('blames no value for what an earlier one has left behind', () => {
    // What is left behind strikes while a later value is at work, whichever that is.
    const file = masker(
      `if (value === 'bomb') process.nextTick(() => { for (;;); });
       return value + '!';`,
    );
    assert.deepEqual(oneAfterTheOther(file, [['bomb'], ['a'], ['b', 'c']]), ['bomb!\n', 'a!\n', 'b!\nc!\n']);
  });

  test('as it has broken what answers are made of is started anew', () => {
    const file = masker(
      `if (value === 'breaks') { Array.prototype.map = () => [1, 2, 3]; throw new Error(); } return value + '!';`,
    );
    assert.deepEqual(oneAfterTheOther(file, [['breaks'], ['a'], ['b', 'c']]), ['', 'a!\n', 'b!\nc!\n']);
  });

  /** The rows of each batch, by one masker. */
  function oneAfterTheOther(file: string, batches: readonly (readonly string[])[]): readonly string[] {
    const policy = policyOf([column('v', { mask: folder.mask(file, { timeoutMs: 300 }) })], {
      folder: folder.path,
    });
    const compiled = compileMasker(policy, testKeyring(), systemClock, { blockMs: 60_000 });
    return batches.map((values) =>
      compiled.mask(batchOf(values.map((v) => JSON.stringify({ v })))).masked.rows.toString('utf8'),
    );
  }

  test('shares its thread with the other columns of its file, and nothing else', () => {
    const file = folder.write(
      'shared.js',
      `import { defineMasker } from 'maskline';
       export const one = defineMasker({ mask: (value) => { if (value === 'bad') process.exit(1); return 'one ' + value; } });
       export const two = defineMasker({ mask: (value, { options }) => options.word + ' ' + value });`,
    );
    const source = { kind: 'field', name: 'v' } as const;
    const { masked } = folder.run(
      [
        column('a', { source, mask: folder.mask(file, { export: 'two', options: { word: 'x' } }) }),
        column('b', { source, mask: folder.mask(file, { export: 'one' }) }),
        column('c', { source, mask: folder.mask(file, { export: 'two', options: { word: 'y' } }) }),
      ],
      ['k', 'bad', 'l'].map((v) => JSON.stringify({ v })),
    );
    assert.equal(masked.rows.toString('utf8'), 'x k\tone k\ty k\nx l\tone l\ty l\n');
    assert.deepEqual(
      masked.rejections.map(({ message, code }) => [message, code]),
      [[1, 'mask_failed']],
    );
  });
});

describe('the event loop', () => {
  const compiled = (file: string, timeoutMs: number) =>
    compileMasker(
      policyOf([column('v', { mask: folder.mask(file, { timeoutMs }) })], { folder: folder.path }),
      testKeyring(),
      systemClock,
      { blockMs: 1_000 },
    );
  const bodies = (values: readonly string[]): readonly string[] => values.map((v) => JSON.stringify({ v }));

  test('is not held up for long by many values that hang: the batch then goes record by record', async () => {
    const compiledMasker = compiled(masker(`if (value.startsWith('bad')) for (;;); return value;`), 300);
    const values = ['a', 'bad1', 'b', 'bad2', 'bad3', 'c', 'bad4', 'd'];
    assert.throws(
      () => compiledMasker.mask(batchOf(bodies(values))),
      (error: unknown) => {
        assert.ok(error instanceof PipelineError);
        assert.equal(error.code, 'masker_stuck');
        assert.match(error.message, /^column v: the masker m\d+\.js holds the process up/);
        return true;
      },
    );
    let longest = 0;
    let last = performance.now();
    const beat = setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }, 5);
    const { masked } = await unhurried(compiledMasker).mask(batchOf(bodies(values)));
    clearInterval(beat);
    assert.equal(masked.rows.toString('utf8'), 'a\nb\nc\nd\n');
    assert.deepEqual(
      masked.rejections.map(({ message, code, path }) => [message, code, path]),
      [
        [1, 'mask_failed', 'v'],
        [3, 'mask_failed', 'v'],
        [4, 'mask_failed', 'v'],
        [6, 'mask_failed', 'v'],
      ],
    );
    // One value, and what the machine needs besides.
    assert.ok(longest < 3_000, `it stood still for ${longest} ms`);
  });

  test('that is told to stop is not held up by the rest of the batch', async () => {
    const file = masker(`if (value.startsWith('bad')) for (;;); return value;`);
    const stop = new PipelineError('canceled', 'stopped');
    let records = 0;
    const stopping = unhurried(compiled(file, 300), () => {
      records += 1;
      if (records > 2) throw stop;
    });
    await assert.rejects(
      stopping.mask(batchOf(bodies(['bad1', 'bad2', 'bad3', 'bad4', 'bad5']))) as Promise<unknown>,
      stop,
    );
  });

  test('gives the batch back when the masker does not start again, and blames no record', async () => {
    const flag = folder.write('there.txt', '');
    const file = masker(
      `if (value === 'break') { renameSync(flag, flag + '.gone'); process.exit(1); } return value;`,
      '',
      `import { readFileSync, renameSync } from 'node:fs'; const flag = new URL('./${flag}', import.meta.url).pathname; readFileSync(flag);`,
    );
    await assert.rejects(
      unhurried(compiled(file, 300)).mask(batchOf(bodies(['a', 'break']))) as Promise<unknown>,
      (error: unknown) => {
        assert.ok(error instanceof PipelineError);
        assert.equal(error.code, 'masker_stuck');
        assert.match(error.message, /does not start again: throws when it is loaded/);
        return true;
      },
    );
  });
});

describe('a masker with a key', () => {
  const source = `import { defineMasker } from 'maskline';
    export default defineMasker({ keyed: true, mask: (value, { hmac }) => hmac(value) });
    export const crooked = defineMasker({ keyed: true, mask: (value, { hmac }) => hmac(7) });`;

  test('gets the HMAC of its domain under the primary key, and its batches say which key that is', () => {
    const file = folder.write('keyed.js', source);
    const key = keyOracle(primaryMaster, 'hmac', 'people', 2, 32);
    const { masked } = folder.run(
      [column('v', { mask: folder.mask(file, { domain: 'people' }) })],
      [JSON.stringify({ v: 'J\u00fcrgen' })],
    );
    const expected = createHmac('sha256', key).update('J\u00fcrgen', 'utf8').digest('base64url');
    assert.equal(masked.rows.toString('utf8'), `${expected}\n`);
    assert.deepEqual(masked.kids, [2]);
    assert.deepEqual(folder.maskAll(folder.mask(file, { domain: 'people', export: 'crooked' }), ['a']), [
      failed,
    ]);
  });

  test('that has none needs none: its batches name no key', () => {
    const { masked } = folder.run(
      [column('v', { mask: folder.mask(masker('return value;')) })],
      ['{"v":"a"}'],
    );
    assert.deepEqual(masked.kids, []);
  });
});

/** The text that Postgres reads. */
function unescaped(cell: unknown): unknown {
  return typeof cell === 'string' ? cell.replaceAll('\\\\', '\\') : cell;
}
