// Commands of the pages that no machine of CI can carry out as they stand, and what checks them instead.

import { hasTest } from './test-names.js';
import { type CommandBlock, ROOT } from './documents.js';

/** What a block's line begins with, and the tests that stand for it, as `suite/file › name`. */
interface Elsewhere {
  readonly commands: RegExp;
  readonly tests: readonly string[];
}

/** The first that fits a line of a block counts. `maskline` in such a block is put before the real program all the same. */
const ELSEWHERE: readonly Elsewhere[] = [
  {
    commands: /^docker /,
    tests: [
      'integration/deploy-compose › comes up from empty volumes, in the order of its dependencies, and is healthy',
      'integration/deploy-compose › `run --rm send` sends events, and `run --rm rows` shows them, masked',
    ],
  },
  {
    commands: /^pm2 /,
    tests: [
      'integration/deploy-pm2 › 20,000 messages end once each while transform is scaled to 3 and to 1, all is reloaded…',
    ],
  },
  {
    commands: /^npm (?:ci|test|run)\b/,
    tests: [
      'unit/docs-pages › each script that a block runs is one of package.json, and each filter finds tests',
    ],
  },
  {
    commands: /^maskline bench/,
    tests: [
      'integration/bench › a small benchmark accounts for every message, adds up, and has its floor beside it',
    ],
  },
  {
    commands: /^(?:pg_dump|pg_restore) /,
    tests: ['integration/backup › after a restore what was loaded before comes as duplicate…'],
  },
  {
    // Bash and zsh; blocks are typed into sh.
    commands: /^source </,
    tests: [
      'unit/cli-completion › bash offers them, puts together what it splits at =, and completes names of files',
    ],
  },
  {
    commands: /^npm install @opentelemetry/,
    tests: [
      'integration/example-tracing › one trace leads from the message in SQS through three processes to COPY…',
    ],
  },
  {
    commands: /^(?:npm audit signatures|gh )/,
    tests: [
      'unit/deploy-workflows › is published with provenance and without a token, as it was packed, and without running its scripts',
      'unit/deploy-workflows › has its bill of materials attached, and attested',
    ],
  },
  {
    commands: /^kubectl /,
    tests: ['unit/deploy-pods › takes its secrets from Secrets that the README says how to make'],
  },
  {
    commands: /^(?:aws|terraform) /,
    tests: ['unit/deploy-terraform › says what each variable and output is'],
  },
];

/** The tests that stand for a block, or null when it is to be run as it is. */
export function testsInsteadOf({ text }: CommandBlock): readonly string[] | null {
  const lines = text.split('\n').map((line) => line.trim());
  return ELSEWHERE.find(({ commands }) => lines.some((line) => commands.test(line)))?.tests ?? null;
}

/** Whether a test of that name, `suite/file › name`, is there. */
export function isThere(test: string): boolean {
  const [file = '', name = ''] = test.split(' › ');
  return hasTest(ROOT, `${file}.test.ts`, name);
}
