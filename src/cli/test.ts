import { readFileSync } from 'node:fs';
import { systemClock } from '../clock.js';
import type { PipelineConfig } from '../config/config.js';
import { errorCode } from '../config/interpolation.js';
import { type ConfigProblem, formatProblem } from '../config/problem.js';
import { PipelineError } from '../errors.js';
import { parseCases } from '../foresight/case-file.js';
import type { TestCase } from '../foresight/test-case.js';
import { type TestResult, runCases } from '../foresight/test-run.js';
import { selectPipelines } from '../roles/deployment.js';
import { prepareOpening } from '../source/unwrap.js';
import type { CliContext, Command } from './context.js';
import { exitCode } from './exit.js';
import { readOfflineConfig, rehearsalKeyring } from './offline.js';
import { printable } from './unsealed.js';

interface TestOptions {
  readonly args?: readonly string[];
  readonly throwawayKey?: boolean;
}

const DEFAULT_FILE = './maskline.tests.yaml';

/** `test`: the cases of the files against the masks. It needs no server, and nothing is stored. */
export const test: Command<TestOptions> = async (context, { args = [], throwawayKey = false }) => {
  const config = readOfflineConfig(context);
  const selected = selectPipelines(config, context.pipelines);
  const files = args.length === 0 ? [DEFAULT_FILE] : args;
  // Files may hold cases of other pipelines too, and these must be sound as well.
  const all = readCases(files, config.pipelines);
  const cases = all.filter(({ pipeline }) => selected.some(({ name }) => name === pipeline));
  if (cases.length === 0) {
    throw new PipelineError(
      'usage',
      `${files.join(', ')}: no cases of ${selected.map(({ name }) => name).join(', ')}`,
    );
  }
  const keyring = await rehearsalKeyring(context, config, throwawayKey);
  await prepareOpening();
  const results = selected.flatMap((pipeline) => {
    const own = cases.filter((one) => one.pipeline === pipeline.name);
    return runCases(pipeline, own, keyring, systemClock);
  });
  for (const result of results) print(context, result);
  const failed = results.filter(({ differences }) => differences.length > 0).length;
  if (!context.out.json) context.out.text(`\n${results.length - failed} of ${results.length} cases passed`);
  return failed > 0 ? exitCode.failed : exitCode.ok;
};

function readCases(files: readonly string[], pipelines: readonly PipelineConfig[]): readonly TestCase[] {
  const problems: ConfigProblem[] = [];
  const cases = files.flatMap((file) => {
    const found = parseCases(file, readText(file), pipelines);
    problems.push(...found.problems);
    return found.cases;
  });
  if (problems.length === 0) return cases;
  throw new PipelineError('config_invalid', problems.map(formatProblem).join('\n'));
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new PipelineError(
      'usage',
      `${file} cannot be read (${errorCode(error)}); name the file of the cases`,
    );
  }
}

function print({ out }: CliContext, { test: one, differences }: TestResult): void {
  const ok = differences.length === 0;
  if (out.json) {
    const { file, pipeline, name } = one;
    const row = { pipeline, case: name, ok, file, line: one.place.line, differences };
    out.text(printable(JSON.stringify(row)));
    return;
  }
  out.text(printable(`${ok ? 'ok  ' : 'FAIL'} ${one.pipeline}: ${one.name}`));
  if (!ok) out.text(printable(`     ${one.file}:${one.place.line}:${one.place.column}`));
  for (const { column, expected, actual } of differences) {
    const where = column === null ? '' : `${column}: `;
    out.text(printable(`     ${where}expected ${expected}, got ${actual}`));
  }
}
