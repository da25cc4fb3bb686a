import { checkSchema } from '../load/migrate.js';
import { approveRequest, readRequest } from '../load/reveals.js';
import { osUser } from '../roles/os-user.js';
import { confirm } from './confirmation.js';
import type { Command } from './context.js';
import { withPool } from './database.js';
import { openDeployment } from './deployment.js';
import { exitCode } from './exit.js';
import { declined } from './failed.js';
import { requestId } from './request-id.js';

/** `approve`: lets a reveal beyond the quota be carried out, by another database user than who asked. */
export const approveCommand: Command<{ readonly args: readonly string[] }> = async (context, { args }) => {
  const id = requestId(args[0] ?? '');
  const deployment = openDeployment(context, 'cli');
  return withPool(deployment, 'reveal', async (pool) => {
    await checkSchema(pool);
    const { requested_by, requested_at, purpose, ticket, tokens } = await readRequest(pool, id);
    const why = ticket === null ? purpose : `${purpose} (${ticket})`;
    const question = `${requested_by} asked on ${requested_at} for ${tokens.length} values: ${why}. Approve it?`;
    if (!(await confirm(context, question))) return declined(context);
    await approveRequest(pool, id, osUser());
    context.out.result(
      { request: id, state: 'approved', values: tokens.length },
      `Request ${id} of ${requested_by} is approved, for ${tokens.length} values.`,
    );
    return exitCode.ok;
  });
};
