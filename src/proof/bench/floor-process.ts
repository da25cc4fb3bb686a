// The floor: what a message costs at the least in Node. Ten-message receives and deletes over kept connections with
// SigV4, JSON.parse, two SIV masks by column, and the bytes of one COPY for a thousand rows. Nothing is kept safe.

import { createHash, createHmac } from 'node:crypto';
import http from 'node:http';
import { Pool } from 'undici';
import { createPool } from '../../load/connection.js';
import { copyRows } from '../../load/copy.js';
import { kekFromFile } from '../../masking/kek.js';
import { loadKeyring } from '../../masking/keyring.js';
import type { TokenMask } from '../../masking/methods.js';
import { noneNormalized } from '../../masking/refusal.js';
import { tokenMask } from '../../masking/tokenize.js';
import type { LoginEvent } from '../../embedded/login-events.js';
import type { OtherOrder } from './other.js';

const BATCH = 1_000;
/** As many as maskline's receivers. */
const LOOPS = 8;
const TEN = 10;
const CREDENTIALS = { id: 'bench', secret: 'bench' };
const COLUMNS = [
  'user_id',
  'device_type',
  'masked_ip',
  'masked_device_id',
  'locale',
  'app_version',
  'create_date',
];

interface Message {
  readonly Body: string;
  readonly ReceiptHandle: string;
  readonly Attributes: { readonly SentTimestamp: string };
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;
const isOrder = (value: unknown): value is OtherOrder => isObject(value) && 'queueUrl' in value;
const isEvent = (value: unknown): value is LoginEvent => isObject(value) && 'device_id' in value;
const holdsMessages = (value: unknown): value is { readonly Messages: readonly Message[] } =>
  isObject(value) && 'Messages' in value;
const textOf = (cell: unknown): string => (typeof cell === 'string' ? cell : '\\N');

const order = orderOf(process.argv[2]);
const origin = new URL(order.endpoint);
const SOCKETS = 64;
const agent = new http.Agent({ keepAlive: true, maxSockets: SOCKETS });
const undici = new Pool(origin.origin, { connections: SOCKETS });
const pool = createPool({ url: order.databaseUrl, applicationName: 'floor', max: 2 });
const keyring = loadKeyring(order.keyringFile, kekFromFile(order.kekFile));
const spec = { maxLength: null };
const siv = (domain: string, as: TokenMask['as']): TokenMask => ({
  method: 'siv',
  domain,
  as,
  lower: false,
  pad: null,
});
const maskIps = tokenMask(spec, siv('ip', 'ip'), keyring);
const maskDevices = tokenMask(spec, siv('device_id', 'text'), keyring);

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
let signingKey: { readonly day: string; readonly key: Buffer } = { day: '', key: Buffer.alloc(0) };

function keyOf(day: string): Buffer {
  if (signingKey.day !== day) {
    const parts = [day, order.region, 'sqs', 'aws4_request'];
    const key = parts.reduce<Buffer>(
      (by, part) => createHmac('sha256', by).update(part).digest(),
      Buffer.from(`AWS4${CREDENTIALS.secret}`),
    );
    signingKey = { day, key };
  }
  return signingKey.key;
}

type SignedHeaders = Readonly<{ [name: string]: string }>;

/** SigV4 with nothing in it that could be left out (IAM User Guide, "Create a signed AWS API request"). */
function signed(target: string, body: string): SignedHeaders {
  const time = new Date().toISOString().replace(/[:-]|\.\d{3}/g, '');
  const day = time.slice(0, 8);
  const scope = `${day}/${order.region}/sqs/aws4_request`;
  const names = 'content-type;host;x-amz-date;x-amz-target';
  const type = 'application/x-amz-json-1.0';
  const canonical = `POST\n/\n\ncontent-type:${type}\nhost:${origin.host}\nx-amz-date:${time}\nx-amz-target:${target}\n\n${names}\n${sha256(body)}`;
  const signature = createHmac('sha256', keyOf(day))
    .update(`AWS4-HMAC-SHA256\n${time}\n${scope}\n${sha256(canonical)}`)
    .digest('hex');
  return {
    host: origin.host,
    'content-type': type,
    'content-length': String(Buffer.byteLength(body)),
    'x-amz-date': time,
    'x-amz-target': target,
    authorization: `AWS4-HMAC-SHA256 Credential=${CREDENTIALS.id}/${scope}, SignedHeaders=${names}, Signature=${signature}`,
  };
}

function call(action: string, input: object): Promise<string> {
  const body = JSON.stringify(input);
  const headers = signed(`AmazonSQS.${action}`, body);
  return order.client === 'undici' ? viaUndici(headers, body) : viaNode(headers, body);
}

function viaUndici(headers: SignedHeaders, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    undici.dispatch(
      { path: '/', method: 'POST', headers, body },
      {
        // A handler is known by this one.
        onRequestStart: () => undefined,
        onResponseData: (_, chunk) => void chunks.push(chunk),
        onResponseEnd: () => resolve(Buffer.concat(chunks).toString()),
        onResponseError: (_, error) => reject(error),
      },
    );
  });
}

