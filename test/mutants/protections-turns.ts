// Protections of who may run, and when: leases, slots, what stops a pipeline alone, and what bars its intake.

import type { Mutant } from './mutant.js';

const LEASES = 'src/load/leases.ts';
const SLOTS = 'src/roles/slots.ts';
const INTAKE = 'src/roles/intake.ts';
const SERVICE = 'src/roles/pipeline-service.ts';
const exclusive = (name: string) => ({ file: 'integration/exclusive.test.ts', name });
const slots = (name: string) => ({ file: 'unit/roles-slots.test.ts', name });
const service = (name: string) => ({ file: 'unit/roles-pipeline-service.test.ts', name });
const isolation = (name: string) => ({ file: 'integration/isolation.test.ts', name });

/** Mutants of leases, schedules, and stops. */
export const turnProtections: readonly Mutant[] = [
  {
    row: 'an ingester of an exclusive pipeline',
    name: 'a lease is taken from a holder that lives',
    file: LEASES,
    replace: 'or (s.lease_id is null and not $4)',
    by: 'or not $4',
    tests: [exclusive('has one holder, whoever asks at once; who asks learns who it is')],
  },
  {
    row: 'an ingester of an exclusive pipeline',
    name: 'a lease is renewed for whoever asks',
    file: LEASES,
    replace:
      'set lease_until = clock_timestamp() + ${LEASE}\n          where pipeline = $1 and lease_id = $2`',
    by: 'set lease_until = clock_timestamp() + ${LEASE}\n          where pipeline = $1 and $2::uuid is not null`',
    tests: [exclusive('is given back by its holder alone, and expires by the clock of the database')],
  },
  {
    row: 'an ingester of an exclusive pipeline',
    name: 'who has lost the lease is not told',
    file: 'src/roles/lease.ts',
    replace: 'if (!isMine) lost.abort();',
    by: '',
    tests: [
      exclusive(
        'goes to who stands by when its holder is silent, who learns of it; not when the work is done',
      ),
    ],
  },
  {
    row: 'cron tick',
    name: 'pauses end by the clocks of UTC',
    file: SLOTS,
    replace: "dailyAt(window.to, '*', timezone)",
    by: "dailyAt(window.to, '*', 'UTC')",
    tests: [slots('a pause is told by the clocks of its zone on the days on which these change')],
  },
  {
    row: 'cron tick',
    name: 'what a pause held up is left out',
    file: SLOTS,
    replace: 'if (end === null || schedule.catchUp) runs.push(end ?? slot);',
    by: 'if (end === null) runs.push(slot);',
    tests: [slots('runs begin at slots outside of pauses, and once at the end of one that held some up')],
  },
  {
    row: 'cron tick',
    name: 'a missed slot is counted from now on',
    file: SLOTS,
    replace: '(slotsAfter(schedule, lastStartedAt, 1)[0] ?? Infinity) <= now',
    by: '(slotsAfter(schedule, Math.max(lastStartedAt, now), 1)[0] ?? Infinity) <= now',
    tests: [
      {
        file: 'unit/faults-schedule.test.ts',
        name: 'a day on which clocks change has its run, once, at the hour of the zone that there is',
      },
      {
        file: 'unit/roles-schedule.test.ts',
        name: 'a schedule is due when a slot lies between its last start and now, in its own time zone',
      },
    ],
  },
  {
    row: 'one pipeline of several breaks',
    name: 'what only a person can mend does not stop its pipeline',
    file: SERVICE,
    replace: "if (actionFor(error) === 'stop') breakDown(error);",
    by: "if (actionFor(error) === 'wait') breakDown(error);",
    tests: [
      service(
        'what only a person can mend stops it; it looks on, ever more seldom, and goes on when that is mended',
      ),
    ],
  },
  {
    row: 'one pipeline of several breaks',
    name: 'what no look shows is tried again at once',
    file: SERVICE,
    replace: '(wasUnfit || clock.elapsed() >= trialAt)',
    by: '(wasUnfit || clock.elapsed() >= trialAt * 0)',
    tests: [service('what no look shows is tried again seldom: each trial costs its messages a receive')],
  },
  {
    row: 'one pipeline of several breaks',
    name: 'one pipeline that is stopped ends the process',
    file: 'src/roles/stops.ts',
    replace: 'if (this.isComplete) this.#fail(this.error);',
    by: 'this.#fail(this.error);',
    tests: [service('a process ends when all its pipelines are stopped, and says what is wrong with each')],
  },
  {
    row: 'one pipeline of several breaks',
    name: 'messages are received for workers that have stopped',
    file: INTAKE,
    replace: "if (hasStopped) return 'workers_stopped';",
    by: '',
    tests: [
      isolation(
        'receives nothing more for workers that have all stopped a pipeline, and goes on when they do',
      ),
    ],
  },
  {
    row: 'one pipeline of several breaks',
    name: 'a run receives before its first look',
    file: INTAKE,
    replace: '(!this.#hasLooked || this.#bar !== null)',
    by: 'this.#bar !== null',
    tests: [
      {
        file: 'unit/intake.test.ts',
        name: 'lets nothing in before the first look of a run, whatever was found by the one before',
      },
    ],
  },
  {
    row: 'one pipeline of several breaks',
    name: 'one worker that has stopped bars the intake',
    file: 'src/load/processes.ts',
    replace: 'having bool_and(stopped ? $1)',
    by: 'having bool_or(stopped ? $1)',
    tests: [
      {
        file: 'integration/load-schema.test.ts',
        name: 'a stage has stopped when all who work on it have said so; who is silent otherwise, or works elsewhere, does not count',
      },
    ],
  },
  {
    row: 'one pipeline of several breaks',
    name: 'what a process has stopped is forgotten at its end',
    file: 'src/roles/presence.ts',
    replace: 'Object.keys(stops()).length > 0 ? present() :',
    by: 'identity.id === "" ? present() :',
    tests: [isolation('knows so also when the last of them has ended, until another is there')],
  },
];
