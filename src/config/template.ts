import { PipelineError } from '../errors.js';
import { identifierProblem } from './columns.js';

/** What `maskline init` writes first. */
export interface InitTemplate {
  /** Text of maskline.yaml. */
  readonly yaml: string;
  /** Text of .env.example. */
  readonly env: string;
}

const PLAIN_NAME = /^[A-Za-z_][A-Za-z0-9_.]*$/;

/** What the template is filled with. */
export interface TemplateParts {
  /** `schema.table` or `table`. */
  readonly table?: string;
  /** Named after the table unless given. */
  readonly pipeline?: string;
  /** Members of `columns` as YAML, indented by six spaces; those of login events unless given. */
  readonly columns?: string;
}

/** A commented maskline.yaml, and the environment that it reads. Throws `usage` for a name that cannot be. */
export function initTemplate(names: TemplateParts = {}): InitTemplate {
  const table = names.table ?? 'public.user_logins';
  const parts = table.split('.');
  const wrong =
    parts.length > 2
      ? 'it must be schema.table or table'
      : parts.map(identifierProblem).find((p) => p !== null);
  if (typeof wrong === 'string') throw new PipelineError('usage', `--table cannot be used: ${wrong}`);
  const pipeline = names.pipeline ?? pipelineNameOf(parts.at(-1) ?? '');
  return {
    yaml: yamlTemplate(
      pipeline,
      PLAIN_NAME.test(table) ? table : JSON.stringify(table),
      names.columns ?? LOGIN_COLUMNS,
    ),
    env: ENV_EXAMPLE,
  };
}

function pipelineNameOf(table: string): string {
  const name = table.toLowerCase().replace(/[^a-z0-9_-]+/g, '_');
  return /[a-z]/.test(name) ? name : 'events';
}

const LOGIN_COLUMNS = `      user_id: { from: user_id, type: text, max_length: 128, required: true }
      device_type: { from: device_type, type: text, max_length: 32 }
      # siv: equal values give equal tokens, which the key can turn back. hmac: nobody can.
      masked_ip: { from: ip, required: true, mask: { method: siv, domain: ip, as: ip } }
      masked_device_id: { from: device_id, required: true, mask: { method: siv, domain: device_id } }
      locale: { from: locale, type: text, max_length: 32 }
      # type: version_int stores 2.3.0 as 2003000, for tables whose column is a number.
      app_version: { from: app_version, type: text, max_length: 32 }
      create_date: { from: $sent_at, type: date }`;

function yamlTemplate(pipeline: string, table: string, columns: string): string {
  return `# yaml-language-server: $schema=./node_modules/maskline/schema.json
# Every key, with its default: docs/reference.md. Check this file with \`maskline validate\`.
# Any value may hold \${VAR}, \${VAR:-default}, \${VAR:?message} or \${file:/path}.
version: 1

database:
  url: "\${DATABASE_URL}"

queue:
  # Redis or Valkey with maxmemory-policy noeviction. memory:// runs all stages in one process, without Redis.
  url: "\${REDIS_URL:-redis://127.0.0.1:6379}"

keyring:
  # \`maskline keys init\` makes it. Keep a copy of it and of its KEK: without them, tokens stay tokens.
  file: "\${MASKLINE_KEYRING:-./maskline.keyring.json}"
  kek: { type: env } # MASKLINE_KEK; or { type: file, path: /run/secrets/maskline-kek }

pipelines:
  ${pipeline}:
    schedule: "*/30 * * * * *" # with six fields the first is seconds; or continuous

    source:
      sqs:
        queue: "\${SQS_QUEUE_URL:-login-queue}" # URL, ARN or name
        endpoint: "\${AWS_ENDPOINT_URL_SQS:-}" # empty: the endpoint of the region

    # Columns in COPY order. A field that no column names is dropped and counted, never stored.
    columns:
${columns}

    # create: true lets \`maskline migrate\` make the table.
    target: { table: ${table}, create: true }
`;
}

const ENV_EXAMPLE = `# maskline reads no .env by itself: load it with \`node --env-file\`, \`set -a; . ./.env\` or your service manager.

# Postgres: rows, ledger and quarantine go to one database.
DATABASE_URL=postgres://maskline:secret@127.0.0.1:5432/maskline

# Redis or Valkey, maxmemory-policy noeviction.
REDIS_URL=redis://127.0.0.1:6379

# URL, ARN or name of the queue. Credentials come from the AWS SDK's own chain.
SQS_QUEUE_URL=
AWS_REGION=us-east-1
# Only for an emulator or a private endpoint.
AWS_ENDPOINT_URL_SQS=

# Base64 of exactly 32 bytes: openssl rand -base64 32
MASKLINE_KEK=
`;