function viaNode(headers: SignedHeaders, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const at = { agent, hostname: origin.hostname, port: origin.port, path: '/', method: 'POST', headers };
    const request = http.request(at, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => resolve(Buffer.concat(chunks).toString()));
    });
    request.on('error', reject);
    request.end(body);
  });
}

async function receive(): Promise<readonly Message[]> {
  const answer = await call('ReceiveMessage', {
    QueueUrl: order.queueUrl,
    MaxNumberOfMessages: TEN,
    WaitTimeSeconds: 0,
    VisibilityTimeout: 300,
    MessageSystemAttributeNames: ['SentTimestamp'],
  });
  const parsed: unknown = JSON.parse(answer);
  return holdsMessages(parsed) ? parsed.Messages : [];
}

function eventOf(body: string): LoginEvent {
  const event: unknown = JSON.parse(body);
  if (isEvent(event)) return event;
  throw new TypeError('the queue holds something else than login events');
}

function orderOf(text = ''): OtherOrder {
  const parsed: unknown = JSON.parse(text);
  if (isOrder(parsed)) return parsed;
  throw new TypeError('the only argument is the order, as JSON');
}

/** None of these values holds what COPY escapes. */
function rowsOf(messages: readonly Message[]): Buffer {
  const events = messages.map(({ Body }) => eventOf(Body));
  const ips = maskIps(
    events.map((event) => event.ip),
    noneNormalized(),
  );
  const devices = maskDevices(
    events.map((event) => event.device_id),
    noneNormalized(),
  );
  const lines = messages.map(({ Attributes }, i) => {
    const event = events[i];
    if (event === undefined) throw new RangeError('one event a message');
    const day = new Date(Number(Attributes.SentTimestamp)).toISOString().slice(0, 10);
    return `${event.user_id}\t${event.device_type}\t${textOf(ips[i])}\t${textOf(devices[i])}\t${event.locale ?? '\\N'}\t${event.app_version}\t${day}\n`;
  });
  return Buffer.from(lines.join(''));
}

async function load(messages: readonly Message[]): Promise<void> {
  await pool.withClient((client) => copyRows(client, order.table, COLUMNS, rowsOf(messages)));
  const calls: Promise<string>[] = [];
  for (let from = 0; from < messages.length; from += TEN) {
    const ten = messages.slice(from, from + TEN);
    const Entries = ten.map(({ ReceiptHandle }, index) => ({ Id: String(index), ReceiptHandle }));
    calls.push(call('DeleteMessageBatch', { QueueUrl: order.queueUrl, Entries }));
  }
  await Promise.all(calls);
}

let held: Message[] = [];
const loads: Promise<void>[] = [];

async function loop(): Promise<void> {
  for (;;) {
    const messages = await receive();
    if (messages.length === 0) return;
    held.push(...messages);
    if (held.length < BATCH) continue;
    loads.push(load(held));
    held = [];
  }
}

const tell = (what: string): void => void process.send?.(what);
process.once('message', () => {
  void Promise.all(Array.from({ length: LOOPS }, loop))
    .then(() => Promise.all([...loads, held.length > 0 ? load(held) : null]))
    .then(() => tell('done'));
});
await pool.query('select 1');
tell('ready');
