// Prometheus' own checker of rules, as a judge of ours.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';

/** Runs promtool and returns what it says. Fails when it finds something, and clearly when it is missing. */
export function promtool(args: readonly string[], cwd: string): string {
  const { error, status, stdout, stderr } = spawnSync('promtool', args, { cwd, encoding: 'utf8' });
  const isMissing = error !== undefined && 'code' in error && error.code === 'ENOENT';
  assert.ok(!isMissing, "promtool is missing: it is in Debian's package prometheus (see .ci/run)");
  assert.equal(status, 0, `${stdout}${stderr}`);
  return stdout;
}
