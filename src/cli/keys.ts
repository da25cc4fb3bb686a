import { existsSync, readFileSync } from 'node:fs';
import type { Config } from '../config/config.js';
import { PipelineError } from '../errors.js';
import { createKekFile, kekFromEnv, kekFromFile } from '../masking/kek.js';
import { createKeyring, parseKeyring } from '../masking/keyring-file.js';
import { writeKeyring } from '../masking/keyring.js';
import { openKeyring } from '../roles/deployment.js';
import type { CliContext, Command } from './context.js';
import { readConfig } from './deployment.js';
import { exitCode } from './exit.js';

/** `keys init`: a new keyring. It needs no maskline.yaml: without one the environment says where the keyring goes. */
export const keysInit: Command<{ readonly kekFile?: string }> = async (context, { kekFile }) => {
  const { file, kek: configured } = keyringConfig(context);
  if (existsSync(file)) {
    throw new PipelineError(
      'usage',
      `${file} exists and is left as it is; MASKLINE_KEYRING names another place`,
    );
  }
  const kekPath = kekFile ?? (configured.type === 'file' ? configured.path : null);
  const kek =
    kekFile !== undefined
      ? createKekFile(kekFile)
      : kekPath === null
        ? kekFromEnv(context.environment.kek)
        : kekFromFile(kekPath);
  const keyring = createKeyring(kek, Date.now());
  writeKeyring(file, keyring);
  context.out.result(
    { keyring: file, id: keyring.id, primary_kid: 1, kek: kek.origin },
    `Wrote ${file}: keyring ${keyring.id}, key 1 is primary, wrapped by ${kek.origin}.\n` +
      'Back up both, apart from each other: without them, tokens can never be turned back into values.',
  );
  return exitCode.ok;
};

/** `keys list`: key ids and states; needs no key-encryption key. */
export const keysList: Command<object> = async (context) => {
  const { file } = keyringConfig(context);
  if (!existsSync(file)) {
    throw new PipelineError(
      'key_unavailable',
      `there is no keyring ${file}: \`maskline keys init\` makes one`,
    );
  }
  const { keys } = parseKeyring(readFileSync(file, 'utf8'), file);
  context.out.list(
    keys.map(({ kid, state, created }) => ({ kid, state, created })),
    ['kid', 'state', 'created'],
  );
  return exitCode.ok;
};

/** `keys check`: opens every key, and throws `key_unavailable` when the key-encryption key is not the right one. */
export const keysCheck: Command<object> = async (context) => {
  const keyring = openKeyring({
    config: { keyring: keyringConfig(context) },
    environment: context.environment,
  });
  const kids = keyring.kids();
  context.out.result(
    { keyring: keyring.id, primary_kid: keyring.primaryKid, kids: [...kids], ok: true },
    `Keyring ${keyring.id} opens: keys ${kids.join(', ')}; ${keyring.primaryKid} is primary.`,
  );
  return exitCode.ok;
};

/** What maskline.yaml says of the keyring, or, without one, the environment. */
function keyringConfig(context: CliContext): Config['keyring'] {
  if (existsSync(context.configFile)) return readConfig(context).keyring;
  return {
    file: context.environment.variables['MASKLINE_KEYRING'] || './maskline.keyring.json',
    kek: { type: 'env' },
  };
}
