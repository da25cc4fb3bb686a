import pc from 'picocolors';
import { type Check, checks } from '../doctor/checks.js';
import type { Diagnosis, Finding } from '../doctor/diagnosis.js';

const HEADINGS: Readonly<{ [area in Check['area']]: string }> = {
  process: 'this process',
  keys: 'keys',
  Postgres: 'Postgres',
  queue: 'the queue between the stages',
  SQS: 'SQS',
  time: 'time budget',
};

/** A diagnosis for people: what is wrong by heading, a line for each and one for its remedy, then what is good. */
export function diagnosisText({ findings, good, unchecked }: Diagnosis): string {
  const areaOf = new Map(checks.map(({ name, area }) => [name, area]));
  const areas = Object.entries(HEADINGS).flatMap(([area, heading]) => {
    const own = findings.filter(({ check }) => areaOf.get(check) === area);
    return own.length === 0 ? [] : [[pc.bold(heading), ...own.map(findingText)].join('\n')];
  });
  const verdict =
    findings.length === 0
      ? pc.green('nothing is wrong')
      : pc.red(findings.length === 1 ? '1 finding' : `${findings.length} findings`);
  const rest = [
    `${pc.bold('good')}  ${good.join(', ') || 'nothing'}`,
    ...(unchecked.length === 0 ? [] : [pc.bold('could not be looked at')]),
    ...unchecked.map(({ check, what }) => `  ${check}: ${what}`),
  ];
  return [pc.bold(verdict), ...areas, rest.join('\n')].join('\n\n');
}

function findingText({ check, severity, pipeline, found, remedy }: Finding): string {
  const colored = severity === 'error' ? pc.red : pc.yellow;
  const where = pipeline === null ? '' : `${pipeline}: `;
  return `  ${colored(severity)} ${pc.dim(check)} ${where}${found}\n    ${pc.bold('→')} ${remedy}`;
}
