// The AWS Key Management Service as far as it is used, over HTTP: JSON 1.1, with AES-256-GCM and the encryption context
// as additional data, as KMS has it.

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A call that the service got. */
export interface KmsCall {
  readonly action: string;
  readonly keyArn: string;
  readonly context: Readonly<{ [name: string]: string }>;
}

/** What the service answers with, whatever it is asked; null: as it should. */
export interface KmsFault {
  readonly status: number;
  readonly type: string;
}

/** A fake of KMS on a free port of loopback. */
export interface TestKms {
  readonly endpoint: string;
  readonly calls: readonly KmsCall[];
  /** Every plaintext key that it has given out, in base64. */
  readonly given: readonly string[];
  fault: KmsFault | null;
  /** Makes a key of that name and returns its ARN. */
  key(name: string): string;
  stop(): Promise<void>;
}

type Body = Readonly<{ [name: string]: unknown }>;

class Refusal extends Error {
  readonly type: string;

  constructor(type: string) {
    super(type);
    this.type = type;
  }
}

/** Starts it; to be stopped in `after`. */
export async function startKms(): Promise<TestKms> {
  const masters = new Map<string, Buffer>();
  const calls: KmsCall[] = [];
  const given: string[] = [];
  const kms = { fault: null as KmsFault | null };
  const server = createServer((request, response) => {
    void answer(request, response);
  });
  const master = (keyArn: string): Buffer => {
    const found = masters.get(keyArn);
    if (!found) throw new Refusal('NotFoundException');
    return found;
  };
  const act = (action: string, body: Body): object => {
    const keyArn = String(body['KeyId']);
    const context = (body['EncryptionContext'] ?? {}) as KmsCall['context'];
    calls.push({ action, keyArn, context });
    const plain = action === 'GenerateDataKey' ? randomBytes(32) : null;
    const blob = plain
      ? seal(master(keyArn), keyArn, context, plain)
      : Buffer.from(String(body['CiphertextBlob']), 'base64');
    const opened = open(master(keyArn), keyArn, context, blob).toString('base64');
    given.push(opened);
    const key = { KeyId: keyArn, Plaintext: opened };
    return plain ? { ...key, CiphertextBlob: blob.toString('base64') } : key;
  };
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const send = (status: number, body: object): void => {
      response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' });
      response.end(JSON.stringify(body));
    };
    const refuse = (status: number, type: string): void => send(status, { __type: type, message: 'refused' });
    const action = String(request.headers['x-amz-target']).replace('TrentService.', '');
    if (kms.fault) return refuse(kms.fault.status, kms.fault.type);
    try {
      send(200, act(action, JSON.parse(Buffer.concat(chunks).toString('utf8')) as Body));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      refuse(400, error.type);
    }
  }
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return Object.assign(kms, {
    endpoint: `http://127.0.0.1:${port}`,
    calls,
    given,
    key: (name: string) => {
      const keyArn = `arn:aws:kms:eu-west-1:111122223333:key/${name}`;
      masters.set(keyArn, randomBytes(32));
      return keyArn;
    },
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  });
}

/** The name of its key, and the sealed bytes; the context is bound to them, in whatever order it is given. */
function seal(master: Buffer, keyArn: string, context: KmsCall['context'], plain: Buffer): Buffer {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', master, nonce);
  cipher.setAAD(canonical(context));
  const name = Buffer.from(keyArn, 'utf8');
  const sealed = [nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()];
  return Buffer.concat([Buffer.from([name.length]), name, ...sealed]);
}

function open(master: Buffer, keyArn: string, context: KmsCall['context'], blob: Buffer): Buffer {
  const length = blob[0] ?? 0;
  if (blob.subarray(1, 1 + length).toString('utf8') !== keyArn) throw new Refusal('IncorrectKeyException');
  const sealed = blob.subarray(1 + length);
  const decipher = createDecipheriv('aes-256-gcm', master, sealed.subarray(0, 12));
  decipher.setAAD(canonical(context));
  decipher.setAuthTag(sealed.subarray(-16));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]);
  } catch {
    throw new Refusal('InvalidCiphertextException');
  }
}

function canonical(context: KmsCall['context']): Buffer {
  return Buffer.from(JSON.stringify(Object.entries(context).sort(([a], [b]) => (a < b ? -1 : 1))), 'utf8');
}
