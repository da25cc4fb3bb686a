import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { STOP_DEADLINE_MS } from '../../src/roles/role.js';
import { assertCommandLine } from '../support/command-lines.js';
import { ROOT } from '../support/kustomize.js';

const SYSTEMD = join(ROOT, 'deploy/systemd');
const DAGS = join(ROOT, 'deploy/airflow/maskline_drain.py');
const UNITS = readdirSync(SYSTEMD).sort();
const STOP_S = STOP_DEADLINE_MS / 1_000;
const ONESHOTS = ['maskline-drain', 'maskline-prune'];
/** What none of the services needs, each taken away. */
const HARDENED = {
  NoNewPrivileges: 'yes',
  CapabilityBoundingSet: '',
  PrivateTmp: 'yes',
  PrivateDevices: 'yes',
  ProtectSystem: 'strict',
  ProtectHome: 'yes',
  ProtectKernelTunables: 'yes',
  ProtectKernelModules: 'yes',
  ProtectControlGroups: 'yes',
  RestrictAddressFamilies: 'AF_INET AF_INET6 AF_UNIX',
  RestrictSUIDSGID: 'yes',
  LockPersonality: 'yes',
  UMask: '0077',
};

/** A task of Airflow with its DAG: their arguments, durations in seconds. */
interface Task {
  readonly dag: { readonly dag_id: string; readonly catchup: boolean; readonly max_active_runs: number };
  readonly task: {
    readonly bash_command: string;
    readonly retries: number;
    readonly execution_timeout: number;
    readonly append_env: boolean;
  };
}

function settingsOf(unit: string): ReadonlyMap<string, string> {
  const lines = readFileSync(join(SYSTEMD, unit), 'utf8').split('\n');
  const settings = lines.filter((line) => /^[A-Z]\w*=/.test(line));
  return new Map(
    settings.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
}

/** Of `35s`, `12min`, `10m`; NaN, which is no more than anything, of all else. */
function seconds(text: string | undefined): number {
  const [, number, unit] = /^(\d+)(s|m|min)$/.exec(text ?? '') ?? [];
  return Number(number) * (unit === 's' ? 1 : 60);
}

/** The words behind `maskline`, and the seconds of their `--timeout`, or 0. */
function commandOf(line: string | undefined): {
  readonly words: readonly string[];
  readonly timeoutS: number;
} {
  const words = /\bmaskline (.*)$/.exec(line ?? '')?.[1]?.split(' ') ?? [];
  const at = words.indexOf('--timeout');
  return { words, timeoutS: at < 0 ? 0 : seconds(words[at + 1]) };
}

describe('the units of systemd', () => {
  const services = UNITS.filter((unit) => unit.endsWith('.service'));

  test('are sound for systemd itself, where it is installed', () => {
    const files = UNITS.map((unit) => join(SYSTEMD, unit));
    const { error, stderr } = spawnSync('systemd-analyze', ['verify', ...files], { encoding: 'utf8' });
    // Who checks for a system that is not running complains of that too.
    if (error === undefined) assert.ok(!stderr.includes('maskline'), stderr);
  });

  test('have command lines that the program takes, for each role', async () => {
    for (const unit of services) {
      const line = settingsOf(unit).get('ExecStart');
      assert.match(line ?? '', /^\/usr\/bin\/env maskline /, unit);
      const names = unit.includes('@') ? ['ingest', 'transform', 'load', 'admin'] : [''];
      for (const name of names) await assertCommandLine(commandOf(line?.replace('%i', name)).words);
    }
  });

  test('run as a user of their own, without any right that they do not need', () => {
    for (const unit of services) {
      const settings = settingsOf(unit);
      assert.equal(settings.get('User'), 'maskline', unit);
      const hardened = Object.fromEntries(Object.keys(HARDENED).map((key) => [key, settings.get(key)]));
      assert.deepEqual(hardened, HARDENED, unit);
    }
  });

  test('leave time for a soft stop, and what ends by itself time to end', () => {
    for (const unit of services) {
      const settings = settingsOf(unit);
      assert.equal(settings.get('KillSignal'), 'SIGTERM', unit);
      assert.ok(seconds(settings.get('TimeoutStopSec')) > STOP_S, unit);
    }
    for (const unit of ONESHOTS) {
      const settings = settingsOf(`${unit}.service`);
      assert.deepEqual([settings.get('Type'), settings.get('Restart')], ['oneshot', 'no'], unit);
      const { timeoutS } = commandOf(settings.get('ExecStart'));
      assert.ok(seconds(settings.get('TimeoutStartSec')) > timeoutS + STOP_S, unit);
    }
  });

  test('have a timer that makes up for missed slots, or are started again, but not for what people must mend', () => {
    for (const unit of ONESHOTS) {
      const timer = settingsOf(`${unit}.timer`);
      assert.ok(timer.has('OnCalendar') && timer.get('Persistent') === 'yes', unit);
    }
    const role = settingsOf('maskline@.service');
    assert.deepEqual([role.get('Restart'), role.get('RestartPreventExitStatus')], ['on-failure', '2']);
    assert.deepEqual(UNITS, [
      ...ONESHOTS.flatMap((unit) => [`${unit}.service`, `${unit}.timer`]),
      'maskline@.service',
    ]);
  });
});

describe('the DAGs of Airflow', () => {
  const text = readFileSync(DAGS, 'utf8');
  const commands = [...text.matchAll(/bash_command="(.*)"/g)].map(([, command]) => command);

  test('have command lines that the program takes, and that get the signal', async () => {
    assert.equal(commands.length, 2);
    for (const command of commands) {
      assert.match(command ?? '', /^exec maskline /);
      await assertCommandLine(commandOf(command).words);
    }
  });

  test('carried out by Python, where it is installed: one run at a time, and time for each to end by itself', () => {
    const stand = join(ROOT, 'test/support/airflow.py');
    const { error, status, stdout, stderr } = spawnSync('python3', [stand, DAGS], { encoding: 'utf8' });
    if (error !== undefined) return;
    assert.equal(status, 0, stderr);
    const tasks = JSON.parse(stdout) as readonly Task[];
    assert.deepEqual(
      tasks.map(({ dag }) => dag.dag_id),
      ['maskline_drain', 'maskline_prune'],
    );
    for (const { dag, task } of tasks) {
      assert.deepEqual([dag.catchup, dag.max_active_runs, task.append_env], [false, 1, true], dag.dag_id);
      assert.ok(commands.includes(task.bash_command));
      assert.ok(task.execution_timeout > commandOf(task.bash_command).timeoutS + STOP_S, dag.dag_id);
    }
    // The next slot is the retry: one at once would spend receives of the messages.
    assert.equal(tasks[0]?.task.retries, 0);
  });
});
