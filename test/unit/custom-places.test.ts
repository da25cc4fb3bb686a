// Where else than in `transform` a custom mask shows up, and what is said of it there.

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, beforeEach, describe, test } from 'node:test';
import { loopTurn } from '../../src/masking/blocking.js';
import { systemClock } from '../../src/clock.js';
import { checkConfig } from '../../src/config/load.js';
import { explain } from '../../src/foresight/explanation.js';
import { preview } from '../../src/foresight/preview.js';
import { maskStrengths } from '../../src/foresight/strength.js';
import { createdType, fitOf } from '../../src/load/target-types.js';
import { storedForms } from '../../src/masking/erasure.js';
import { compileLeakGate } from '../../src/masking/leak-gate.js';
import { compileMasker } from '../../src/masking/mask.js';
import { planRemask } from '../../src/masking/remask-rows.js';
import { processProbe } from '../../src/roles/suspect.js';
import { MaskerFolder } from '../support/custom.js';
import { messagesWith } from '../support/foresight.js';
import { batchOf, column, policyOf, testKeyring, token } from '../support/masking.js';
import { AS_IT_IS } from '../support/opening.js';

// What threads are waited for counts until the loop turns, and tests that wait for nothing else do not let it.
beforeEach(loopTurn);

const folder = new MaskerFolder();
after(() => folder.remove());
const ENV = { DATABASE_URL: 'postgres://app:pw@db/app', SQS_QUEUE_URL: 'logins' };
const KID = 'kid: { from: $mask_kid, type: integer }';

folder.write(
  'masks/tier.ts',
  `import { defineMasker } from 'maskline';
   export default defineMasker({ mask: (value: string) => value.length > 4 ? 'gold' : 'tin' });`,
);
const keyed = folder.write(
  'keyed.js',
  `import { defineMasker } from 'maskline';
   export default defineMasker({ keyed: true, mask: (value, { hmac }) => hmac(value) });`,
);
const same = folder.write(
  'same.js',
  `import { defineMasker } from 'maskline';
   export default defineMasker({ mask: (value) => value });`,
);

function check(columns: readonly string[], create = false) {
  const text = `version: 1\npipelines:\n  p:\n    columns:\n${columns.map((one) => `      ${one}\n`).join('')}    target: { table: t, create: ${create} }\n`;
  const { config, problems } = checkConfig({
    file: path.join(folder.path, 'm.yaml'),
    env: ENV,
    read: () => text,
  });
  const said = problems.map(({ severity, path: at, message }) =>
    `${severity} ${at}: ${message}`.replace('pipelines.p.columns.', ''),
  );
  return { pipeline: config?.pipelines[0], said };
}

