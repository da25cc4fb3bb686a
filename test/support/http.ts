import { request } from 'node:http';

/** What a server answered. */
export interface Reply {
  readonly status: number;
  readonly text: string;
  readonly headers: { readonly [name: string]: string | readonly string[] | undefined };
}

/** How to ask. */
export interface Asking {
  readonly method?: string;
  /** `host` among them: it need not be where the request goes. */
  readonly headers?: { readonly [name: string]: string };
  readonly body?: string;
}

/** One request to 127.0.0.1, its path sent as it is: fetch would tidy `..` away and choose the Host header itself. */
export async function ask(port: unknown, path: string, asking: Asking = {}): Promise<Reply> {
  const { method = 'GET', body = '' } = asking;
  // Node sends no length with a DELETE by itself, and the body would be taken for the next request.
  const length = body === '' ? {} : { 'content-length': String(Buffer.byteLength(body)) };
  const headers = { ...length, ...asking.headers };
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port: Number(port), path, method, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text, headers: response.headers }),
      );
    });
    sent.on('error', reject).end(body);
  });
}

/** The header of basic auth (RFC 7617). */
export function basic(user: string, password: string): { readonly authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
}
