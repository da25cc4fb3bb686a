// What a file with a masker may be, in JavaScript and in TypeScript, and what is said of one that is none.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loopTurn } from '../../src/masking/blocking.js';
import { PipelineError } from '../../src/errors.js';
import { readCustomFiles } from '../../src/masking/custom-files.js';
import type { CustomMask } from '../../src/masking/methods.js';
import { MaskerFolder } from '../support/custom.js';

// What threads are waited for counts until the loop turns, and tests that wait for nothing else do not let it.
beforeEach(loopTurn);

const root = fileURLToPath(new URL('../../..', import.meta.url));
const folder = new MaskerFolder();
after(() => folder.remove());

/** What is said when a mask is prepared. */
function refusal(mask: CustomMask): string {
  try {
    folder.maskAll(mask, []);
  } catch (error) {
    assert.ok(error instanceof PipelineError, String(error));
    assert.equal(error.code, 'config_invalid');
    return error.message;
  }
  return 'it was taken';
}

const languages = [
  { name: 'JavaScript', code: 'js', types: false },
  { name: 'JavaScript, .mjs', code: 'mjs', types: false },
  { name: 'TypeScript', code: 'ts', types: true },
  { name: 'TypeScript, .mts', code: 'mts', types: true },
] as const;

for (const { name, code, types } of languages) {
  const of = (type: string): string => (types ? type : '');
  const at = (file: string): string => `${code}/${file}`;

  describe(`a masker in ${name}`, () => {
    test('is the default export of a file, or the export that is named', () => {
      const file = folder.write(
        at(`exports.${code}`),
        `import { defineMasker${of(', type MaskerContext')} } from 'maskline';
         const shout = (value${of(': string')}, { column }${of(': MaskerContext')})${of(': string')} => column + value.toUpperCase();
         export default defineMasker({ mask: shout });
         export const named = defineMasker({ mask: (value) => 'named ' + value });
         export const other = { mask: (value${of(': string')}) => value };`,
      );
      assert.deepEqual(folder.maskAll(folder.mask(file), ['a']), ['vA']);
      assert.deepEqual(folder.maskAll(folder.mask(file, { export: 'named' }), ['a']), ['named a']);
      assert.match(
        refusal(folder.mask(file, { export: 'other' })),
        /^column v: the masker \S+ exports something that `defineMasker` has not made \(other\): /,
      );
      assert.match(refusal(folder.mask(file, { export: 'toString' })), /has no such export \(toString\)/);
    });

    test('imports others from beside it, packages from where it is, what Node brings, and data', () => {
      folder.write(
        at('node_modules/words/package.json'),
        '{ "name": "words", "type": "module", "exports": "./words.js" }',
      );
      folder.write(at('node_modules/words/words.js'), `export { word } from './inner.js';`);
      folder.write(at('node_modules/words/inner.js'), `export const word = 'word';`);
      folder.write(at('data.json'), '{ "a": ["data"] }');
      folder.write(at(`deep/leaf.${code}`), `export const leaf${of(': string')} = 'leaf';`);
      folder.write(
        at(`deep/branch.${code}`),
        `import { leaf } from './leaf.${code.replace('ts', 'js')}'; import up from '../up.${code}'; export const branch = leaf + up;`,
      );
      folder.write(at(`up.${code}`), `export default '-up-'${of(' as string')};`);
      const file = folder.write(
        at(`imports.${code}`),
        `import { createHash } from 'node:crypto';
         import { defineMasker } from "maskline";
         import { word } from 'words';
         import data from './data.json' with { type: 'json' };
         const { branch } = await import('./deep/branch.${code}');
         export default defineMasker({ mask: (v) => [v, word, branch, data[v]?.[0], createHash('sha256').update(v).digest('hex').slice(0, 4)].join(' ') });`,
      );
      // The SHA-256 of "a" begins so.
      assert.deepEqual(folder.maskAll(folder.mask(file), ['a']), ['a word leaf-up- data ca97']);
    });

    test('is found by its bytes, and those of what it imports: after a change it is another policy, and not run', () => {
      const file = folder.write(
        at(`bytes.${code}`),
        `import { defineMasker } from 'maskline'; import { f } from './f.${code}'; export default defineMasker({ mask: f });`,
      );
      folder.write(at(`f.${code}`), `export const f = () => 'one';`);
      const first = folder.mask(file);
      assert.deepEqual(folder.maskAll(first, ['a']), ['one']);
      folder.write(at(`f.${code}`), `export const f = () => 'two';`);
      const second = folder.mask(file);
      assert.notEqual(second.sha256, first.sha256);
      assert.match(refusal(first), /has changed since the pipeline file was read/);
      assert.deepEqual(folder.maskAll(second, ['a']), ['two']);
    });

    test('that can not be compiled is refused with the place, and not a word of it', () => {
      const file = folder.write(
        at(`syntax.${code}`),
        `import { defineMasker } from 'maskline';\nconst secret = 'canary' +;\n`,
      );
      assert.match(
        refusal(folder.mask(file)),
        new RegExp(
          `^column v: the masker ${file} is no JavaScript or TypeScript that can be compiled at syntax\\.${code}:2:26: `,
        ),
      );
      assert.doesNotMatch(refusal(folder.mask(file)), /canary/);
      const importing = folder.write(at(`importing.${code}`), `import './syntax.${code}';`);
      assert.match(refusal(folder.mask(importing)), new RegExp(` at syntax\\.${code}:2:26: `));
    });

    test('that throws when it is loaded is refused with the place, and not a word of what it says', () => {
      const file = folder.write(
        at(`throws.${code}`),
        `const value${of(': string')} = 'canary';\n\n  throw new RangeError(value);\n`,
      );
      assert.match(
        refusal(folder.mask(file)),
        new RegExp(` throws when it is loaded at throws\\.${code}:3:9: `),
      );
      assert.doesNotMatch(refusal(folder.mask(file)), /canary/);
    });

    test('that imports what is not there is refused, and so is a path that is no plain text', () => {
      const cases: readonly (readonly [string, RegExp])[] = [
        [`import './nowhere.js';`, /imports a file that is not there/],
        [`const name = 'up'; await import('./' + name + '.${code}');`, /imports a file that is not there/],
        [`await import(import.meta.url.replace('refused', 'up'));`, /imports a file that is not there/],
        [
          `import { x } from 'not-installed';`,
          /imports a package that is not found from where it is \(not-installed\)/,
        ],
        [`import { down } from './up.${code}';`, /imports a name that the other file does not export/],
      ];
      folder.write(at(`up.${code}`), `export default '-up-'${of(' as string')};`);
      for (const [text, said] of cases)
        assert.match(refusal(folder.mask(folder.write(at(`refused.${code}`), text))), said);
    });
  });
}

