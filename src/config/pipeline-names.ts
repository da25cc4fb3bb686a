import { parse } from 'yaml';

/** The names of the pipelines in the text of a maskline.yaml, whatever else it holds; none when it can't be read. */
export function pipelineNames(text: string): readonly string[] {
  try {
    const data: unknown = parse(text);
    if (typeof data !== 'object' || data === null || !('pipelines' in data)) return [];
    const { pipelines } = data;
    return typeof pipelines === 'object' && pipelines !== null ? Object.keys(pipelines) : [];
  } catch {
    return [];
  }
}
