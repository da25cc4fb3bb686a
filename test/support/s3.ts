// Objects in the emulator's S3, and a proxy before it that can break answers off.

import assert from 'node:assert/strict';
import { type IncomingMessage, type ServerResponse, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Makes a bucket. */
export async function createBucket(endpoint: string, bucket: string): Promise<void> {
  const { status } = await fetch(`${endpoint}/${bucket}`, { method: 'PUT' });
  assert.equal(status, 200);
}

/** Puts an object there and returns its ETag, without quotes. */
export async function putObject(
  endpoint: string,
  bucket: string,
  key: string,
  body: string | Buffer,
): Promise<string> {
  const path = key.split('/').map(encodeURIComponent).join('/');
  const answer = await fetch(`${endpoint}/${bucket}/${path}`, { method: 'PUT', body });
  assert.equal(answer.status, 200);
  return (answer.headers.get('etag') ?? '').replaceAll('"', '');
}

/** Deletes an object. */
export async function deleteObject(endpoint: string, bucket: string, key: string): Promise<void> {
  await fetch(`${endpoint}/${bucket}/${key}`, { method: 'DELETE' });
}

/** An event notification ("Event message structure", Amazon S3 User Guide) of objects that were put. */
export function objectsCreated(
  bucket: string,
  objects: readonly { readonly key: string; readonly eTag?: string; readonly versionId?: string }[],
  eventName = 'ObjectCreated:Put',
): string {
  return JSON.stringify({
    Records: objects.map(({ key, eTag, versionId }) => ({
      eventVersion: '2.1',
      eventSource: 'aws:s3',
      awsRegion: 'us-east-1',
      eventTime: '2026-01-02T03:04:05.678Z',
      eventName,
      s3: {
        s3SchemaVersion: '1.0',
        bucket: { name: bucket, arn: `arn:aws:s3:::${bucket}` },
        object: {
          key: encodeURIComponent(key).replaceAll('%20', '+').replaceAll('%2F', '/'),
          size: 1,
          eTag,
          versionId,
        },
      },
    })),
  });
}

/** What the proxy does to one GET of an object. */
export type S3Fault =
  /** Answers with this status and code instead. */
  | { readonly kind: 'answer'; readonly status: number; readonly code: string }
  /** Ends the connection after so many bytes of the body. */
  | { readonly kind: 'cut'; readonly afterBytes: number };

/** Stands before S3; each GET asks `fault` what is to become of it. */
export class S3Proxy {
  fault: (path: string, gets: number) => S3Fault | null = () => null;
  /** Range headers of the GETs so far; null where there was none. */
  readonly ranges: (string | null)[] = [];
  readonly #target: number;
  readonly #server = createServer((incoming, answer) => this.#pass(incoming, answer));

  constructor(targetPort: number) {
    this.#target = targetPort;
  }

  /** Returns its endpoint. */
  async start(): Promise<string> {
    await new Promise<void>((resolve) => {
      this.#server.listen(0, '127.0.0.1', resolve);
    });
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #pass(incoming: IncomingMessage, answer: ServerResponse): void {
    const { method, url = '', headers } = incoming;
    const isGet = method === 'GET';
    if (isGet) this.ranges.push(headers.range ?? null);
    const fault = isGet ? this.fault(url, this.ranges.length) : null;
    if (fault?.kind === 'answer') {
      answer.writeHead(fault.status, { 'content-type': 'application/xml' });
      answer.end(`<?xml version="1.0"?><Error><Code>${fault.code}</Code><Message>made up</Message></Error>`);
      return;
    }
    const onward = request({ port: this.#target, method, path: url, headers }, (reply) => {
      answer.writeHead(reply.statusCode ?? 500, reply.headers);
      if (fault === null) {
        reply.pipe(answer);
        return;
      }
      let left = fault.afterBytes;
      reply.on('data', (chunk: Buffer) => {
        if (left <= 0) return;
        const isLast = chunk.length >= left;
        // Flushed first, or nobody could say how much arrives.
        answer.write(chunk.subarray(0, left), () => {
          if (isLast) answer.destroy();
        });
        left -= chunk.length;
      });
    });
    incoming.pipe(onward);
  }
}
