import { createHash, timingSafeEqual } from 'node:crypto';
import { getConnInfo } from '@hono/node-server/conninfo';
import type { Context, MiddlewareHandler } from 'hono';
import { basicAuth } from 'hono/basic-auth';
import { LoginLimit } from './login-limit.js';

/** What a browser or a scraper must send where HTTP is not on a loopback address. */
export interface Credentials {
  readonly user: string;
  readonly password: string;
}

const LOOPBACK_V4 = /^(?:::ffff:)?127(?:\.\d{1,3}){3}$/;

/** Whether only this machine can reach the address: 127.0.0.0/8 or ::1 (RFC 1122, RFC 4291), or localhost. */
export function isLoopback(host: string): boolean {
  const bare = host.toLowerCase().replace(/^\[(.*)\]$/, '$1');
  return bare === 'localhost' || bare === '::1' || LOOPBACK_V4.test(bare);
}

/**
 * Guards what is behind it: open on a loopback address, else basic auth; without credentials configured nobody gets
 * in. A request to a loopback address under a foreign Host name (a proxy, or a page that rebinds DNS) is not local.
 */
export function guard(options: {
  readonly host: string;
  readonly auth: Credentials | null;
}): MiddlewareHandler {
  const authenticate = options.auth ? requireCredentials(options.auth) : refuse;
  return async (context, next) => {
    if (isLocal(context, options.host)) return next();
    return authenticate(context, next);
  };
}

/** Whether the request came to this machine's own address under its own name, where no credentials are asked for. */
function isLocal(context: Context, host: string): boolean {
  return isLoopback(host) && isLoopback(new URL(context.req.url).hostname);
}

/** Whom the guard has let in: the user of the credentials, or `loopback`. */
export function whoAsks(
  context: Context,
  { host, auth }: { readonly host: string; readonly auth: Credentials | null },
): string {
  return isLocal(context, host) || auth === null ? 'loopback' : auth.user;
}

function requireCredentials(auth: Credentials): MiddlewareHandler {
  const user = digest(auth.user);
  const password = digest(auth.password);
  const limit = new LoginLimit();
  const verify = basicAuth({
    realm: 'maskline',
    // Digests have one length, and both are always compared: time tells neither lengths nor which of the two is wrong.
    verifyUser: (givenUser, givenPassword, context) => {
      const isUser = timingSafeEqual(digest(givenUser), user);
      const isPassword = timingSafeEqual(digest(givenPassword), password);
      if (!(isUser && isPassword)) limit.failed(addressOf(context));
      return isUser && isPassword;
    },
  });
  return async (context, next) => {
    const waitS = limit.waitS(addressOf(context));
    if (waitS === 0) return verify(context, next);
    return context.text('too many failed logins from this address: wait\n', 429, {
      'retry-after': String(waitS),
    });
  };
}

function addressOf(context: Context): string {
  return getConnInfo(context).remote.address ?? '';
}

const refuse: MiddlewareHandler = (context) => {
  const remedy = 'set MASKLINE_ADMIN_USER and MASKLINE_ADMIN_PASSWORD, or bind to 127.0.0.1';
  return Promise.resolve(context.text(`closed: no credentials are configured; ${remedy}\n`, 403));
};

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
