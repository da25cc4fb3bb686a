/** Where a request goes. The URL and the headers are secrets. */
export interface WebhookAddress {
  readonly url: string;
  readonly headers: Readonly<{ [name: string]: string }>;
}

/** What came of a request; `why` is a status, a system code or `timeout`, and quotes nothing. */
export type Delivery = { readonly ok: true } | { readonly ok: false; readonly why: string };

/** Whoever takes longer to take note of a line of text is down. */
const TIMEOUT_MS = 10_000;
const SYSTEM_CODE = /^[A-Z][A-Z0-9_]{2,40}$/;

/**
 * Sends one JSON POST; any 2xx will do. A redirect is not followed: neither body nor headers are for whoever it names.
 * Never rejects.
 */
export async function postJson(
  { url, headers }: WebhookAddress,
  body: object,
  signal: AbortSignal,
  timeoutMs = TIMEOUT_MS,
): Promise<Delivery> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'user-agent': 'maskline', ...headers, 'content-type': 'application/json' },
      body: JSON.stringify(body),
      redirect: 'manual',
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    });
    // The answer is not read, and must not hold its connection.
    await response.body?.cancel();
    if (response.ok) return { ok: true };
    const isRedirect = response.status >= 300 && response.status < 400;
    return {
      ok: false,
      why: isRedirect ? `HTTP ${response.status}, which is not followed` : `HTTP ${response.status}`,
    };
  } catch (error) {
    return { ok: false, why: whyOf(error) };
  }
}

function whyOf(error: unknown): string {
  if (!(error instanceof Error)) return 'error';
  if (error.name === 'TimeoutError') return 'timeout';
  if (error.name === 'AbortError') return 'canceled';
  const { cause } = error;
  const code = cause instanceof Error && 'code' in cause ? cause.code : null;
  return typeof code === 'string' && SYSTEM_CODE.test(code) ? code : 'error';
}
