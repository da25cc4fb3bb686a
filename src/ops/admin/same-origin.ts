import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { getCookie, setCookie } from 'hono/cookie';

/** A ticket and a reason of a few words. */
const MAX_BODY_BYTES = 16 * 1024;

/** Larger bodies are refused before they are read. */
export const smallBodies: MiddlewareHandler = bodyLimit({
  maxSize: MAX_BODY_BYTES,
  onError: (context) => context.text('the body is too large\n', 413),
});

/** Whatever a route behind it would do. */
export const onlyReading: MiddlewareHandler = async (context, next) => {
  if (isReading(context.req.method)) return next();
  return context.text('this page only shows: see `maskline --help`, or admin.allow_actions\n', 405, {
    allow: 'GET, HEAD',
  });
};

/**
 * Lets through what changes something only when a page of this very server sent it: by Sec-Fetch-Site (W3C Fetch
 * Metadata), or for who does not send that, by Origin, whose host must be the one that was asked. Who sends neither is no
 * browser on a page of ours.
 */
export const onlySameOrigin: MiddlewareHandler = async (context, next) => {
  const { method } = context.req;
  if (isReading(method)) return next();
  if (method !== 'POST' && method !== 'PUT') return context.text('not a method of this page\n', 405);
  const site = context.req.header('sec-fetch-site');
  const origin = context.req.header('origin');
  const isSameHost =
    origin !== undefined && URL.canParse(origin) && new URL(origin).host === context.req.header('host');
  const isOurs = site === undefined ? isSameHost : site === 'same-origin';
  if (isOurs) return next();
  return context.text('only the pages of this server may act\n', 403);
};

function isReading(method: string): boolean {
  return method === 'GET' || method === 'HEAD';
}

/** The names by which the HTTP client of Bull Board (axios) hands a cookie back as a header. */
const COOKIE = 'XSRF-TOKEN';
const HEADER = 'x-xsrf-token';
const TOKEN_BYTES = 24;

/**
 * For scripts that act: gives a token in a cookie that other sites' requests do not carry, and wants it back in a header,
 * which other sites' pages can't set. A new token with each process.
 */
export function tokenByCookie(path: string): MiddlewareHandler {
  const token = randomBytes(TOKEN_BYTES).toString('base64url');
  return async (context, next) => {
    if (isReading(context.req.method)) {
      if (getCookie(context, COOKIE) !== token) {
        setCookie(context, COOKIE, token, { path, sameSite: 'Strict' });
      }
      return next();
    }
    if (isSame(context.req.header(HEADER) ?? '', token)) return next();
    return context.text('the page is from before this server was started: load it again\n', 403);
  };
}

function isSame(given: string, wanted: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(wanted)];
  return a.length === b.length && timingSafeEqual(a, b);
}
