import type { Kek } from './kek.js';
import type { KeyScope } from './key-methods.js';
import type { KeyringFile } from './keyring-file.js';
import { SUBSET_FORMAT, type SubsetFile, wrapEntry } from './keyring-subset.js';
import type { Keyring } from './keyring.js';
import type { SealPurpose } from './seal.js';

/** What every process of a pipeline seals and opens: jobs, quarantined records, and the origin of redriven messages. */
const PURPOSES: readonly SealPurpose[] = ['payload', 'quarantine', 'redrive'];

/**
 * A subset with the keys of these scopes and of the seals, for every kid that is not destroyed, and no master key. The
 * keyring is the opened one of the file. Throws `key_unavailable` when it holds no master keys itself.
 */
export function deriveSubset(
  file: KeyringFile,
  keyring: Keyring,
  scopes: readonly KeyScope[],
  kek: Kek,
): SubsetFile {
  const seals = PURPOSES.map((domain): KeyScope => ({ method: 'seal', domain }));
  const keys = keyring
    .kids()
    .flatMap((kid) =>
      [...scopes, ...seals].map((scope) =>
        wrapEntry(file.id, kid, scope, keyring.derive(scope.method, scope.domain, kid), kek),
      ),
    );
  const kids = file.keys.map(({ kid, state }) => ({ kid, state }));
  return { format: SUBSET_FORMAT, id: file.id, kek: kek.record, kids, keys };
}
