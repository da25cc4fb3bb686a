import { statSync } from 'node:fs';
import { Releases } from '../lifecycle.js';
import type { KeyUse } from '../load/key-uses.js';
import { destroyKey, requireDestroyable } from '../masking/keyring-change.js';
import { changeKeyring } from '../masking/keyring-store.js';
import { readKeyringFile } from '../masking/keyring.js';
import { findKeyUses } from '../roles/key-uses.js';
import { openKek, openKeyring } from '../roles/keyring.js';
import { confirm } from './confirmation.js';
import type { CliContext, Command } from './context.js';
import { withPool } from './database.js';
import { openDeployment } from './deployment.js';
import { exitCode } from './exit.js';
import { declined } from './failed.js';
import { kidOf } from './keyring-place.js';

interface DestroyOptions {
  readonly args: readonly string[];
  readonly dryRun?: boolean;
}

/** Counting reads whole tables. */
const STATEMENT_TIMEOUT_MS = 6 * 3_600_000;

/**
 * `keys destroy`: refuses while anything needs the key that could be found out; what could not be asked refuses too, by
 * the error that says so.
 */
export const keysDestroy: Command<DestroyOptions> = async (context, { args, dryRun = false }) => {
  const kid = kidOf(args[0]);
  const deployment = openDeployment(context, 'cli');
  const { file: path } = deployment.config.keyring;
  requireDestroyable(readKeyringFile(path), kid, path);
  const keyring = await openKeyring(deployment);
  const question = { kid, keyring, changedAt: statSync(path).mtimeMs };
  const releases = new Releases();
  let uses: readonly KeyUse[];
  try {
    uses = await withPool(
      deployment,
      'migrate',
      (pool) => findKeyUses(deployment, pool, question, releases),
      { statementTimeoutMs: STATEMENT_TIMEOUT_MS },
    );
  } finally {
    await releases.release();
  }
  if (uses.length > 0 || dryRun) return say(context, kid, uses, false);
  const lost =
    `Key ${kid} of keyring ${keyring.id} will be gone for ever. Nothing was found that needs it; what is kept elsewhere ` +
    'is not looked at and can never be opened again: copies and backups of the tables, exported tokens, messages that ' +
    'were redriven under it. Backups of the keyring file still hold it. Destroy it?';
  if (!(await confirm(context, lost))) return declined(context);
  changeKeyring({ path, kek: await openKek(deployment), change: (open) => destroyKey(open, kid) });
  return say(context, kid, uses, true);
};

function say({ out }: CliContext, kid: number, uses: readonly KeyUse[], isDestroyed: boolean): number {
  const found = uses.map(({ place, count }) => ({ place, count }));
  const lines = found.map(({ place, count }) => `  ${count}  ${place}`);
  const text = isDestroyed
    ? `Key ${kid} is destroyed.`
    : uses.length === 0
      ? `Nothing needs key ${kid}: it could be destroyed.`
      : [
          `Key ${kid} is still needed, and stays:`,
          ...lines,
          `Bring over what can be with \`maskline remask --from-kid ${kid}\`; let queues drain; retry or discard failed ` +
            'jobs; replay or purge quarantined records; restart processes.',
        ].join('\n');
  out.result({ kid, destroyed: isDestroyed, uses: found }, text);
  return uses.length === 0 ? exitCode.ok : exitCode.failed;
}
