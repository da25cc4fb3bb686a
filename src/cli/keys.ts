import { existsSync } from 'node:fs';
import { PipelineError } from '../errors.js';
import { type Kek, createKekFile, kekFromEnv, kekFromFile } from '../masking/kek.js';
import { keyringWith, newKeyringId } from '../masking/keyring-file.js';
import { SUBSET_FORMAT } from '../masking/keyring-subset.js';
import { readKeyFile, writeKeyring } from '../masking/keyring.js';
import { type KeyringPlace, createKekInKms, openKeyring } from '../roles/keyring.js';
import type { Command } from './context.js';
import { exitCode } from './exit.js';
import { type NewKekOptions, keyringPlace, namedKek } from './keyring-place.js';

/** `keys init`: a new keyring. It needs no maskline.yaml: without one the environment says where the keyring goes. */
export const keysInit: Command<NewKekOptions> = async (context, options) => {
  const place = keyringPlace(context);
  const { file } = place.config.keyring;
  if (existsSync(file)) {
    throw new PipelineError(
      'usage',
      `${file} exists and is left as it is; MASKLINE_KEYRING names another place`,
    );
  }
  const id = newKeyringId();
  const kek = await firstKek(place, options, id);
  const keyring = keyringWith(id, kek, Date.now());
  writeKeyring(file, keyring);
  context.out.result(
    { keyring: file, id, primary_kid: 1, kek: kek.origin },
    `Wrote ${file}: keyring ${id}, key 1 is primary, wrapped by ${kek.origin}.\n` +
      'Back up both, apart from each other: without them, tokens can never be turned back into values.',
  );
  return exitCode.ok;
};

/** A file that is named is made; for all else the configuration says what there is. */
async function firstKek(place: KeyringPlace, { kekFile, kms }: NewKekOptions, id: string): Promise<Kek> {
  if (kekFile !== undefined && kms === undefined) return createKekFile(kekFile);
  if (kms !== undefined) {
    const named = await namedKek(place, kekFile === undefined ? { kms } : { kekFile, kms }, id);
    if (named) return named;
  }
  const { kek } = place.config.keyring;
  if (kek.type === 'aws-kms') return createKekInKms(place, kek.keyArn, id);
  return kek.type === 'env' ? kekFromEnv(place.environment.kek) : kekFromFile(kek.path);
}

/** `keys list`: key ids and states; needs no key-encryption key. */
export const keysList: Command<object> = async (context) => {
  const { file } = keyringPlace(context).config.keyring;
  if (!existsSync(file)) {
    throw new PipelineError(
      'key_unavailable',
      `there is no keyring ${file}: \`maskline keys init\` makes one`,
    );
  }
  const stored = readKeyFile(file);
  if (stored.format === SUBSET_FORMAT) {
    context.out.list(
      stored.kids.map(({ kid, state }) => ({ kid, state, created: null })),
      ['kid', 'state', 'created'],
    );
    return exitCode.ok;
  }
  context.out.list(
    stored.keys.map(({ kid, state, created }) => ({ kid, state, created })),
    ['kid', 'state', 'created'],
  );
  return exitCode.ok;
};

/** `keys check`: opens every key, and throws `key_unavailable` when the key-encryption key is not the right one. */
export const keysCheck: Command<object> = async (context) => {
  const keyring = await openKeyring(keyringPlace(context));
  const kids = keyring.kids();
  const what = keyring.isSubset ? 'A subset of keyring' : 'Keyring';
  context.out.result(
    { keyring: keyring.id, primary_kid: keyring.primaryKid, kids: [...kids], ok: true },
    `${what} ${keyring.id} opens: keys ${kids.join(', ')}; ${keyring.primaryKid} is primary.`,
  );
  return exitCode.ok;
};
