// What the tests are called, read from their sources: tables that name tests are checked against it.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The text of the first argument of `describe(` or `test(`, in whichever quotes. */
const CALL =
  /^[ \t]*(?:await )?(?:describe|test|it)\(\s*(?:'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`)/gm;
const PLACEHOLDER = /\$\{(?:[^{}]|\{[^{}]*\})*\}/g;

/**
 * Whether the test file, named as below `test/`, has a test or suite of that name; a `${…}` in the file matches any
 * text, and a name that ends with an ellipsis is the beginning of one.
 */
export function hasTest(root: string, file: string, name: string): boolean {
  const path = join(root, 'test', file);
  if (!existsSync(path)) return false;
  const isBeginning = name.endsWith('…');
  const wanted = isBeginning ? name.slice(0, -1) : name;
  return [...readFileSync(path, 'utf8').matchAll(CALL)].some(([, single, double, template]) => {
    if (template !== undefined) return templatePattern(template).test(name);
    const own = unescaped(single ?? double ?? '');
    return isBeginning ? own.startsWith(wanted) : own === wanted;
  });
}

/** A pattern that matches the text and nothing else. */
export function escapePattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}

function templatePattern(template: string): RegExp {
  const parts = template.split(PLACEHOLDER).map((part) => escapePattern(unescaped(part)));
  return new RegExp(`^${parts.join('.*')}$`, 's');
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/gs, '$1');
}
