// Lint of what deploys: docker-compose.yml as written and with its anchors resolved, which is what Compose gets to see;
// the Dockerfile; the shell script; and that what the Dockerfile copies is there and reaches the builder. The recipes
// below deploy/ are looked at by test/unit/deploy-*.test.ts, beside the code that they are for.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { DCLinter } from 'dclint';
import { ValidationSeverity, validate } from 'dockerfile-utils';
import { parse, stringify } from 'yaml';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const read = (file) => readFileSync(path.join(root, file), 'utf8');

/** Rules about order are off: services stand in the order in which they start. */
const COMPOSE_RULES = {
  'service-keys-order': 0,
  'service-dependencies-alphabetical-order': 0,
  'services-alphabetical-order': 0,
  'top-level-properties-order': 0,
  // An image that is built here still needs a name, which several services share.
  'no-build-and-image': 0,
  // The resolved file is written by a program.
  'require-quotes-in-ports': 0,
};

/** dclint's errors, warnings and breaches of the schema of compose files, as lines. */
function composeProblems() {
  const folder = mkdtempSync(path.join(tmpdir(), 'maskline-lint-'));
  try {
    const resolved = path.join(folder, 'docker-compose.yml');
    const all = Object.entries(parse(read('docker-compose.yml'), { merge: true }));
    const own = Object.fromEntries(all.filter(([key]) => !key.startsWith('x-')));
    writeFileSync(resolved, stringify(own, { aliasDuplicateObjects: false, lineWidth: 0 }));
    const linter = new DCLinter({ rules: COMPOSE_RULES, quiet: false, debug: false, exclude: [] });
    const results = linter.lintFiles([path.join(root, 'docker-compose.yml'), resolved], false);
    return results.flatMap(({ filePath, messages }) =>
      messages.map(
        ({ line, message, rule }) =>
          `docker-compose.yml${filePath === resolved ? ' (resolved)' : ''}:${line} ${message} (${rule})`,
      ),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function dockerfileProblems() {
  const text = read('Dockerfile');
  const severity = {
    deprecatedMaintainer: ValidationSeverity.ERROR,
    directiveCasing: ValidationSeverity.ERROR,
    emptyContinuationLine: ValidationSeverity.ERROR,
    instructionCasing: ValidationSeverity.ERROR,
    instructionCmdMultiple: ValidationSeverity.ERROR,
    instructionEntrypointMultiple: ValidationSeverity.ERROR,
    instructionHealthcheckMultiple: ValidationSeverity.ERROR,
    instructionJSONInSingleQuotes: ValidationSeverity.ERROR,
    instructionWorkdirRelative: ValidationSeverity.ERROR,
  };
  const found = validate(text, severity).map(
    ({ range, message }) =>
      `Dockerfile:${range.start.line + 1} ${typeof message === 'string' ? message : message.value}`,
  );
  return [...found, ...copyProblems(text)];
}

/** What COPY takes from the build context must exist, and .dockerignore must let it through. */
function copyProblems(text) {
  const allowed = read('.dockerignore')
    .split('\n')
    .filter((line) => line.startsWith('!'))
    .map((line) => line.slice(1));
  const copied = text
    .split('\n')
    .filter((line) => line.startsWith('COPY ') && !line.includes('--from='))
    .flatMap((line) => line.split(/\s+/).slice(1, -1));
  return copied.flatMap((file) => {
    if (!existsSync(path.join(root, file))) return [`Dockerfile: COPY of ${file}, which is not there`];
    const isAllowed = allowed.some((entry) => file === entry || file.startsWith(`${entry}/`));
    return isAllowed ? [] : [`.dockerignore keeps ${file} from the builder, which the Dockerfile copies`];
  });
}

function scriptProblems() {
  const { status, stderr } = spawnSync('sh', ['-n', path.join(root, 'deploy/compose/setup.sh')], {
    encoding: 'utf8',
  });
  return status === 0 ? [] : [stderr.trim()];
}

const problems = [...composeProblems(), ...dockerfileProblems(), ...scriptProblems()];
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exitCode = 1;
else console.log('deploy: docker-compose.yml, Dockerfile and setup.sh are sound');
