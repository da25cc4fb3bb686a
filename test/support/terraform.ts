// deploy/terraform, parsed: what it makes and refers to. Providers can't be asked here, so that expressions stay text.

import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { ROOT } from './kustomize.js';

/** Arguments of a block; expressions are text within `${ }`. */
export type Block = Readonly<{ [argument: string]: unknown }>;
type Named = Readonly<{ [name: string]: readonly Block[] }>;

interface Parsed {
  readonly variable?: Named;
  readonly output?: Named;
  readonly locals?: readonly Block[];
  readonly data?: Readonly<{ [type: string]: Named }>;
  readonly resource?: Readonly<{ [type: string]: Named }>;
}

/** A module of Terraform. */
export interface Module {
  /** All of its text without comments. */
  readonly text: string;
  readonly variables: ReadonlyMap<string, Block>;
  readonly outputs: ReadonlyMap<string, Block>;
  readonly locals: ReadonlyMap<string, unknown>;
  /** By `type.name`, and `data.type.name`. */
  readonly resources: ReadonlyMap<string, Block>;
}

/** Without its types, which would bring those of browsers into all of our files. */
const require = createRequire(import.meta.url);
const { parse } = require('@cdktn/hcl2json') as {
  parse(file: string, text: string): Promise<Parsed>;
};

/** The folder of the module. */
export const TERRAFORM = join(ROOT, 'deploy/terraform');

/** Reads and parses it. Throws what the parser of HCL says. */
export async function readModule(): Promise<Module> {
  const files = readdirSync(TERRAFORM).filter((file) => file.endsWith('.tf'));
  const texts = files.map((file) => readFileSync(join(TERRAFORM, file), 'utf8'));
  const parsed = await Promise.all(texts.map((text, index) => parse(files[index] ?? '', text)));
  return {
    text: texts.join('\n').replaceAll(/^\s*#.*$| # .*$/gm, ''),
    variables: new Map(parsed.flatMap(({ variable = {} }) => firsts(variable))),
    outputs: new Map(parsed.flatMap(({ output = {} }) => firsts(output))),
    locals: new Map(parsed.flatMap(({ locals = [] }) => locals.flatMap((each) => Object.entries(each)))),
    resources: new Map(
      parsed.flatMap(({ resource = {}, data = {} }) => [...placed(resource, ''), ...placed(data, 'data.')]),
    ),
  };
}

function placed(types: Readonly<{ [type: string]: Named }>, prefix: string): readonly [string, Block][] {
  return Object.entries(types).flatMap(([type, named]) =>
    firsts(named).map(([name, block]): [string, Block] => [`${prefix}${type}.${name}`, block]),
  );
}

/** Of each name the one block that has it. */
function firsts(named: Named): readonly [string, Block][] {
  return Object.entries(named).map(([name, [block = {}]]) => [name, block]);
}