describe('in the pipeline file a custom mask', () => {
  test('is found from where that file is, and arrives with its hash, its options and their defaults', () => {
    const { pipeline, said } = check([
      'a: { from: a, mask: { method: custom, file: ./masks/tier.ts } }',
      `b: { from: b, mask: { method: custom, file: keyed.js, export: x, options: { a: [1, { b: null }] }, timeout: 300ms, domain: d } }`,
      KID,
    ]);
    assert.deepEqual(said, []);
    assert.deepEqual(
      pipeline?.policy.columns.slice(0, 2).map(({ mask }) => mask),
      [
        folder.mask('./masks/tier.ts'),
        folder.mask('keyed.js', {
          export: 'x',
          options: { a: [1, { b: null }] },
          timeoutMs: 300,
          domain: 'd',
        }),
      ],
    );
    assert.equal(pipeline?.policy.folder, folder.path);
  });

  test('makes another policy of other bytes, and the same one of the same bytes elsewhere', () => {
    const changing = ['a: { from: a, mask: { method: custom, file: changing.js } }'];
    folder.write('changing.js', 'export default 1;');
    const one = check(changing).pipeline?.policy.sha256;
    folder.write('changing.js', 'export default 2;');
    const two = check(changing).pipeline?.policy.sha256;
    folder.write('changing.js', 'export default 1;');
    assert.notEqual(one, two);
    assert.equal(check(changing).pipeline?.policy.sha256, one);
    const elsewhere = new MaskerFolder();
    try {
      elsewhere.write('changing.js', 'export default 1;');
      const text = `version: 1\npipelines:\n  p:\n    columns:\n      ${changing[0] ?? ''}\n    target: { table: t }\n`;
      const { config } = checkConfig({
        file: path.join(elsewhere.path, 'm.yaml'),
        env: ENV,
        read: () => text,
      });
      assert.equal(config?.pipelines[0]?.policy.sha256, one);
    } finally {
      elsewhere.remove();
    }
  });

  test('is refused without its file, with options of others, and where its results can not go', () => {
    const cases: readonly (readonly [string, RegExp])[] = [
      ['{ from: a, mask: { method: custom } }', /^error a\.mask\.file: required by the mask custom$/],
      [
        '{ from: a, mask: { method: custom, file: no.js } }',
        /^error a\.mask\.file: cannot be read \(ENOENT\)$/,
      ],
      ['{ from: a, mask: { method: custom, file: masks } }', /^error a\.mask\.file: must be an ES module/],
      [
        '{ from: a, mask: { method: custom, file: same.js, lower: true } }',
        /^error a\.mask\.lower: is not an option/,
      ],
      [
        '{ from: a, mask: { method: siv, file: same.js } }',
        /^error a\.mask\.file: is not an option of the mask siv$/,
      ],
      [
        '{ from: a, mask: { method: custom, file: same.js, timeout: 1m } }',
        /^error a\.mask\.timeout: must be from 100ms to 4s$/,
      ],
      [
        '{ from: a, mask: { method: custom, file: same.js }, type: jsonb }',
        /^error a\.type: contradicts the mask custom/,
      ],
      ['{ from: "a[*]", mask: { method: custom, file: same.js } }', /^error a\.type: a `from` with "\[\*\]"/],
      [
        '{ from: $message_id, mask: { method: custom, file: same.js } }',
        /^error a\.mask\.method: \$message_id comes from no sender/,
      ],
      [
        '{ from: a, mask: { method: custom, file: keyed.js, domain: d } }',
        /^error a\.mask\.method: the results of custom carry no key id/,
      ],
    ];
    for (const [written, expected] of cases) assert.match(check([`a: ${written}`]).said.join('\n'), expected);
  });

  test('makes a column of text, or of the type that is given', () => {
    const { pipeline, said } = check(
      [
        'a: { from: a, mask: { method: custom, file: same.js } }',
        'b: { from: b, mask: { method: custom, file: same.js }, max_length: 9 }',
        'c: { from: c, mask: { method: custom, file: same.js }, type: integer }',
        'd: { from: "d[*]", mask: { method: custom, file: same.js }, type: "text[]" }',
      ],
      true,
    );
    assert.deepEqual(said, []);
    const columns = pipeline?.policy.columns ?? [];
    assert.deepEqual(columns.map(createdType), ['text', 'varchar(9)', 'integer', 'text[]']);
    assert.deepEqual(
      columns.map((one) => fitOf(one, 'int4', true)),
      ['unfit', 'unfit', 'fits', 'unfit'],
    );
  });
});

test('the strength of a custom mask is what its author says, and no figure', () => {
  const policy = policyOf([
    column('a', { mask: folder.mask(same) }),
    column('b', { mask: folder.mask(keyed, { domain: 'd' }) }),
  ]);
  assert.deepEqual(
    maskStrengths(policy).map(({ exposure, space, found_by, leaks }) => ({
      exposure,
      space,
      found_by,
      leaks,
    })),
    [
      {
        exposure: 'part',
        space: null,
        found_by: 'its author says: a function in same.js, without a key',
        leaks: ['what its author says'],
      },
      {
        exposure: 'token',
        space: null,
        found_by: 'its author says: a function in keyed.js, with a key',
        leaks: ['what its author says'],
      },
    ],
  );
});

test('the leak gate stops what a custom mask lets through, in its own column and of others', () => {
  const columns = [column('mail', { mask: folder.mask(same) }), column('who', { mask: token('siv') })];
  const policy = policyOf(columns, { folder: folder.path });
  const masker = compileMasker(policy, testKeyring(), systemClock);
  const gate = compileLeakGate(policy, systemClock);
  const batch = batchOf([JSON.stringify({ mail: 'canary.person@example.com', who: 'x' })]);
  assert.throws(() => gate.check(batch, masker.mask(batch).masked), /mail is not masked \(1 of 1 rows\)/);
  const others = batchOf([JSON.stringify({ mail: 'from 593-47-5928 x', who: '593-47-5928' })]);
  assert.throws(() => gate.check(others, masker.mask(others).masked), /what who masks is in mail/);
});

