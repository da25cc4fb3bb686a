import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type Server, type Socket, connect, createServer } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import { FaultProxy, type ProxyFault } from '../../src/proof/fault-proxy.js';

/** What the server was told, all connections together. */
let heard = '';
const sockets: Socket[] = [];
let server: Server;
let proxy: FaultProxy;

before(async () => {
  // Answers each chunk by `<chunk>`.
  server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      heard += chunk.toString();
      socket.write(`<${chunk.toString()}>`);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address);
  proxy = await FaultProxy.start(address.port);
});

after(async () => {
  await proxy.stop();
  server.close();
  for (const socket of sockets) socket.destroy();
});

beforeEach(async () => {
  await proxy.set({ kind: 'pass' });
  heard = '';
});

async function open(): Promise<Socket> {
  const socket = connect(proxy.port, '127.0.0.1');
  socket.setEncoding('utf8');
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

/** Resolves at its end, also by a reset, which is an error to others. */
function closing(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

async function ask(socket: Socket, text: string): Promise<string> {
  const answer = once(socket, 'data');
  socket.write(text);
  return String((await answer)[0]);
}

/** Nothing is heard for a while; a while is short, since nothing is what there is to hear. */
async function isSilent(socket: Socket): Promise<boolean> {
  return Promise.race([
    once(socket, 'data').then(() => false),
    new Promise<boolean>((resolve) => setTimeout(() => resolve(true), 100)),
  ]);
}

async function heardBy(text: string): Promise<void> {
  while (!heard.includes(text)) await new Promise(setImmediate);
}

describe('the fault proxy', () => {
  test('passes on what is said, both ways', async () => {
    const socket = await open();
    assert.equal(await ask(socket, 'a'), '<a>');
    assert.equal(await ask(socket, 'b'), '<b>');
    socket.destroy();
  });

  test('cuts all connections, and takes new ones', async () => {
    const socket = await open();
    await ask(socket, 'a');
    const closed = closing(socket);
    assert.ok(proxy.cut() >= 1);
    await closed;
    const next = await open();
    assert.equal(await ask(next, 'b'), '<b>');
    next.destroy();
  });

  test('refuses, and listens again on the same port', async () => {
    const socket = await open();
    const { port } = proxy;
    const closed = closing(socket);
    await proxy.set({ kind: 'refuse' });
    await closed;
    const refused = connect(port, '127.0.0.1');
    const error = await new Promise<unknown>((resolve) => refused.once('error', resolve));
    assert.equal((error as { code?: unknown }).code, 'ECONNREFUSED');
    await proxy.set({ kind: 'pass' });
    assert.equal(proxy.port, port);
    const next = await open();
    assert.equal(await ask(next, 'b'), '<b>');
    next.destroy();
  });

  test('is a black hole: connections stay, nothing comes through, and they are cut when it ends', async () => {
    const old = await open();
    await ask(old, 'a');
    await proxy.set({ kind: 'black_hole' });
    const fresh = await open();
    const silent = Promise.all([isSilent(old), isSilent(fresh)]);
    old.write('b');
    fresh.write('c');
    assert.deepEqual(await silent, [true, true]);
    assert.equal(heard, 'a');
    const closed = Promise.all([closing(old), closing(fresh)]);
    await proxy.set({ kind: 'pass' });
    await closed;
  });

  test('loses answers whose requests have arrived', async () => {
    const socket = await open();
    await proxy.set({ kind: 'one_way', lost: 'answers' });
    const silent = isSilent(socket);
    socket.write('commit');
    await heardBy('commit');
    assert.equal(await silent, true);
    socket.destroy();
  });

  test('loses requests', async () => {
    const socket = await open();
    await ask(socket, 'a');
    await proxy.set({ kind: 'one_way', lost: 'requests' });
    const silent = isSilent(socket);
    socket.write('b');
    assert.equal(await silent, true);
    assert.equal(heard, 'a');
    socket.destroy();
  });

  test('cuts in the middle of an answer', async () => {
    const socket = await open();
    await proxy.set({ kind: 'cut_answers', bytes: 7 });
    let answer = '';
    socket.on('data', (text) => (answer += String(text)));
    const closed = closing(socket);
    socket.write('long enough');
    await closed;
    assert.equal(answer, '<long e');
    assert.equal(heard, 'long enough');
  });

  test('slows answers and requests down, and loses none', async () => {
    const socket = await open();
    await proxy.set({ kind: 'slow', ms: 30 });
    const startedAt = performance.now();
    assert.equal(await ask(socket, 'a'), '<a>');
    assert.ok(performance.now() - startedAt >= 55);
    socket.destroy();
  });

  test('resets whom it cannot connect to the server', async () => {
    const none = createServer();
    none.listen(0, '127.0.0.1');
    await once(none, 'listening');
    const address = none.address();
    assert.ok(typeof address === 'object' && address);
    none.close();
    await once(none, 'close');
    const lonely = await FaultProxy.start(address.port);
    const socket = connect(lonely.port, '127.0.0.1');
    socket.on('error', () => undefined);
    await closing(socket);
    await lonely.stop();
  });

  test('lets go of every connection, however they end while faults come and go', async () => {
    // Node never closes a socket that is reset while it is being ended; the process would not end.
    for (let round = 0; round < 60; round += 1) {
      const clients = Array.from({ length: 5 }, () => {
        const client = connect(proxy.port, '127.0.0.1');
        client.on('error', () => undefined);
        client.once('connect', () => client.write('x'.repeat(200_000)));
        return client;
      });
      await once(clients[4] ?? clients[0] ?? assert.fail(), 'connect');
      const faults: readonly ProxyFault[] = [
        { kind: 'black_hole' },
        { kind: 'one_way', lost: 'answers' },
        { kind: 'slow', ms: 2 },
        { kind: 'cut_answers', bytes: 3 },
        { kind: 'refuse' },
      ];
      await proxy.set(faults[round % faults.length] ?? { kind: 'pass' });
      clients[0]?.end();
      clients[1]?.destroy();
      clients[2]?.resetAndDestroy();
      if (round % 2 === 0) proxy.cut();
      await proxy.set({ kind: 'pass' });
      const closed = clients.map((client) => (client.closed ? Promise.resolve() : closing(client)));
      for (const client of clients) client.destroy();
      await Promise.all(closed);
    }
    while (proxy.connections > 0) await new Promise(setImmediate);
  });
});
