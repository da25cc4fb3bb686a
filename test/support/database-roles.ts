// The database roles of deploy/postgres/roles.sql, as a test gives them to processes.

import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { withConnection } from './postgres.js';

/** Kinds of processes, and the database role that each is to work under. */
export const DATABASE_ROLES = {
  ingest: 'maskline_ingest',
  transform: 'maskline_transform',
  load: 'maskline_loader',
  admin: 'maskline_operator',
  all: 'maskline_all',
  owner: 'maskline_owner',
  reveal: 'maskline_revealer',
  audit: 'maskline_auditor',
} as const;

/** A kind of process with a database role of its own. */
export type DatabaseUser = keyof typeof DATABASE_ROLES;

/** The file itself: plain SQL, so that a driver runs it as psql does. */
const ROLES_FILE = fileURLToPath(new URL('../../../deploy/postgres/roles.sql', import.meta.url));

/** Any password does on a server that listens on loopback for the time of a test. */
const PASSWORD = 'one-for-all';

/** Runs roles.sql in that database, whose user may make roles. */
export async function applyRoles(url: string): Promise<void> {
  const sql = await readFile(ROLES_FILE, 'utf8');
  await withConnection(url, (client) => client.query(sql));
}

/** Lets the roles log in, as the comment in roles.sql says. */
export async function allowLogins(url: string): Promise<void> {
  const sql = Object.values(DATABASE_ROLES).map((role) => `alter role ${role} login password '${PASSWORD}'`);
  await withConnection(url, (client) => client.query(sql.join('; ')));
}

/** The same database for another role. */
export function urlAs(url: string, role: string): string {
  const own = new URL(url);
  own.username = role;
  own.password = PASSWORD;
  return own.href;
}
