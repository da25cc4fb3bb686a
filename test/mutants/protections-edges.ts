// Protections at the edges: keys and seals, limits of what is read, signals, schedules, HTTP.

import { type Mutant, PROMISE } from './mutant.js';

const BODY = 'src/masking/body.ts';

/** Mutants of the edges. */
export const edgeProtections: readonly Mutant[] = [
  {
    row: 'many bad rows',
    name: 'the breaker never trips',
    file: 'src/run.ts',
    replace: 'if (this.#rejectsTooMany()) {',
    by: 'if (this.#rejectsTooMany() && this.#held.size < 0) {',
    tests: [{ file: 'unit/run.test.ts', name: 'trips above the ratio, not at it' }],
  },
  {
    row: 'many bad rows',
    name: 'the breaker is not written down',
    file: 'src/roles/ingester.ts',
    replace: "if (report.state === 'breaker_open' && run.tripped) {",
    by: "if (report.state === 'running' && run.tripped) {",
    tests: [{ file: 'unit/roles-ingester.test.ts', name: 'is opened by the run that quarantined too many' }],
  },
  {
    row: 'many bad rows',
    name: 'an open breaker is not asked for',
    file: 'src/roles/ingester.ts',
    replace: "if (breaker.state === 'closed') return;",
    by: 'if (breaker.state.length > 0) return;',
    tests: [
      {
        file: 'integration/cli-drain.test.ts',
        name: 'stops a run of too many bad messages, refuses the next, and receives nothing until it is closed',
      },
    ],
  },
  {
    row: 'key unknown',
    name: 'a key that is gone rejects its records',
    file: 'src/masking/rows.ts',
    replace: 'if (error instanceof PipelineError) throw error;',
    by: '',
    tests: [
      {
        file: 'unit/masking-rows.test.ts',
        name: 'an error about a key stops the batch, whichever value met it',
      },
    ],
  },
  {
    row: 'key unknown',
    name: 'what another keyring sealed is opened',
    file: 'src/queue/sealed.ts',
    replace: 'if (sealedUnder !== sealer.keyring) throw otherKeyring(sealedUnder, sealer.keyring);',
    by: '',
    tests: [
      {
        file: 'unit/queue-payload.test.ts',
        name: 'what another keyring sealed is said to be that, under the same key id too',
      },
    ],
  },
  {
    row: 'key unknown',
    name: 'a master key is not compared with its check value',
    file: 'src/masking/keyring-file.ts',
    replace: 'if (checkValueOf(key) !== kcv) {',
    by: 'if (checkValueOf(key) === "") {',
    tests: [
      {
        file: 'unit/masking-keyring.test.ts',
        name: 'a key that was exchanged or altered in the file is refused',
      },
    ],
  },
  {
    row: 'key unknown',
    name: 'a missing key does not stop its worker',
    file: 'src/policy.ts',
    replace: "key_unavailable: {\n    action: 'stop',",
    by: "key_unavailable: {\n    action: 'give_up',",
    tests: [
      {
        file: 'integration/faults-keys.test.ts',
        name: 'a worker with another keyring stops, names both, and nothing is masked, quarantined or acked',
      },
    ],
  },
  {
    row: 'SIGTERM',
    name: 'a second signal is not heard',
    file: 'src/lifecycle.ts',
    replace: 'if (stopping.signal.aborted) return force(FORCED_EXIT_CODE[signal]);',
    by: 'if (stopping.signal.aborted) return;',
    tests: [
      {
        file: 'unit/lifecycle.test.ts',
        name: 'a second SIGTERM exits at once with 143',
      },
    ],
  },
  {
    row: 'SIGTERM',
    name: 'a soft stop has all of the deadline',
    file: 'src/lifecycle.ts',
    replace: "within(clock, softMs, stop('soft'))",
    by: "within(clock, options.deadlineMs, stop('soft'))",
    tests: [
      {
        file: 'unit/lifecycle.test.ts',
        name: 'the first signal stops softly within three quarters of the deadline and a role exits with 0',
      },
    ],
  },
  {
    row: 'cron tick',
    name: 'ticks overlap',
    file: 'src/roles/schedule.ts',
    replace: 'if (this.underWay !== null) return this.overlap();',
    by: '',
    tests: [
      {
        file: 'unit/roles-schedule.test.ts',
        name: 'ticks never overlap, the one that catches up included, and stopping waits for the one under way',
      },
    ],
  },
  {
    row: 'cron tick',
    name: 'slots are those of UTC',
    file: 'src/roles/slots.ts',
    replace: 'tz: schedule.timezone })',
    by: "tz: 'UTC' })",
    tests: [
      {
        file: 'unit/roles-schedule.test.ts',
        name: 'a schedule is due when a slot lies between its last start and now, in its own time zone',
      },
    ],
  },
  {
    row: 'cron tick',
    name: 'the heartbeat goes by the clock on the wall',
    file: 'src/source/in-flight.ts',
    replace: 'const now = clock.elapsed();\n    const due',
    by: 'const now = clock.now();\n    const due',
    tests: [
      {
        file: 'unit/source-in-flight.test.ts',
        name: 'a wall clock that is set back by an hour, or forward, does not keep the heartbeat from beating',
      },
    ],
  },
  {
    row: 'poison message',
    name: 'bodies of any size are read',
    file: BODY,
    replace: "if (Buffer.byteLength(body, 'utf8') > limits.maxBody) return 'too_large';",
    by: '',
    tests: [{ file: 'unit/masking-hostile.test.ts', name: 'each hostile body has the same outcome alone' }],
  },
  {
    row: 'poison message',
    name: 'bodies of any depth are read',
    file: BODY,
    replace: "return isDeeper(value, limits.maxDepth) ? 'too_deep' : value;",
    by: 'return value;',
    tests: [{ file: 'unit/masking-hostile.test.ts', name: 'each hostile body has the same outcome alone' }],
  },
  {
    row: 'poison message',
    name: 'a record that ended its worker is tried again',
    file: 'src/roles/takeover.ts',
    replace: 'if (isGuilty) crashed.add(suspect.index);',
    by: '',
    tests: [
      {
        file: 'unit/hostile-takeover.test.ts',
        name: 'a record that ends a process of its own is rejected, also after later takeovers',
      },
    ],
  },
  {
    row: 'a message comes back from the DLQ',
    name: 'an origin is good for any body',
    file: 'src/source/origin.ts',
    replace: "createHash('sha256').update(body, 'utf8')",
    by: "createHash('sha256').update(body.slice(0, 0), 'utf8')",
    tests: [
      {
        file: 'integration/cli-dlq.test.ts',
        name: 'a sender cannot pass his message off as one that was loaded',
      },
    ],
  },
  {
    row: 'a message comes back from the DLQ',
    name: 'what was redriven keeps its new id',
    file: 'src/source/polls.ts',
    replace: 'const { messageId, sentAt } = this.#originOf(message) ?? {',
    by: 'const { messageId, sentAt } = {',
    tests: [
      {
        file: 'integration/cli-dlq.test.ts',
        name: 'brings dead letters back under the ids that the ledger knows: what was loaded before is a duplicate',
      },
    ],
  },
  {
    row: 'admin endpoint abused',
    name: 'every method is let through',
    file: 'src/ops/admin/server.ts',
    replace: 'app.use(actions ? onlySameOrigin : onlyReading);',
    by: 'if (actions) app.use(onlySameOrigin);',
    tests: [
      {
        file: 'unit/admin-server.test.ts',
        name: 'every method but GET and HEAD is refused everywhere, with credentials too',
      },
    ],
  },
  {
    row: 'admin endpoint abused',
    name: 'the user or the password is enough',
    file: 'src/ops/access.ts',
    replace: 'return isUser && isPassword;',
    by: 'return isUser || isPassword;',
    tests: [
      {
        file: 'unit/ops-health.test.ts',
        name: 'on any other address all but the probes needs the right user and the right password',
      },
    ],
  },
  {
    row: 'admin endpoint abused',
    name: 'a foreign Host name counts as local',
    file: 'src/ops/access.ts',
    replace: 'return isLoopback(host) && isLoopback(new URL(context.req.url).hostname);',
    by: 'return isLoopback(host);',
    tests: [
      {
        file: 'unit/admin-server.test.ts',
        name: 'a request under a foreign Host name is not taken for a local one',
      },
    ],
  },
  {
    row: 'admin endpoint abused',
    name: 'any site may act',
    file: 'src/ops/admin/same-origin.ts',
    replace: 'if (isOurs) return next();',
    by: 'if (isOurs || site !== undefined || origin !== undefined) return next();',
    tests: [
      {
        file: 'unit/admin-actions.test.ts',
        name: 'what changes something is taken from pages of this server only: all else is 403, and nothing is done',
      },
    ],
  },
  {
    row: 'admin endpoint abused',
    name: 'a question may be answered twice',
    file: 'src/ops/admin/tickets.ts',
    replace: 'ticket.isSpent = true;',
    by: '',
    tests: [
      {
        file: 'unit/admin-actions.test.ts',
        name: 'an action is asked for first, done once, and told of afterwards',
      },
    ],
  },
  {
    row: PROMISE,
    name: 'sealed bytes are not bound to their place',
    file: 'src/masking/seal.ts',
    replace: 'return Buffer.concat([lp(purpose), lp(id), u32be(kid)]);',
    by: 'return Buffer.concat([lp(purpose), lp(id.slice(0, 0)), u32be(kid)]);',
    tests: [
      {
        file: 'unit/masking-seal.test.ts',
        name: 'sealed bytes that were altered, cut or moved to another place, purpose or key are payload_corrupt',
      },
    ],
  },
  {
    row: PROMISE,
    name: 'the spelling of an address decides about its token',
    file: 'src/masking/ip.ts',
    replace: 'target.fill(MAPPED, at + 10, at + 12);',
    by: 'target.fill(text.length, at + 10, at + 12);',
    tests: [
      {
        file: 'unit/masking-canonical.test.ts',
        name: 'every spelling of an address gives the same 16 bytes',
      },
    ],
  },
  {
    row: PROMISE,
    name: "the text of a driver's error is kept",
    file: 'src/load/postgres-error.ts',
    replace: '`unexpected ${kind} from the Postgres client (its text is withheld)`',
    by: '`unexpected ${kind} from the Postgres client (${message})`',
    tests: [
      {
        file: 'unit/load-error.test.ts',
        name: 'an error without a SQLSTATE is known by its kind, and its text withheld',
      },
    ],
  },
];