describe('TypeScript that is more than types', () => {
  test('is compiled: enums, namespaces, properties of parameters', () => {
    const file = folder.write(
      'more.ts',
      `import { defineMasker } from 'maskline';
       enum Tier { Low = 1, High }
       namespace Names { export const prefix = 'tier '; }
       class Rule { constructor(private readonly limit: number) {} of(text: string): string { return Names.prefix + Tier[text.length > this.limit ? Tier.High : Tier.Low]; } }
       const rule = new Rule(2);
       export default defineMasker({ mask: (value) => rule.of(value) });`,
    );
    assert.deepEqual(folder.maskAll(folder.mask(file), ['a', 'abc']), ['tier Low', 'tier High']);
  });
});

describe('what `defineMasker` is given', () => {
  const cases: readonly (readonly [string, RegExp, Partial<CustomMask>?])[] = [
    ['{}', /gives `defineMasker` no function `mask`/],
    [`{ mask: 'x' }`, /gives `defineMasker` no function `mask`/],
    ['{ mask: async (v) => v }', /has an asynchronous `mask`/],
    ['{ mask: (v) => v, maks: 1 }', /what it does not know \(maks\)/],
    [`{ mask: (v) => v, input: 'raw' }`, /what it does not know \(input\)/],
    ['{ mask: (v) => v, keyed: true }', /is keyed, and the mask names no `domain`/],
    ['{ mask: (v) => v }', /takes no key, and the mask names a `domain`/, { domain: 'd' }],
    [
      `{ mask: (v) => v, check: ({ options }) => { throw new Error(options.a); } }`,
      /refuses its options: its `check` throws: |refuses its options/,
      { options: { a: 'canary' } },
    ],
  ];
  for (const [definition, said, options] of cases) {
    test(`${definition} is refused`, () => {
      const file = folder.write(
        'defined.js',
        `import { defineMasker } from 'maskline';\nexport default defineMasker(${definition});`,
      );
      const message = refusal(folder.mask(file, options));
      assert.match(message, said);
      assert.doesNotMatch(message, /canary/);
    });
  }

  test('is looked at before any value: a check that is content lets it start', () => {
    const file = folder.write(
      'checked.js',
      `import { defineMasker } from 'maskline';
       let checks = 0;
       export default defineMasker({ check: ({ options }) => { if (options.a !== 1) throw new Error(); checks += 1; }, mask: (v) => v + checks });`,
    );
    assert.deepEqual(folder.maskAll(folder.mask(file, { options: { a: 1 } }), ['x', 'y']), ['x1', 'y1']);
  });
});

