import type { Kek } from './kek.js';
import { type KeyScope, SUBJECT_DOMAIN } from './key-methods.js';
import type { KeyringFile } from './keyring-file.js';
import { SUBSET_FORMAT, type SubsetFile, wrapEntry } from './keyring-subset.js';
import type { Keyring } from './keyring.js';
import type { SealPurpose } from './seal.js';

/** What every process of a pipeline seals and opens: jobs, quarantined records, and the origin of redriven messages. */
const PURPOSES: readonly SealPurpose[] = ['payload', 'quarantine', 'redrive'];

/** What masking by the vault needs besides the key of a domain: to seal what it enters, and to say whose it is. */
const VAULT_SCOPES: readonly KeyScope[] = [
  { method: 'seal', domain: 'vault' },
  { method: 'hmac', domain: SUBJECT_DOMAIN },
];

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
  const hasVault = scopes.some(({ method }) => method === 'vault');
  const seals = PURPOSES.map((domain): KeyScope => ({ method: 'seal', domain }));
  const others = [...seals, ...(hasVault ? VAULT_SCOPES : [])].filter(
    (one) => !scopes.some(({ method, domain }) => method === one.method && domain === one.domain),
  );
  const keys = keyring
    .kids()
    .flatMap((kid) =>
      [...scopes, ...others].map((scope) =>
        wrapEntry(file.id, kid, scope, keyring.derive(scope.method, scope.domain, kid), kek),
      ),
    );
  const kids = file.keys.map(({ kid, state }) => ({ kid, state }));
  return { format: SUBSET_FORMAT, id: file.id, kek: kek.record, kids, keys };
}
