// Lint of the recipes by which other schedulers run `maskline drain`: what must hold between a drain's own limits and
// theirs, and no retry beside the next slot.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';

/** From the first signal to the end of a process (STOP_DEADLINE_MS). */
const STOP_S = 25;

const SYSTEMD = ['deploy/systemd/maskline-drain.service', 'deploy/systemd/maskline-drain.timer'];
const DAG = 'deploy/airflow/maskline_drain.py';

/** What is wrong with the recipes below `root`, as lines. */
export function schedulerProblems(root) {
  const read = (file) => readFileSync(path.join(root, file), 'utf8');
  return [
    ...systemdProblems(read),
    ...dagProblems(read(DAG)),
    ...analyzed('systemd-analyze', ['verify', ...SYSTEMD.map((file) => path.join(root, file))]),
    ...analyzed('python3', [
      '-c',
      'import ast,sys; ast.parse(open(sys.argv[1]).read())',
      path.join(root, DAG),
    ]),
  ];
}

function systemdProblems(read) {
  const [service, timer] = SYSTEMD.map((file) => keysOf(read(file)));
  const timeoutS = seconds(/--timeout (\S+)/.exec(service.get('ExecStart') ?? '')?.[1]);
  return unless(SYSTEMD[0], [
    [service.get('Type') === 'oneshot', 'a drain ends by itself: Type=oneshot'],
    [service.get('Restart') === 'no', 'the timer is the retry: Restart=no'],
    [service.get('KillSignal') === 'SIGTERM', 'KillSignal must be SIGTERM'],
    [seconds(service.get('TimeoutStopSec')) > STOP_S, `TimeoutStopSec must be more than ${STOP_S} s`],
    [
      seconds(service.get('TimeoutStartSec')) > timeoutS + STOP_S,
      'TimeoutStartSec must be more than --timeout and the time to stop',
    ],
    [timer.has('OnCalendar') && timer.get('Persistent') === 'yes', 'the timer must make up for missed slots'],
  ]);
}

function dagProblems(text) {
  const timeoutS = seconds(/--timeout (\w+)/.exec(text)?.[1]);
  const limitS = 60 * Number(/execution_timeout=timedelta\(minutes=(\d+)\)/.exec(text)?.[1]);
  return unless(DAG, [
    [text.includes('"exec maskline drain '), 'without `exec` the shell gets the signal'],
    [/retries=0\b/.test(text) && text.includes('max_active_runs=1'), 'no retries, and one run at a time'],
    [text.includes('catchup=False'), 'one drain makes up for all that was missed: catchup=False'],
    [limitS > timeoutS + STOP_S, 'execution_timeout must be more than --timeout and the time to stop'],
  ]);
}

function unless(file, rules) {
  return rules.flatMap(([holds, what]) => (holds ? [] : [`${file}: ${what}`]));
}

/** What a checker says that may not be on this machine. */
function analyzed(command, args) {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (error !== undefined) return [];
  // Who checks for a system that is not running complains of that.
  return status === 0 || !stderr.includes('maskline') ? [] : [stderr.trim()];
}

function keysOf(text) {
  return new Map(
    text
      .split('\n')
      .filter((line) => /^[A-Z]\w*=/.test(line))
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
}

/** Of `35s`, `12min` and the like; NaN, which is no more than anything, of all else. */
function seconds(text) {
  const [, number, unit] = /^(\d+)(s|m|min)$/.exec(text ?? '') ?? [];
  return Number(number) * (unit === 's' ? 1 : 60);
}
