interface Family {
  readonly comments: Set<string>;
  readonly samples: string[];
}

const COMMENT = /^# (?:HELP|TYPE) (\S+)/;

/**
 * Several texts in Prometheus' exposition format as one, in which each family has one HELP, one TYPE and all of its
 * samples in one group, as the format demands (Prometheus docs, "Exposition formats").
 */
export function mergeExpositions(texts: readonly string[]): string {
  const families = new Map<string, Family>();
  for (const text of texts) {
    let family: Family | undefined;
    for (const line of text.split('\n')) {
      if (line.trim() === '') continue;
      const name = COMMENT.exec(line)?.[1];
      if (name !== undefined) family = familyOf(families, name);
      if (name === undefined) family?.samples.push(line);
      else family?.comments.add(line);
    }
  }
  return [...families.values()]
    .map(({ comments, samples }) => `${[...comments, ...samples].join('\n')}\n`)
    .join('\n');
}

function familyOf(families: Map<string, Family>, name: string): Family {
  const family = families.get(name) ?? { comments: new Set(), samples: [] };
  families.set(name, family);
  return family;
}
