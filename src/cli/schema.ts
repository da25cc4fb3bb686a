import { jsonSchema } from '../config/json-schema.js';
import type { Command } from './context.js';
import { exitCode } from './exit.js';

/** `schema`: the JSON schema of maskline.yaml. */
export const schema: Command<object> = async ({ out }) => {
  out.text(JSON.stringify(jsonSchema(), null, 2));
  return exitCode.ok;
};
