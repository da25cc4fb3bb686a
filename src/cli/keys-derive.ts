import { PipelineError } from '../errors.js';
import { allColumns, masksOf } from '../masking/parts.js';
import { type KeyScope, isKeyMethod, keyBytes, keyName } from '../masking/key-methods.js';
import { deriveSubset } from '../masking/keyring-derive.js';
import { Keyring, loadKeyring, readKeyringFile, writeKeyring } from '../masking/keyring.js';
import { selectPipelines } from '../roles/deployment.js';
import { openKek } from '../roles/keyring.js';
import type { CliContext, Command } from './context.js';
import { readConfig } from './deployment.js';
import { exitCode } from './exit.js';
import { type NewKekOptions, kekInConfig, keyringPlace, namedKek } from './keyring-place.js';

interface DeriveOptions extends NewKekOptions {
  readonly domain?: readonly string[];
  readonly method?: readonly string[];
  readonly out: string;
}

/** `keys derive`: a file with the keys of some domains, or of pipelines, and without a master key. */
export const keysDerive: Command<DeriveOptions> = async (context, options) => {
  const place = keyringPlace(context);
  const { file: path } = place.config.keyring;
  const file = readKeyringFile(path);
  const kek = await openKek(place);
  const keyring = new Keyring(file, kek, path);
  const scopes = scopesOf(context, options);
  const newKek = (await namedKek(place, options, file.id)) ?? kek;
  writeKeyring(options.out, deriveSubset(file, keyring, scopes, newKek));
  // Read back and opened, as the process that it is for will.
  const subset = loadKeyring(options.out, newKek);
  context.out.result(
    {
      subset: options.out,
      keyring: subset.id,
      kids: [...subset.kids()],
      scopes: scopes.map(({ method, domain }) => ({ method, domain })),
      kek: newKek.origin,
    },
    `Wrote ${options.out}: the keys of ${scopes.map(({ method, domain }) => `${method} ${domain}`).join(', ')}, and the ` +
      `seals of queues and quarantine, for key ${subset.kids().join(', ')}; no master key. It is wrapped by ${newKek.origin}.\n` +
      `Let \`keyring.file\` of the processes name it, and \`${kekInConfig(newKek, options)}\`. After a \`keys add\` derive it anew.`,
  );
  return exitCode.ok;
};

/** The domains that are named, by all methods unless some are; without any, what the masks of the pipelines need. */
function scopesOf(
  context: CliContext,
  { domain: domains, method: named }: DeriveOptions,
): readonly KeyScope[] {
  const methods = (named ?? Object.keys(keyBytes).filter((name) => name !== 'seal')).map((name) => {
    if (isKeyMethod(name) && name !== 'seal') return name;
    const known = Object.keys(keyBytes).filter((each) => each !== 'seal');
    throw new PipelineError(
      'usage',
      `--method ${name}: there is no such method with keys; there are ${known.join(', ')}`,
    );
  });
  if (domains !== undefined) {
    return domains.flatMap((domain) => methods.map((method): KeyScope => ({ method, domain })));
  }
  const masks = selectPipelines(readConfig(context), context.pipelines).flatMap(({ policy }) =>
    allColumns(policy)
      .flatMap(masksOf)
      .flatMap((mask): KeyScope[] => {
        // A custom mask with a domain has the key of `hmac`.
        const method = mask.method === 'custom' ? 'hmac' : mask.method;
        return 'domain' in mask && isKeyMethod(method) && methods.includes(method)
          ? [{ method, domain: mask.domain }]
          : [];
      }),
  );
  return [...new Map(masks.map((scope) => [keyName(scope, 0), scope])).values()];
}
