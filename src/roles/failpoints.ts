import type { FailpointPorts } from '../proof/failpoint-ports.js';
import type { Deployment } from './deployment.js';

/**
 * What makes this process fail on purpose, where MASKLINE_FAILPOINTS asks for it; null in production, where none of it
 * is even loaded. Throws `usage` for points that there are not, and unless MASKLINE_ALLOW_FAILPOINTS is 1.
 */
export async function armFailpoints({
  environment,
  log,
}: Pick<Deployment, 'environment' | 'log'>): Promise<FailpointPorts | null> {
  if (!environment.variables['MASKLINE_FAILPOINTS']) return null;
  const [{ readFailpoints }, ports] = await Promise.all([
    import('../proof/failpoints.js'),
    import('../proof/failpoint-ports.js'),
  ]);
  const failpoints = readFailpoints(environment.variables);
  if (failpoints === null) return null;
  log.warn(
    { event: 'failpoints_armed', ids: failpoints.points },
    'this process fails on purpose: MASKLINE_FAILPOINTS is set',
  );
  return new ports.FailpointPorts(failpoints);
}
