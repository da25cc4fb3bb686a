import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import type { Config } from '../../src/config/config.js';
import { checkConfig } from '../../src/config/load.js';
import { formatProblem } from '../../src/config/problem.js';

const REST = `
version: 1
pipelines:
  logins:
    source: { sqs: { queue: logins } }
    columns: { id: { from: id, type: text } }
    target: { table: public.logins }
`;
const DB = 'database: { url: "postgres://app:s3cr3t@db/app" }';

function check(text: string, env: Readonly<{ [name: string]: string }> = {}) {
  const { config, problems } = checkConfig({
    file: 'maskline.yaml',
    env,
    read: (path) => {
      if (path === 'maskline.yaml') return `${text}${REST}`;
      if (path === '/run/secrets/sentinel') return 'fr0m-a-file\n';
      throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
    },
  });
  const said = problems.map((problem) => `${problem.severity} ${formatProblem(problem)}`);
  assert.ok(!said.some((line) => /s3cr3t|fr0m-a-file/.test(line)), said.join('\n'));
  return { config, said };
}

function loaded(text: string, env?: Readonly<{ [name: string]: string }>): Config {
  const { config, said } = check(text, env);
  assert.ok(config, said.join('\n'));
  return config;
}

test('every part of a connection arrives as written, secrets as secrets', () => {
  const config = loaded(`
database:
  url: postgres://app:s3cr3t@db/app
  tls: { ca_file: /ca.pem, cert_file: /c.pem, key_file: /k.pem, server_name: db.example }
  roles: { ingest: "postgres://i:s3cr3t@db/app", owner: "postgres://o:s3cr3t@db/app" }
queue:
  url: rediss://user:s3cr3t@any/2
  tls: { ca_file: /redis.pem }
  sentinel: { name: events, hosts: ["s1", "s2:26380", "[::1]:26381"], username: watch, password: "\${file:/run/secrets/sentinel}" }
`);
  const { database, queue } = config;
  assert.deepEqual(database.tls, {
    caFile: '/ca.pem',
    certFile: '/c.pem',
    keyFile: '/k.pem',
    serverName: 'db.example',
  });
  assert.deepEqual(
    Object.entries(database.roles).map(([user, url]) => [user, url?.reveal()]),
    [
      ['ingest', 'postgres://i:s3cr3t@db/app'],
      ['owner', 'postgres://o:s3cr3t@db/app'],
    ],
  );
  assert.deepEqual(queue.tls, { caFile: '/redis.pem', certFile: null, keyFile: null, serverName: null });
  const { password, ...sentinel } = queue.sentinel ?? {};
  assert.equal(password?.reveal(), 'fr0m-a-file');
  assert.deepEqual(sentinel, {
    name: 'events',
    hosts: [
      { host: 's1', port: 26_379 },
      { host: 's2', port: 26_380 },
      { host: '::1', port: 26_381 },
    ],
    username: 'watch',
    tls: true,
  });
  assert.doesNotMatch(inspect(config, { depth: 9 }) + JSON.stringify(config), /s3cr3t|fr0m-a-file/);
});

test('Sentinels may come as one text, and go without TLS although the servers have it', () => {
  const { queue } = loaded(
    `${DB}\nqueue: { url: "rediss://any", sentinel: { name: events, hosts: "\${SENTINELS}", tls: false } }`,
    { SENTINELS: 's1:26379, s2:26379' },
  );
  assert.deepEqual(
    queue.sentinel?.hosts.map(({ host }) => host),
    ['s1', 's2'],
  );
  assert.equal(queue.sentinel?.tls, false);
});

test('database.url may be missing only where each user has a URL of its own', () => {
  const own = (users: readonly string[]) =>
    `database: { roles: { ${users.map((user) => `${user}: "postgres://${user}@db/app"`).join(', ')} } }`;
  const all = ['ingest', 'transform', 'load', 'admin', 'owner'];
  assert.equal(loaded(own(all)).database.url, null);
  assert.deepEqual(check(own(all.slice(0, 4))).said, [
    'error maskline.yaml:1:1 database.url: required: the URL of Postgres; or set DATABASE_URL, or name owner in database.roles',
  ]);
  assert.ok(loaded(own(['load']), { DATABASE_URL: 'postgres://app@db/app' }).database.url);
});

