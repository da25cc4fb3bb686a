// This process and its machine, as the others of the deployment are likely to be; and what `status` says.

import { isLoopback } from '../ops/access.js';
import { PipelineError } from '../errors.js';
import type { Facts } from './facts.js';
import { GOOD, type Verdict, error, together, unanswered, unseen, warning } from './finding.js';

/** `engines.node` of package.json. */
const LEAST_NODE = '20.19';
/** More than a network and a busy machine explain. */
const SKEW_MS = 5_000;
/** AWS refuses what was signed so long ago; leases, pauses and schedules go by several clocks. */
const LARGE_SKEW_MS = 5 * 60_000;

/** Whether this version of Node.js is one that is supported. */
export function judgeNode({ host: { nodeVersion } }: Facts): Verdict {
  if (nodeVersion.localeCompare(LEAST_NODE, 'en', { numeric: true }) >= 0) return GOOD;
  return error(`Node.js is ${nodeVersion}`, `install Node.js ${LEAST_NODE} or newer`);
}

/** Whether nothing fails on purpose. */
export function judgeFailpoints({ host: { failpoints } }: Facts): Verdict {
  if (failpoints.length === 0) return GOOD;
  return error(
    `${failpoints.join(' and ')} ${failpoints.length > 1 ? 'are' : 'is'} set: processes fail on purpose`,
    `unset ${failpoints.join(' ')}, and start the processes again`,
  );
}

/** Whether the admin pages can be served, and to whom. */
export function judgeAdmin({ host: { endpoint, hasCredentials } }: Facts): Verdict {
  if (endpoint instanceof PipelineError) return error(endpoint.message, 'mend PORT, or unset it');
  if (isLoopback(endpoint.host) || hasCredentials) return GOOD;
  return error(
    `the admin pages are to be on ${endpoint.host}, which others can reach, without credentials: \`run admin\` and \`run all\` ` +
      'do not serve them so',
    'set MASKLINE_ADMIN_USER and MASKLINE_ADMIN_PASSWORD, or HOST=127.0.0.1 (admin.host)',
  );
}

/** Whether a file that looks like the environment is. */
export function judgeEnvironmentFile({ host: { unreadVariables } }: Facts): Verdict {
  if (unreadVariables.length === 0) return GOOD;
  return warning(
    `.env sets ${unreadVariables.join(', ')}, and the environment does not: maskline does not read .env`,
    'set -a; . ./.env; set +a',
  );
}

/** Whether all clocks agree. */
export function judgeClocks({ databases, redis, sources }: Facts): Verdict {
  const clocks = new Map<string, number>();
  for (const { server } of databases)
    if (!(server instanceof PipelineError)) clocks.set('Postgres', server.aheadMs);
  if (redis !== null && !(redis instanceof PipelineError) && redis.aheadMs !== null)
    clocks.set('Redis', redis.aheadMs);
  for (const { probe } of sources) {
    if (probe !== null && !(probe instanceof PipelineError) && probe.aheadMs !== null)
      clocks.set('SQS', probe.aheadMs);
  }
  if (clocks.size === 0) return unseen('the clocks of Postgres, Redis and SQS');
  const off = [...clocks].filter(([, aheadMs]) => Math.abs(aheadMs) > SKEW_MS);
  if (off.length === 0) return GOOD;
  const found = off.map(([name, aheadMs]) => `${name} ${describeSkew(aheadMs)}`).join(', ');
  const isOurs = off.length === clocks.size;
  const isLarge = off.some(([, aheadMs]) => Math.abs(aheadMs) > LARGE_SKEW_MS);
  return (isLarge ? error : warning)(
    `clocks differ from that of this machine: ${found}`,
    isOurs
      ? 'set the clock of this machine by NTP'
      : `set the clocks by NTP, here and where ${off.map(([name]) => name).join(', ')} run`,
  );
}

function describeSkew(aheadMs: number): string {
  return `${Math.round(Math.abs(aheadMs) / 1_000)}s ${aheadMs > 0 ? 'ahead' : 'behind'}`;
}

/** What is wrong with the pipelines at work: that of `status`. */
export function judgeHealth({ problems }: Facts): Verdict {
  if (problems instanceof PipelineError) return unanswered('what `maskline status` would say', problems);
  return together(
    problems.map(({ subject, what, remedy }) => {
      const [, pipeline = null] = /^pipeline (.+)$/.exec(subject) ?? [];
      return error(pipeline === null ? `${subject}: ${what}` : what, remedy, pipeline);
    }),
  );
}
