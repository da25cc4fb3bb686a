import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import type { TlsFiles } from '../../src/address/tls.js';
import type { Batch } from '../../src/batch.js';
import { systemClock } from '../../src/clock.js';
import type { QueueEvent } from '../../src/queue/attempts.js';
import { createBullQueue } from '../../src/queue/bullmq.js';
import { checkRedis } from '../../src/queue/bullmq-check.js';
import type { QueueServer } from '../../src/queue/bullmq-link.js';
import { redisOptions } from '../../src/queue/bullmq-redis-options.js';
import { batchCodec } from '../../src/queue/payload.js';
import type { BatchQueue } from '../../src/queue/queue.js';
import { type TestAuthority, TestCertificates } from '../support/certificates.js';
import { freePort } from '../../src/embedded/free-port.js';
import { Seen, batchOf, eventually, testSealer } from '../support/queue.js';
import { startTestRedis } from '../support/redis.js';

const PASSWORD = 'p%ss:w@rd/#?&é';

type Server = Awaited<ReturnType<typeof startTestRedis>>;

let certificates: TestCertificates;
let authority: TestAuthority;
let stranger: TestAuthority;
let server: Server;
let tlsPort = 0;
let queues: BatchQueue<Batch>[] = [];

/** A Redis that shows the certificate of that name on a port of its own, beside the plain one. */
async function start(settings: Readonly<{ [name: string]: string }> = {}): Promise<[Server, number]> {
  const shown = authority.sign('server', ['DNS:localhost', 'DNS:cache.example']);
  const port = await freePort();
  const started = await startTestRedis({
    settings: {
      'tls-port': String(port),
      'tls-cert-file': shown.certFile,
      'tls-key-file': shown.keyFile,
      'tls-ca-cert-file': authority.certFile,
      'tls-auth-clients': 'no',
      ...settings,
    },
  });
  const admin = new Redis(started.url);
  await admin.config('SET', 'requirepass', PASSWORD);
  admin.disconnect();
  return [started, port];
}

function at(host: string, files: Partial<TlsFiles> | null, port = tlsPort): QueueServer {
  const tls = files && { caFile: null, certFile: null, keyFile: null, serverName: null, ...files };
  return { url: `rediss://:${encodeURIComponent(PASSWORD)}@${host}:${port}`, tls };
}

function open(where: QueueServer, events = new Seen<QueueEvent>()): BatchQueue<Batch> {
  const queue = createBullQueue({
    ...where,
    backend: 'redis',
    prefix: 'integration',
    name: 'transform.logins',
    codec: batchCodec,
    sealer: testSealer(),
    clock: systemClock,
    keepFailed: { count: 10, ageS: 60 },
    onEvent: (event) => events.push(event),
  });
  queues.push(queue);
  return queue;
}

/** Asserts the code and what the message says, and that it quotes no secret. */
function saying(code: string, text: RegExp): (error: Error & { readonly code?: string }) => true {
  return (error) => {
    assert.equal(error.code, code, error.message);
    assert.match(error.message, text);
    assert.ok(!error.message.includes(PASSWORD) && !error.message.includes(encodeURIComponent(PASSWORD)));
    return true;
  };
}

