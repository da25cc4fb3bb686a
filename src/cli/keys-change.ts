import { PipelineError } from '../errors.js';
import { addKey, promoteKey, rewrapKeys } from '../masking/keyring-change.js';
import type { KeyringFile } from '../masking/keyring-file.js';
import { changeKeyring } from '../masking/keyring-store.js';
import { readKeyringFile } from '../masking/keyring.js';
import { openKek } from '../roles/keyring.js';
import type { Command } from './context.js';
import { exitCode } from './exit.js';
import { type NewKekOptions, kekInConfig, keyringPlace, kidOf, namedKek } from './keyring-place.js';

/** `keys add`: a new key that opens only, so that every process can be given it before anything carries it. */
export const keysAdd: Command<object> = async (context) => {
  const place = keyringPlace(context);
  const path = place.config.keyring.file;
  const kek = await openKek(place);
  const file = changeKeyring({ path, kek, change: (open) => addKey(open, Date.now()) });
  const kid = file.keys.at(-1)?.kid ?? 0;
  context.out.result(
    { keyring: file.id, kid, state: 'decrypt-only', primary_kid: primaryOf(file) },
    `Added key ${kid} to ${path}; key ${primaryOf(file)} is still primary.\n` +
      `Back the file up, give it to every process and restart them; then \`maskline keys promote ${kid}\`.`,
  );
  return exitCode.ok;
};

/** `keys promote`: that key is primary from the next start of each process on. */
export const keysPromote: Command<{ readonly args: readonly string[] }> = async (context, { args }) => {
  const kid = kidOf(args[0]);
  const place = keyringPlace(context);
  const path = place.config.keyring.file;
  const kek = await openKek(place);
  let before = 0;
  const file = changeKeyring({
    path,
    kek,
    change: (open) => {
      before = primaryOf(open.file);
      return promoteKey(open, kid);
    },
  });
  context.out.result(
    { keyring: file.id, primary_kid: kid, before },
    kid === before
      ? `Key ${kid} of ${path} was primary before; nothing has changed.`
      : `Key ${kid} of ${path} is primary; key ${before} opens only.\n` +
          'Restart every process: each reads the file when it starts. From then on equal values of before and after have ' +
          `different tokens, until \`maskline remask --from-kid ${before}\` has brought the old ones over.`,
  );
  return exitCode.ok;
};

/** `keys rewrap`: the same keys under another key-encryption key. */
export const keysRewrap: Command<NewKekOptions> = async (context, options) => {
  const place = keyringPlace(context);
  const path = place.config.keyring.file;
  const kek = await openKek(place);
  const newKek = await namedKek(place, options, readKeyringFile(path).id);
  if (newKek === null) {
    throw new PipelineError(
      'usage',
      'name the new key-encryption key: --kek-file PATH, --kms KEY_ARN, or MASKLINE_NEW_KEK, which\nopenssl rand -base64 32\nmakes',
    );
  }
  const file = changeKeyring({ path, kek, newKek, change: (open) => rewrapKeys(open, newKek) });
  context.out.result(
    { keyring: file.id, kek: newKek.origin, type: newKek.record.type },
    `The keys of ${path} are wrapped by ${newKek.origin} now, and no longer by ${kek.origin}.\n` +
      `Write \`${kekInConfig(newKek, options)}\` before any process starts again, and back the file up: backups that ` +
      'were made before still need the old one.',
  );
  return exitCode.ok;
};

function primaryOf({ keys }: KeyringFile): number {
  return keys.find(({ state }) => state === 'primary')?.kid ?? 0;
}
