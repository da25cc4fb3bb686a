import { z } from 'zod';
import { type Host, DEFAULT_SENTINEL_PORT, parseHosts } from './hosts.js';
import { flag, text } from './scalars.js';

/** Files and names of a TLS connection. */
export const tlsSchema = z.strictObject({
  ca_file: text(
    'PEM of the authority that signed the certificate of the server. Without it, the public ones that Node knows, and those of `NODE_EXTRA_CA_CERTS`.',
  ).optional(),
  cert_file: text('PEM of the certificate that maskline shows; the server may ask for one.').optional(),
  key_file: text('PEM of its private key, without a passphrase.').optional(),
  server_name: text(
    'The name that the certificate of the server holds, where that is not the host of the URL.',
  ).optional(),
});

const user = (what: string) => text(`URL for ${what}. Without it, \`database.url\`.`).optional();

const roles = z.strictObject({
  ingest: user('`run ingest`'),
  transform: user('`run transform`'),
  load: user('`run load`'),
  admin: user('`run admin`, and for the commands that look and steer: `status`, `runs`, `failed`, …'),
  owner: user(
    '`migrate`: the owner of the schema maskline and, under `create: true`, of the tables. `erase` too',
  ),
  reveal: user('`reveal` and `approve`'),
  audit: user('`reveal --verify` and `reveal --head`'),
});

/** How Postgres is reached. */
export const databaseSchema = z.strictObject({
  url: text(
    'Connection URL of Postgres: `postgres://user:password@host:5432/database`, with `sslmode` (`verify-full`, `verify-ca`, `require`, `disable`) and `sslrootcert` in its query as libpq has them. Without it, `DATABASE_URL`.',
  ).optional(),
  tls: tlsSchema
    .meta({
      description:
        'TLS to Postgres, with the certificate and its name verified (`sslmode=verify-full`); for every URL below `database`.',
    })
    .optional(),
  roles: roles
    .meta({ description: 'Users of their own for the processes, each a URL as `database.url`.' })
    .prefault({}),
});

const hosts = z
  .unknown()
  .transform((value, context): readonly Host[] => {
    const parsed = parseHosts(value);
    if (typeof parsed !== 'string') return parsed;
    context.addIssue({ code: 'custom', message: parsed });
    return z.NEVER;
  })
  .meta({
    anyOf: [
      { type: 'array', items: { type: 'string', minLength: 1 }, minItems: 1 },
      { type: 'string', minLength: 1 },
    ],
    description: `The Sentinels, as a list or separated by commas: \`host\` or \`host:port\`, the port being ${DEFAULT_SENTINEL_PORT} unless given.`,
  });

/** The Sentinels of a Redis. */
export const sentinelSchema = z.strictObject({
  name: text('The name that the Sentinels know the primary by.'),
  hosts,
  username: text('User at the Sentinels themselves.').optional(),
  password: text('Password at the Sentinels themselves.').optional(),
  tls: flag(
    'Whether the Sentinels are reached over TLS, with the files of `queue.tls`. Without it, as the URL says: yes with `rediss://`.',
  ).optional(),
});
