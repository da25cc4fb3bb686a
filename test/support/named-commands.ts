// `maskline …` as it is written in a page, put before the real program: does it know the command and its options?

import { PassThrough } from 'node:stream';
import { buildProgram } from '../../src/cli/program.js';

type Commands = ReturnType<typeof buildProgram>['commands'];

/** A command ends at these; what stands behind `#` is a remark. */
const END = /^(?:\||\|\||&&|&|;|>|>>|2>|\)|#.*)$/;
const WORD = /"(?:[^"\\]|\\.)*"|'[^']*'|[|&;>]+|#.*|[^\s|&;>#'"]+(?:"[^"]*"|'[^']*'|[^\s|&;>'"])*/g;
/** What stands for a number of the reader's own. */
const PLACEHOLDER = /^(?:N|KID|MESSAGES|KILLS)$/;

/** The arguments of each `maskline` in the commands, also behind `npx` or variables that are set for it. */
export function commandLinesOf(text: string): readonly (readonly string[])[] {
  const lines = text.replaceAll(/\\\n\s*/g, ' ').split('\n');
  return lines.flatMap((line) => {
    const words = line.match(WORD) ?? [];
    return words.flatMap((word, at) => {
      const before = words[at - 1];
      const isCommand =
        before === undefined || before === 'npx' || END.test(before) || /^[A-Z_]+=|^echo$/.test(before);
      if (word !== 'maskline' || !isCommand || before === 'echo') return [];
      const rest = words.slice(at + 1);
      const end = rest.findIndex((one) => END.test(one));
      return [(end < 0 ? rest : rest.slice(0, end)).map(unquoted)];
    });
  });
}

/** What the real program says against a command line; null when it would carry it out. */
export async function problemOf(args: readonly string[]): Promise<string | null> {
  const printed = new PassThrough();
  const given = args.map((arg) => (PLACEHOLDER.test(arg) ? '1' : arg));
  const program = buildProgram(['node', 'maskline', ...given], { env: {}, stdout: printed, stderr: printed });
  // All is parsed, nothing is done.
  const disarm = (command: Commands): void => {
    command.commands.forEach(disarm);
    if (command.commands.length === 0) command.action(() => undefined);
  };
  disarm(program.commands);
  const code = await program.run();
  return code === 0 ? null : `maskline ${args.join(' ')}: ${String(printed.read())}`;
}

function unquoted(word: string): string {
  return /^(["']).*\1$/s.test(word) ? word.slice(1, -1) : word;
}