describe('a masker that does not load', () => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['as it ends its thread', 'process.exit(0);', /ends its thread when it is loaded/],
    [
      'as it waits for what never comes',
      'await new Promise(() => undefined);',
      /ends its thread when it is loaded/,
    ],
  ];
  for (const [how, text, said] of cases) {
    test(`${how} is refused`, () => {
      assert.match(refusal(folder.mask(folder.write('unloaded.js', text))), said);
    });
  }
});

test('a file that is not there, or too much to be a masker, is said to be that', () => {
  const missing = readCustomFiles(path.join(folder.path, 'missing.ts'));
  assert.deepEqual(missing, { wrong: 'cannot be read (ENOENT)' });
  const big = folder.write('big.js', `// ${'x'.repeat(8 * 1024 * 1024)}`);
  assert.match(JSON.stringify(readCustomFiles(path.join(folder.path, big))), /more than 8 MiB/);
});

test('the types that a masker imports are enough for the strictest compiler, keyed or not', () => {
  const project = new MaskerFolder();
  try {
    mkdirSync(path.join(project.path, 'node_modules'));
    symlinkSync(root, path.join(project.path, 'node_modules/maskline'));
    symlinkSync(path.join(root, 'node_modules/@types'), path.join(project.path, 'node_modules/@types'));
    for (const file of ['prose.ts', 'words.ts', 'pseudonym.ts']) {
      const text = readFileSync(path.join(root, 'examples/support-tickets/masks', file), 'utf8');
      writeFileSync(path.join(project.path, file), text);
    }
    project.write(
      'wrong.ts',
      `import { defineMasker } from 'maskline';
       // @ts-expect-error: a masker without a key has no hmac
       defineMasker({ mask: (value, { hmac }) => hmac(value) });
       // @ts-expect-error: results are text or null
       defineMasker({ mask: (value) => value.length });
       // @ts-expect-error: results come at once
       defineMasker({ mask: async (value) => value });
       const made = defineMasker({ mask: (value, { column, options }) => column + String(options['x']) + value });
       export const tried: string | null = made.mask('a', { column: 'c', options: {} });`,
    );
    project.write('package.json', '{ "type": "module" }');
    project.write(
      'tsconfig.json',
      JSON.stringify({
        compilerOptions: {
          target: 'ES2023',
          module: 'NodeNext',
          strict: true,
          exactOptionalPropertyTypes: true,
          noUncheckedIndexedAccess: true,
          noPropertyAccessFromIndexSignature: true,
          verbatimModuleSyntax: true,
          types: ['node'],
          noEmit: true,
          skipLibCheck: true,
        },
        include: ['*.ts'],
      }),
    );
    const tsc = path.join(root, 'node_modules/typescript/bin/tsc');
    execFileSync(process.execPath, [tsc, '-p', project.path], { encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    assert.fail(error instanceof Error && 'stdout' in error ? String(error.stdout) : String(error));
  } finally {
    project.remove();
  }
});
