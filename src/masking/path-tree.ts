import type { PathStep } from './methods.js';

/**
 * Places in JSON values, as a tree of the steps that lead to them. Elements that are named by their number stand for
 * all elements of their array.
 */
export class PathTree<T> {
  /** What was put here; null: nothing, or only further on. */
  rule: T | null = null;
  readonly members = new Map<string, PathTree<T>>();
  each: PathTree<T> | null = null;

  /** The place at the end of these steps, made if it is not there. */
  at(steps: readonly PathStep[]): PathTree<T> {
    const [step, ...rest] = steps;
    if (step === undefined) return this;
    return this.#next(step).at(rest);
  }

  #next(step: PathStep): PathTree<T> {
    if (!('member' in step)) return (this.each ??= new PathTree<T>());
    const known = this.members.get(step.member) ?? new PathTree<T>();
    this.members.set(step.member, known);
    return known;
  }

  /** Whether places lie further on. */
  get isFork(): boolean {
    return this.each !== null || this.members.size > 0;
  }
}

/** Whether one place is another, or lies within it. */
export function isWithin(steps: readonly PathStep[], outer: readonly PathStep[]): boolean {
  return outer.every((step, i) => {
    const own = steps[i];
    if (own === undefined) return false;
    // One element by its number stands for all of them.
    return 'member' in step ? 'member' in own && own.member === step.member : !('member' in own);
  });
}