describe('Redis over TLS', () => {
  before(async () => {
    certificates = new TestCertificates();
    authority = certificates.authority('authority');
    stranger = certificates.authority('stranger');
    [server, tlsPort] = await start();
  });

  afterEach(async () => {
    await Promise.all(queues.map((queue) => queue.close()));
    queues = [];
  });

  after(async () => {
    await server.stop();
    certificates.remove();
  });

  test('with the CA of the server, batches go through, and the check reports what it is', async () => {
    const where = at('localhost', { caFile: authority.certFile });
    assert.equal((await checkRedis(where)).maxmemoryPolicy, 'noeviction');
    const [events, seen, batch] = [new Seen<QueueEvent>(), new Seen<string>(), batchOf(['{}'])];
    const queue = open(where, events);
    queue.process(async ({ batchId }) => seen.push(batchId), { concurrency: 2 });
    await queue.add(batch);
    assert.deepEqual(await seen.take(1), [batch.batchId]);
    assert.deepEqual(events.all, []);
  });

  test('a name that the certificate holds stands in for the host, and only that one', async () => {
    const caFile = authority.certFile;
    const byAddress = at('127.0.0.1', { caFile, serverName: 'cache.example' });
    await checkRedis(byAddress);
    await open(byAddress).backlog();
    const another = at('localhost', { caFile, serverName: 'other.example' });
    await assert.rejects(
      checkRedis(another),
      saying('config_invalid', /another host.*queue\.tls\.server_name/),
    );
  });

  const refusals: readonly [string, () => QueueServer, RegExp][] = [
    [
      'a CA that did not sign it',
      () => at('localhost', { caFile: stranger.certFile }),
      /not trusted.*queue\.tls\.ca_file/,
    ],
    ['no CA at all', () => at('localhost', null), /not trusted.*queue\.tls\.ca_file/],
    ['a host that it does not hold', () => at('127.0.0.1', { caFile: authority.certFile }), /another host/],
  ];
  for (const [what, where, text] of refusals) {
    test(`${what} is a fault of the configuration, said at the check and by every call`, async () => {
      await assert.rejects(checkRedis(where()), saying('config_invalid', text));
      await assert.rejects(open(where()).add(batchOf(['{}'])), saying('config_invalid', text));
    });
  }

  test('a second error of one socket, as an alert after a refused certificate, ends no process', async () => {
    const { Connector } = redisOptions(at('127.0.0.1', { caFile: authority.certFile }));
    assert.ok(Connector);
    const connector = new Connector();
    const socket = await connector.connect(() => undefined);
    const [refusal] = (await once(socket, 'error')) as [Error];
    assert.ok(socket.emit('error', new Error('alert')), 'somebody hears it');
    assert.equal(connector.firstError, refusal);
    connector.disconnect();
  });

  test('a scheme that the server does not speak is told from an outage, either way', async () => {
    const encrypted = at('localhost', { caFile: authority.certFile }, server.port);
    await assert.rejects(checkRedis(encrypted), saying('config_invalid', /speaks no TLS.*write redis:/));
    const { url } = at('localhost', null);
    const clear = { url: url.replace('rediss:', 'redis:') };
    await assert.rejects(checkRedis(clear), saying('config_invalid', /speaks TLS: write rediss:/));
  });

  test('a file that is not there, or holds something else, is named before anything is connected', () => {
    const garbage = join(certificates.dir, 'garbage.pem');
    writeFileSync(garbage, 'c4nary');
    assert.throws(
      () => open(at('localhost', { caFile: '/absent.pem' })),
      saying('config_invalid', /absent\.pem.*ENOENT/),
    );
    assert.throws(() => open(at('localhost', { caFile: garbage })), saying('config_invalid', /garbage\.pem/));
    const [one, other] = [authority.sign('one', []), authority.sign('other', [])];
    assert.throws(
      () => open(at('localhost', { certFile: one.certFile, keyFile: other.keyFile })),
      saying('config_invalid', /no pair/),
    );
    assert.throws(
      () => open(at('localhost', { certFile: one.certFile })),
      saying('config_invalid', /client key/),
    );
  });

  test('a server that asks for a client certificate gets it, and one that is not trusted there is refused', async () => {
    const [strict, port] = await start({ 'tls-auth-clients': 'yes' });
    try {
      const caFile = authority.certFile;
      const client = authority.sign('client', []);
      await checkRedis(at('localhost', { caFile, ...client }, port));
      await open(at('localhost', { caFile, ...client }, port)).add(batchOf(['{}']));
      const none = at('localhost', { caFile }, port);
      await assert.rejects(
        checkRedis(none),
        saying('config_invalid', /client certificate.*queue\.tls\.cert_file/),
      );
      const foreign = at('localhost', { caFile, ...stranger.sign('client', []) }, port);
      await assert.rejects(checkRedis(foreign), saying('config_invalid', /client certificate/));
    } finally {
      await Promise.all(queues.map((queue) => queue.close()));
      await strict.stop();
    }
  });

  test('a certificate that is renewed on disk is taken up by the next connection, without a restart', async () => {
    const [own, port] = await start();
    try {
      const caFile = join(certificates.dir, 'trusted.pem');
      copyFileSync(stranger.certFile, caFile);
      const events = new Seen<QueueEvent>();
      const queue = open(at('localhost', { caFile }, port), events);
      await assert.rejects(queue.backlog(), { code: 'config_invalid' });
      copyFileSync(authority.certFile, caFile);
      await eventually(
        () => queue.backlog().catch(() => null),
        (backlog) => backlog !== null,
      );
    } finally {
      await Promise.all(queues.map((queue) => queue.close()));
      await own.stop();
    }
  });
});
