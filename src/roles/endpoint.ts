import { PipelineError } from '../errors.js';
import type { Deployment } from './deployment.js';
import type { Role } from './role.js';

/** Where a process serves HTTP. */
export interface Endpoint {
  readonly host: string;
  /** 0 takes any free one. */
  readonly port: number;
}

const SERVE_ANYWAY: readonly Role[] = ['admin', 'all'];

/**
 * HOST and PORT of this process, over `admin.host` and `admin.port`; null for a worker without PORT. Throws `usage` for a
 * PORT that is none.
 */
export function endpointOf(
  { config, environment }: Pick<Deployment, 'config' | 'environment'>,
  role: Role,
): Endpoint | null {
  const host = environment.host ?? config.admin.host;
  const given = environment.port;
  if (given === null) return SERVE_ANYWAY.includes(role) ? { host, port: config.admin.port } : null;
  if (/^\d{1,5}$/.test(given) && Number(given) < 65_536) return { host, port: Number(given) };
  throw new PipelineError('usage', 'PORT must be a number from 0 (any free port) to 65535');
}