test('the process that probes a record runs custom masks too, and tells what ends it from what only fails', async () => {
  const file = folder.write(
    'deadly.js',
    `import { defineMasker } from 'maskline';
     export default defineMasker({ mask: (value) => {
       if (value === 'kills') process.kill(process.pid, 'SIGKILL');
       if (value === 'hangs') for (;;);
       if (value === 'exits') process.exit(1);
       return value + '!';
     } });`,
  );
  const policy = policyOf([column('v', { mask: folder.mask(file, { timeoutMs: 500 }) })], {
    folder: folder.path,
  });
  const probe = processProbe(policy);
  const never = new AbortController().signal;
  const verdicts = await Promise.all(
    ['good', 'kills', 'hangs', 'exits'].map((v) => probe(batchOf([JSON.stringify({ v })]), never)),
  );
  assert.deepEqual(verdicts, [false, true, false, false]);
});

test('a keyed custom mask stays behind at a change of keys, and what shares its key id stays with it', () => {
  const pfx = column('ip', { mask: { method: 'ipcrypt-pfx', domain: 'ip' } });
  const plan = planRemask(
    policyOf([
      column('a', { mask: folder.mask(keyed, { domain: 'd' }) }),
      column('b', { mask: folder.mask(same) }),
      pfx,
      column('c', { mask: token('siv') }),
    ]),
    testKeyring(),
    1,
  );
  assert.deepEqual(plan.left, [
    { name: 'a', method: 'custom', why: 'one_way' },
    { name: 'ip', method: 'ipcrypt-pfx', why: 'beside_one_way' },
  ]);
  assert.deepEqual(
    plan.columns.map(({ name }) => name),
    ['c'],
  );
});

test('erasure does not search what a custom mask has stored', () => {
  assert.equal(storedForms(column('a', { mask: folder.mask(same) }), testKeyring(), 'x'), null);
});

describe('before it runs', () => {
  const pipelineOf = (file: string) => {
    const policy = policyOf([column('v', { mask: folder.mask(file, { timeoutMs: 200 }) })], {
      folder: folder.path,
    });
    return { name: 'p', policy, source: { opening: AS_IT_IS } } as const;
  };

  test('a preview shows what a custom mask makes of a sample, in which some records hang it', () => {
    const file = folder.write(
      'preview.js',
      `import { defineMasker } from 'maskline';
       export default defineMasker({ mask: (value) => { if (value.startsWith('bad')) for (;;); return 'x-' + value.length; } });`,
    );
    const bodies = ['a', 'bad1', 'bbb', 'bad2', 'bad3'].map((v) => ({ v }));
    const shown = preview(pipelineOf(file), testKeyring(), systemClock, messagesWith(bodies), 0);
    assert.deepEqual(shown.rejections, [{ code: 'mask_failed', path: 'v', records: 3 }]);
    assert.equal(shown.rows, 2);
    assert.deepEqual(shown.columns[0]?.after, [{ shape: 'a-9 (1-8)', count: 2 }]);
  });

  test('a comparison of policies tells that a masker has changed, and what that changes', () => {
    const file = folder.write(
      'changes.js',
      `import { defineMasker } from 'maskline';\nexport default defineMasker({ mask: (v) => 'one ' + v });`,
    );
    const before = pipelineOf(file);
    const other = new MaskerFolder();
    try {
      other.write(
        'changes.js',
        `import { defineMasker } from 'maskline';\nexport default defineMasker({ mask: (v) => v === 'a' ? 'one a' : 'two' });`,
      );
      const policy = policyOf([column('v', { mask: other.mask('changes.js', { timeoutMs: 200 }) })], {
        folder: other.path,
      });
      const side = (pipeline: typeof before) => ({ pipeline, keyring: testKeyring() });
      const { columns } = explain(
        side(before),
        side({ ...before, policy }),
        systemClock,
        messagesWith([{ v: 'a' }, { v: 'b' }, { v: 'c' }]),
      );
      assert.deepEqual(
        [columns[0]?.change, columns[0]?.values_changed, columns[0]?.breaks_equality],
        ['changed', 2, true],
      );
      assert.match(columns[0]?.differences.join() ?? '', /^mask\.sha256: "[0-9a-f]{64}" -> "[0-9a-f]{64}"$/);
    } finally {
      other.remove();
    }
  });
});
