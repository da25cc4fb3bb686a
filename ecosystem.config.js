// maskline under pm2 7: `pm2 start ecosystem.config.js`, from the directory of maskline.yaml; in a project that has
// maskline as a dependency `pm2 start node_modules/maskline/ecosystem.config.js`. By name, because this package is of
// "type": "module": pm2 finds no apps in a default export.
//
//   pm2 scale maskline-transform 4      pm2 reload all      pm2 stop all      pm2 logs maskline-load
//
// The environment is that of the shell which starts it, and these:
//   MASKLINE_INGEST_INSTANCES, MASKLINE_TRANSFORM_INSTANCES, MASKLINE_LOAD_INSTANCES    processes of each role
//   MASKLINE_INGEST_PORT, MASKLINE_TRANSFORM_PORT, MASKLINE_LOAD_PORT    where the first process of the role serves its
//     probes and metrics; each further one takes the next port. Unset: none does. The admin page is on PORT, or 9090.
//     Reload by name then (`pm2 reload all`): by this file, pm2 would give the first port to all of a role.
//
// pm2 keeps that environment to start processes again, and `pm2 save` writes it to its dump: keep the KEK in a file
// (`keyring: { kek: { type: file, path: … } }`), and passwords in files too (`${file:…}`), not in variables.
// pm2 stops two processes at a time; PM2_CONCURRENT_ACTIONS in the environment of its daemon lets it stop more.
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

/** A process has 25 s from the first signal to its end; pm2's own 1.6 s would kill it with work in hand. */
const KILL_TIMEOUT_MS = 30_000;
/** A start waits up to `startup_timeout`, 60 s, for what is not there yet, and only then is ready, or ends with 3. */
const LISTEN_TIMEOUT_MS = 70_000;
/** The first restart after a crash; pm2 lets it grow to 15 s, and start over once the process has stayed up. */
const RESTART_DELAY_MS = 200;
/** A fuse against leaks: several times what a process with full hands takes. */
const MAX_MEMORY = '1G';

function app(role, { instances = 1, env = {}, ...options } = {}) {
  return {
    name: `maskline-${role}`,
    script: fileURLToPath(new URL(`dist/workers/${role}.js`, import.meta.url)),
    // Where maskline.yaml is looked for; pm2's default would be the directory of this file.
    cwd: process.cwd(),
    // Not cluster mode, whose processes share their ports: these share none, and find their work in the queue.
    exec_mode: 'fork',
    instances,
    env,
    node_args: '--enable-source-maps',
    // pm2's own metrics module listens to the process's parent, which would keep it from ending by itself, and takes
    // uncaught errors, whose text may quote data.
    pmx: false,
    wait_ready: true,
    listen_timeout: LISTEN_TIMEOUT_MS,
    kill_timeout: KILL_TIMEOUT_MS,
    exp_backoff_restart_delay: RESTART_DELAY_MS,
    // Ends of this kind are mended by people: a file, a schema, a right. pm2 lists such a process as `waiting restart`,
    // but does not start it again; its log says what to mend.
    stop_exit_codes: [2],
    max_memory_restart: MAX_MEMORY,
    // One log for all processes of a role; each line is JSON with its time.
    merge_logs: true,
    time: false,
    ...options,
  };
}

/** A role of several processes; a PORT of the shell is not for them, since one port can't be shared. */
function workers(role, defaultInstances) {
  const setting = (name) => process.env[`MASKLINE_${role.toUpperCase()}_${name}`];
  const wanted = setting('INSTANCES') || String(defaultInstances);
  // pm2 takes 0, and all that is no number, for one process per processor.
  if (!/^[1-9]\d{0,2}$/.test(wanted)) {
    throw new Error(`MASKLINE_${role.toUpperCase()}_INSTANCES must be a number from 1 to 999`);
  }
  const instances = Number(wanted);
  const port = setting('PORT');
  return port
    ? app(role, { instances, env: { PORT: port }, increment_var: 'PORT' })
    : app(role, { instances, env: { PORT: '' } });
}

/** What pm2 starts. Masking takes the processor's time, the others mostly wait for others. */
export const apps = [
  workers('ingest', 1),
  workers('transform', Math.max(1, availableParallelism() - 1)),
  workers('load', 1),
  app('admin'),
];
