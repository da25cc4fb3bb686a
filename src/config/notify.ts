import { z } from 'zod';
import type { NotifyConfig } from './config.js';
import type { Findings } from './problem.js';
import { choice, integer, scalar, text } from './scalars.js';
import { Secret } from './secret.js';

/** What a webhook can be told of. */
const noticeKinds = ['breaker', 'overdue', 'quarantine'] as const;

/** RFC 9110, sections 5.1 and 5.5: a token; visible characters, spaces and tabs. */
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}$/;
const HEADER_VALUE = /^[\t\x20-\x7e]*$/;

/** Where to say that something needs a person. */
export const notifySchema = z.strictObject({
  webhook: scalar(
    'URL that one JSON POST goes to when something begins that needs a person, and one when it is over: `https://…`, best as `${file:/run/secrets/webhook}`. Empty, nothing is sent.',
    { type: 'string' },
    (value) => (typeof value === 'string' ? { value } : { wrong: 'must be text; put it in quotes' }),
  ).optional(),
  headers: z
    .record(z.string(), text('A value of a header.', HEADER_VALUE, 'must be printable ASCII'))
    .meta({ description: 'Headers of these requests, such as `authorization`.' })
    .prefault({}),
  on: z
    .array(choice('What to tell of.', noticeKinds))
    .prefault([...noticeKinds])
    .meta({
      description:
        'What to tell of: `breaker`, it opened; `overdue`, no run of the schedule ended well for two periods; `quarantine`, it grows.',
    }),
  quarantine_growth: integer(
    'The quarantine of a pipeline grows when so many of its open records came within the last hour, and no more when fewer than half as many did.',
    1,
    10_000,
  ).prefault(100),
});

/** Where notices go; null when nowhere. */
export function notifyOf(input: z.output<typeof notifySchema>, findings: Findings): NotifyConfig | null {
  const { webhook = '', headers, on, quarantine_growth: quarantineGrowth } = input;
  for (const name of Object.keys(headers)) {
    if (!HEADER_NAME.test(name)) findings.error(['notify', 'headers', name], 'is no name of a header', 'key');
  }
  if (webhook === '') return null;
  checkUrl(webhook, findings);
  const secrets = Object.entries(headers).map(([name, value]) => [name, new Secret(value)] as const);
  return { webhook: new Secret(webhook), headers: Object.fromEntries(secrets), on, quarantineGrowth };
}

/** The URL is a secret itself, and quoted nowhere. */
function checkUrl(webhook: string, findings: Findings): void {
  const at = ['notify', 'webhook'];
  const url = URL.canParse(webhook) ? new URL(webhook) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) {
    findings.error(at, 'must be a URL that begins with https:// or http://');
    return;
  }
  if (url.username !== '' || url.password !== '') {
    findings.error(at, 'must not hold a user or password; set notify.headers.authorization');
  }
  const isHere = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
  if (url.protocol === 'http:' && !isHere)
    findings.warn(at, 'begins with http://, so whoever is on the way reads the requests and their headers');
}
