import { systemClock } from '../clock.js';
import type { Config } from '../config/config.js';
import { type Kek, kekFromEnv, kekFromFile } from '../masking/kek.js';
import { type Keyring, loadKeyring, readKeyFile } from '../masking/keyring.js';
import { selfTest } from '../masking/siv.js';
import { outlast } from '../policy.js';
import type { Environment } from './environment.js';

/** What says where a keyring is, and what opens it. */
export interface KeyringPlace {
  readonly config: Pick<Config, 'keyring'> & Partial<Pick<Config, 'startupTimeoutMs'>>;
  readonly environment: Environment;
  /** Hears of every wait for AWS KMS. */
  readonly onWait?: (error: unknown) => void;
}

/** Without a configuration nobody has said how long to wait for AWS KMS. */
const DEFAULT_WAIT_MS = 60_000;

/**
 * Opens the keyring, or a subset of one, after the cipher has passed its known-answer test. Throws `key_unavailable`,
 * `config_invalid`, or `kms_unavailable` when AWS KMS was away for all of `startup_timeout`.
 */
export async function openKeyring(place: KeyringPlace): Promise<Keyring> {
  selfTest();
  return loadKeyring(place.config.keyring.file, await openKek(place));
}

/** The key-encryption key of the configuration, waited for where it comes from AWS KMS. Throws as `openKeyring`. */
export async function openKek({ config, environment, onWait }: KeyringPlace): Promise<Kek> {
  const { kek, file } = config.keyring;
  if (kek.type === 'env') return kekFromEnv(environment.kek);
  if (kek.type === 'file') return kekFromFile(kek.path);
  const { kek: record } = readKeyFile(file);
  return waitForKms({ config, onWait }, async () => {
    const { openKmsKek } = await import('../masking/kek-kms.js');
    return openKmsKek(kek, record);
  });
}

/** A new key-encryption key that only that key of AWS KMS opens. Throws `key_unavailable`, `kms_unavailable`. */
export async function createKekInKms(
  { config }: Pick<KeyringPlace, 'config'>,
  keyArn: string,
  keyringId: string,
): Promise<Kek> {
  const { kek } = config.keyring;
  const context = (kek.type === 'aws-kms' ? kek.context : null) ?? { app: 'maskline', keyring: keyringId };
  return waitForKms({ config }, async () => {
    const { createKmsKek } = await import('../masking/kek-kms.js');
    return createKmsKek({ keyArn, context });
  });
}

/** As every start waits for what is away. The SDK is loaded for those only who use it. */
function waitForKms<T>(
  {
    config,
    onWait,
  }: { readonly config: KeyringPlace['config']; readonly onWait?: KeyringPlace['onWait'] | undefined },
  work: () => Promise<T>,
): Promise<T> {
  const never = new AbortController().signal;
  return outlast(systemClock, work, never, onWait, config.startupTimeoutMs ?? DEFAULT_WAIT_MS);
}
