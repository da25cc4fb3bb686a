import { z } from 'zod';
import { configSchema } from './schema.js';

/** JSON Schema (2020-12) of maskline.yaml as it is written, before interpolation; for editors and `maskline schema`. */
export function jsonSchema(): Readonly<{ [keyword: string]: unknown }> {
  return z.toJSONSchema(configSchema, {
    io: 'input',
    override: ({ jsonSchema: node }) => {
      // An empty map as a default says nothing: the keys within have their own.
      const value = node.default;
      if (typeof value === 'object' && value !== null && Object.keys(value).length === 0) delete node.default;
    },
  });
}