test('the owner of a queue on Postgres is the one who uses it, unless told otherwise', () => {
  const { queue } = loaded(
    `${DB}\nqueue: { url: "postgres://worker@db/app", owner_url: "postgres://owner@db/app" }`,
  );
  assert.deepEqual(
    [queue.url.reveal(), queue.ownerUrl.reveal()],
    ['postgres://worker@db/app', 'postgres://owner@db/app'],
  );
  assert.equal(
    loaded(`${DB}\nqueue: { url: "postgres://worker@db/app" }`).queue.ownerUrl.reveal(),
    'postgres://worker@db/app',
  );
});

const problems: readonly (readonly [string, RegExp])[] = [
  [
    'database: { url: "postgres://u:s3cr3t@db/app?sslmode=prefer" }',
    /^error .*:1:18 database\.url: sslmode=prefer/,
  ],
  [
    'database: { url: "postgres://u:s3cr3t@db/app?sslmode=require" }',
    /^warning .*database\.url: sslmode=require.*does not verify/,
  ],
  [
    'database: { url: "postgres://db/app", roles: { load: "mysql://u:s3cr3t@db" } }',
    /^error .*database\.roles\.load: must be a URL/,
  ],
  [
    'database: { url: "postgres://db/app", roles: { loader: "postgres://db/app" } }',
    /^error .*database\.roles\.loader: unknown key.*"load"/,
  ],
  [
    'database: { url: "postgres://db/app", tls: { ca_file: "${NOTHING:-}" } }',
    /^error .*database\.tls: holds nothing/,
  ],
  [
    'database: { url: "postgres://db/app?sslmode=disable", tls: { ca_file: /ca.pem } }',
    /^error .*database\.url: .*contradicts/,
  ],
  [
    'database: { url: "postgres://db/app", tls: { cert_file: /c.pem } }',
    /^error .*database\.tls: needs cert_file and key_file/,
  ],
  [
    `${DB}\nqueue: { url: "redis://cache", tls: { ca_file: /ca.pem } }`,
    /^error .*queue\.tls: is for rediss:/,
  ],
  [`${DB}\nqueue: { url: "memory://", tls: { ca_file: /ca.pem } }`, /^error .*queue\.tls: is for rediss:/],
  [`${DB}\nqueue: { url: "redis://:s3cr3t%@cache" }`, /^error .*queue\.url: .*%25/],
  [`${DB}\nqueue: { url: "redis://cache?ssl_cert_reqs=none" }`, /^error .*queue\.url: .*db and family only/],
  [
    `${DB}\nqueue: { url: "redis://cache", owner_url: "postgres://db/app" }`,
    /^error .*queue\.owner_url: is an option of postgres/,
  ],
  [
    `${DB}\nqueue: { url: "postgres://db/app", sentinel: { name: a, hosts: [b] } }`,
    /^error .*queue\.sentinel: is for redis/,
  ],
  [
    `${DB}\nqueue: { url: "redis://any", sentinel: { name: a, hosts: [] } }`,
    /^error .*queue\.sentinel\.hosts: must be a list such as/,
  ],
  [
    `${DB}\nqueue: { url: "redis://any", sentinel: { name: a, hosts: ["b:c"] } }`,
    /^error .*queue\.sentinel\.hosts: must be a list such as/,
  ],
  [
    `${DB}\nqueue: { url: "redis://any", sentinel: { hosts: [b] } }`,
    /^error .*queue\.sentinel\.name: required/,
  ],
  [
    `${DB}\nqueue: { url: "redis://any", sentinel: { name: a } }`,
    /^error .*queue\.sentinel\.hosts: required/,
  ],
];
for (const [text, expected] of problems) {
  test(`said of ${text.split('\n').at(-1)?.replace('s3cr3t', '…')}`, () => {
    const { said } = check(text);
    assert.equal(said.length, 1, said.join('\n'));
    assert.match(said[0] ?? '', expected);
  });
}
