// Makes the pictures of the README anew, by the test that looks at the pages: `npm run screenshots`.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const MASKLINE_SCREENSHOTS = path.join(root, 'docs', 'images');
const test = path.join(root, 'dist', 'test', 'integration', 'admin-browser.test.js');
const { status } = spawnSync(
  process.execPath,
  ['--enable-source-maps', '--test', '--test-name-pattern', 'pictures', test],
  { stdio: 'inherit', env: { ...process.env, MASKLINE_SCREENSHOTS } },
);
process.exitCode = status ?? 1;
